"""The Merkle tree of RFC 6962 over the leaves of the ledger: roots, and proofs that one tree begins another.

A leaf is the 32 bytes that the link of an event holds, SHA-256(0x00 ‖ bytes). LedgerSigner, verification
and excerpts call it.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256

EMPTY_ROOT = sha256(b"").digest()


def leaf_hash(event: bytes) -> bytes:
    """Return the leaf of an event's bytes."""
    return sha256(b"\x00" + event).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node."""
    return sha256(b"\x01" + left + right).digest()


class Frontier:
    """The roots of the full subtrees of a growing tree, largest first: enough to add and to tell the root."""

    def __init__(self, size: int = 0, roots: Iterable[bytes] = ()) -> None:
        self.size = size
        self.roots = list(roots)
        if len(self.roots) != size.bit_count():
            raise ValueError(f"a tree of {size} leaves has {size.bit_count()} full subtrees, not {len(self.roots)}")

    def add(self, leaf: bytes) -> None:
        """Append one leaf; constant time on average."""
        node, size = leaf, self.size
        while size & 1:
            node = sha256(b"\x01" + self.roots.pop() + node).digest()
            size >>= 1
        self.roots.append(node)
        self.size += 1

    def root(self) -> bytes:
        """Return the Merkle tree hash of all leaves so far."""
        if not self.roots:
            return EMPTY_ROOT
        root = self.roots[-1]
        for left in reversed(self.roots[:-1]):
            root = node_hash(left, root)
        return root


def tree_hash(leaves: Iterable[bytes]) -> bytes:
    """Return the Merkle tree hash of the leaves."""
    frontier = Frontier()
    for leaf in leaves:
        frontier.add(leaf)
    return frontier.root()


def verify_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Tell whether `path` proves leaf `index` (from 0) to be in the tree of `size` leaves with this root."""
    if not 0 <= index < size:
        return False
    node, position, last = leaf, index, size - 1
    for sibling in path:
        if last == 0:
            return False
        if position & 1 or position == last:
            node = node_hash(sibling, node)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            node = node_hash(node, sibling)
        position >>= 1
        last >>= 1
    return last == 0 and node == root


Range = tuple[int, int]


def since_ranges(old: int, start: int, end: int, whole: bool = True) -> list[Range]:
    """Return the ranges of leaves whose hashes prove that a tree begins with its first `old` leaves."""
    if old == end:
        return [] if whole else [(start, end)]
    # The left subtree is the largest power of two below the size.
    middle = start + (1 << (end - start - 1).bit_length() - 1)
    if old <= middle:
        return [*since_ranges(old, start, middle, whole), (middle, end)]
    return [*since_ranges(old, middle, end, False), (start, middle)]


def _hashes(leaves: Iterable[bytes], size: int, wanted: set[Range], begun: Frontier) -> dict[Range, bytes]:
    """Return the hashes of ranges of a tree, read once from its first leaf (or from behind `begun`) to its last."""
    found: dict[Range, bytes] = {}
    stack: list[tuple[int, int, bytes]] = []
    start = 0
    for bit, root in zip((bit for bit in reversed(range(64)) if begun.size >> bit & 1), begun.roots, strict=True):
        stack.append((start, start + (1 << bit), root))
        start += 1 << bit
    for place, leaf in enumerate(leaves, begun.size):
        if place == size:
            break
        left, right, node = place, place + 1, leaf
        while stack and stack[-1][1] - stack[-1][0] == right - left:
            if (left, right) in wanted:
                found[left, right] = node
            left, _, sibling = stack.pop()
            if (left, left + (right - left) // 2) in wanted:
                found[left, left + (right - left) // 2] = sibling
            node = sha256(b"\x01" + sibling + node).digest()
        stack.append((left, right, node))
    if not stack or stack[-1][1] != size:
        raise IndexError(f"there are not {size} leaves")
    for left, right, node in stack:
        found[left, right] = node
    edge = stack[-1][2]
    for left, _, sibling in reversed(stack[:-1]):
        edge = node_hash(sibling, edge)
        found[left, size] = edge
    return found


def consistency_since(old: Frontier, later: Iterable[bytes], size: int) -> list[bytes]:
    """Return the proof that the tree of `size` leaves begins with that of `old`; `later`: the leaves behind it."""
    if not 0 < old.size <= size:
        raise IndexError(f"a tree of {size} leaves does not extend one of {old.size}")
    ranges = since_ranges(old.size, 0, size)
    hashes = _hashes(later, size, set(ranges), old)
    return [hashes[part] for part in ranges]
