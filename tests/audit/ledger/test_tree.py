"""Proofs read from the database are those of the whole list of leaves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

import pytest

from audit.ledger import tree as module
from audit.ledger.proof import tree_hash, verify_inclusion
from audit.ledger.tree import Tree
from tests.audit.conftest import LedgerDatabase, execute
from tests.audit.ledger.reference import inclusion_proof


@pytest.mark.parametrize("level", [1, 3])
def test_each_leaf_of_each_size_is_proven(ledger: LedgerDatabase, monkeypatch: pytest.MonkeyPatch, level: int) -> None:
    monkeypatch.setattr(module, "LEVEL", level)
    monkeypatch.setattr(module, "BLOCK", 1 << level)
    app = ledger.as_app()
    for n in range(40):
        execute(app, "INSERT INTO toy (title) VALUES (%s)", [str(n)])
    leaves = [bytes(leaf) for (leaf,) in app.execute("SELECT leaf FROM audit_ledgerentry ORDER BY number").fetchall()]
    tree = Tree(app)
    for size in range(1, len(leaves) + 1):
        root = tree_hash(leaves[:size])
        assert tree.root(0, size) == root
        for index in range(size):
            path = tree.inclusion(index, size)
            assert path == inclusion_proof(index, leaves[:size])
            assert verify_inclusion(leaves[index], index, size, path, root)
    with pytest.raises(IndexError):
        tree.inclusion(3, 3)
    with pytest.raises(LookupError):
        Tree(app).root(0, 64)


class _Counting:
    """A connection of made-up leaves that counts how many were asked for."""

    def __init__(self) -> None:
        self.read = 0

    @contextmanager
    def cursor(self) -> Iterator[Any]:
        yield self

    def execute(self, _sql: str, bounds: list[int]) -> None:
        self.bounds = bounds

    def fetchall(self) -> list[tuple[bytes]]:
        self.read += self.bounds[1] - self.bounds[0]
        return [(sha256(str(n).encode()).digest(),) for n in range(*self.bounds)]


def test_the_leaves_are_read_once_for_many_proofs() -> None:
    """What is remembered for 100,000 leaves is a hash for each 256 and their parents."""
    counting, size = _Counting(), 100_000
    tree = Tree(counting)
    root = tree.root(0, size)
    for index in range(0, size, 4_000):
        leaf = sha256(str(index).encode()).digest()
        assert verify_inclusion(leaf, index, size, tree.inclusion(index, size), root)
    assert counting.read < size + 25 * 3 * 256
    assert len(tree.nodes) < 2 * size / 256
