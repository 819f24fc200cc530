"""Inclusion proofs out of the database, for ledgers too long to be held: whole subtrees are read once and remembered.

A proof in a tree of n leaves names about log2 n subtrees. Full subtrees never change, so one reading of the leaves
serves every later proof of the same `Tree`; what is remembered is one hash for each BLOCK leaves.
"""

from typing import Any

from audit.ledger.proof import Frontier, node_hash, since_ranges, tree_hash

LEVEL = 8
BLOCK = 1 << LEVEL


class Tree:
    """The Merkle tree (RFC 6962) over the links of a connection's ledger, as far as they are there."""

    def __init__(self, connection: Any) -> None:
        """connection: Django's or psycopg's; it is asked for leaves and for nothing else."""
        self.connection = connection
        self.nodes: dict[tuple[int, int], bytes] = {}

    def _leaves(self, start: int, end: int) -> list[bytes]:
        """Return the leaves from place `start` (from 0) to before `end`; raises LookupError when one is missing."""
        with self.connection.cursor() as cursor:
            cursor.execute(
                "SELECT leaf FROM audit_ledgerentry WHERE number > %s AND number <= %s ORDER BY number", [start, end]
            )
            leaves = [bytes(leaf) for (leaf,) in cursor.fetchall()]
        if len(leaves) != end - start:
            raise LookupError(f"of the links {start + 1} to {end} only {len(leaves)} are there")
        return leaves

    def _fill(self, first: int, last: int) -> None:
        """Hash the blocks `first` to before `last`, a few thousand leaves at a time."""
        step = 64
        for begin in range(first, last, step):
            end = min(begin + step, last)
            leaves = self._leaves(begin * BLOCK, end * BLOCK)
            for place in range(begin, end):
                at = (place - begin) * BLOCK
                self.nodes[LEVEL, place] = tree_hash(leaves[at : at + BLOCK])

    def _full(self, level: int, place: int) -> bytes:
        """Return the hash of the full subtree of 2^level leaves that is the `place`-th of its level."""
        known = self.nodes.get((level, place))
        if known is not None:
            return known
        if level < LEVEL:
            return tree_hash(self._leaves(place << level, (place + 1) << level))
        if level == LEVEL:
            self._fill(place, place + 1)
        else:
            width = 1 << (level - LEVEL)
            blocks = range(place * width, (place + 1) * width)
            if not any((LEVEL, block) in self.nodes for block in blocks):
                self._fill(blocks.start, blocks.stop)
            self.nodes[level, place] = node_hash(self._full(level - 1, 2 * place), self._full(level - 1, 2 * place + 1))
        return self.nodes[level, place]

    def root(self, start: int, end: int) -> bytes:
        """Return the tree hash of the leaves from place `start` to before `end`, `start` a multiple of the width."""
        size = end - start
        if size & (size - 1) == 0:
            level = size.bit_length() - 1
            return self._full(level, start >> level)
        split = 1 << ((size - 1).bit_length() - 1)
        return node_hash(self.root(start, start + split), self.root(start + split, end))

    def frontier(self, size: int) -> Frontier:
        """Return the full subtrees of the first `size` leaves."""
        roots, start = list[bytes](), 0
        for level in reversed(range(size.bit_length())):
            if size >> level & 1:
                roots.append(self.root(start, start + (1 << level)))
                start += 1 << level
        return Frontier(size, roots)

    def consistency(self, old: int, size: int) -> list[bytes]:
        """Return the proof that the tree of `size` leaves begins with that of its first `old` ones."""
        ranges = since_ranges(old, 0, size)
        return [self.root(start, end) for start, end in ranges]

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """Return the audit path of leaf `index` (from 0) in the tree of `size` leaves, lowest node first."""
        if not 0 <= index < size:
            raise IndexError(f"there is no leaf {index} in a tree of {size}")
        path: list[bytes] = []
        start, end = 0, size
        while end - start > 1:
            split = 1 << ((end - start - 1).bit_length() - 1)
            if index < start + split:
                path.append(self.root(start + split, end))
                end = start + split
            else:
                path.append(self.root(start, start + split))
                start += split
        return path[::-1]
