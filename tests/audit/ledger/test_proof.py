"""The tree of RFC 6962 against its definition, and every proof of every small tree."""

from __future__ import annotations

from hashlib import sha256

import pytest

from audit.ledger import proof
from tests.audit.ledger import reference

# The eight inputs that RFC 6962 implementations share as test vectors, and the roots of their first n leaves.
INPUTS = [
    b"",
    b"\x00",
    b"\x10",
    b"\x20\x21",
    b"\x30\x31",
    b"\x40\x41\x42\x43",
    bytes(range(0x50, 0x58)),
    bytes(range(0x60, 0x70)),
]
ROOTS = {
    0: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}


def _definition(leaves: list[bytes]) -> bytes:
    if len(leaves) < 2:
        return leaves[0] if leaves else sha256(b"").digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return sha256(b"\x01" + _definition(leaves[:k]) + _definition(leaves[k:])).digest()


LEAVES = [proof.leaf_hash(n.to_bytes(2, "big")) for n in range(33)]


@pytest.mark.parametrize(("size", "root"), ROOTS.items())
def test_roots_are_the_known_ones(size: int, root: str) -> None:
    assert proof.tree_hash(map(proof.leaf_hash, INPUTS[:size])).hex() == root


def test_the_frontier_gives_the_root_of_the_definition_at_every_size() -> None:
    frontier = proof.Frontier()
    for size in range(len(LEAVES)):
        assert frontier.root() == _definition(LEAVES[:size])
        assert proof.Frontier(size, frontier.roots).root() == frontier.root()
        frontier.add(LEAVES[size])
    with pytest.raises(ValueError, match="full subtrees"):
        proof.Frontier(7, frontier.roots)


def test_every_inclusion_proof_verifies_and_no_other_leaf_place_or_path_does() -> None:
    for size in range(1, 18):
        leaves = LEAVES[:size]
        root = _definition(leaves)
        for index in range(size):
            path = reference.inclusion_proof(index, leaves)
            assert proof.verify_inclusion(leaves[index], index, size, path, root)
            assert not proof.verify_inclusion(LEAVES[20], index, size, path, root)
            assert not proof.verify_inclusion(leaves[index], index, size, [*path, root], root)
            assert not proof.verify_inclusion(leaves[index], size, size, path, root)
            for other in range(size):
                assert (other == index) == proof.verify_inclusion(leaves[index], other, size, path, root)
            for place in range(len(path)):
                forged = [*path[:place], sha256(path[place]).digest(), *path[place + 1 :]]
                assert not proof.verify_inclusion(leaves[index], index, size, forged, root)
                assert not proof.verify_inclusion(leaves[index], index, size, path[:place], root)


def test_every_consistency_proof_verifies_and_no_forged_one_does() -> None:
    for size in range(1, 18):
        leaves = LEAVES[:size]
        root = _definition(leaves)
        for old in range(1, size + 1):
            old_root = _definition(leaves[:old])
            path = reference.consistency_proof(old, leaves)
            assert reference.verify_consistency(old, size, old_root, root, path)
            assert not reference.verify_consistency(old, size, sha256(old_root).digest(), root, path)
            assert not reference.verify_consistency(old, size, old_root, sha256(root).digest(), path)
            assert not reference.verify_consistency(old, size, old_root, root, [*path, root])
            for place in range(len(path)):
                forged = [*path[:place], sha256(path[place]).digest(), *path[place + 1 :]]
                assert not reference.verify_consistency(old, size, old_root, root, forged)


def test_a_proof_of_what_is_not_there_is_refused() -> None:
    with pytest.raises(IndexError):
        reference.inclusion_proof(3, LEAVES[:3])
    with pytest.raises(IndexError):
        reference.consistency_proof(4, LEAVES[:3])
