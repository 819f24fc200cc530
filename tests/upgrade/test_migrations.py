"""The released version runs on while the next one migrates: no migration takes away what it reads or cannot fill."""

from __future__ import annotations

import tomllib

import pytest
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import models
from django.db.migrations import operations as do
from django.db.migrations.operations.base import Operation

from audit.schema import OUTAGE

from .lint import alone, released, unreleased
from .place import DUMPS


def listed() -> dict[str, list[str]]:
    """Return the migrations that were looked at by a person, each with what is found in it."""
    rows = tomllib.loads((DUMPS.parent / "reasons.toml").read_text(encoding="utf-8"))["migration"]
    assert all(len(row["reason"]) > 20 for row in rows)
    return {row["name"]: row["findings"] for row in rows}


def test_the_released_version_runs_beside_each_migration(database: str) -> None:
    """An `_outage` in its name says that it does not; reasons.toml says why it does in spite of what is found."""
    seen = {name: codes for name, codes in unreleased() if codes and OUTAGE not in name}
    assert seen == listed()


def test_only_what_is_not_released_is_looked_at() -> None:
    assert "releases.0001_initial" in released() and not released() & listed().keys()


TEXT = models.CharField(max_length=9)
NEW = models.CharField(max_length=9, default="")
PEER = (
    "Peer",
    [("id", models.BigAutoField(primary_key=True)), ("note", models.CharField(max_length=9, db_default=""))],
)
BY_SUITE = models.Index(fields=["suite"], name="evidence_by_suite")
TOYS: dict[str, tuple[list[Operation], list[str]]] = {
    "a default of the code alone": ([do.AddField("evidence", "note", NEW)], ["NOT_NULL"]),
    "beside it a column with a default": ([do.AddField("evidence", "note", NEW), do.CreateModel(*PEER)], ["NOT_NULL"]),
    "a column that may no longer be empty": (
        [do.AlterField("deployment", "started_at", models.DateTimeField())],
        ["NOT_NULL"],
    ),
    "another type": ([do.AlterField("evidence", "suite", models.IntegerField())], ["ALTER_COLUMN"]),
    "a column goes": ([do.RemoveField("evidence", "tool")], ["DROP_COLUMN"]),
    "a column has another name": ([do.RenameField("evidence", "tool", "program")], ["RENAME_COLUMN"]),
    "a table goes": ([do.DeleteModel("IdempotencyKey")], ["DROP_TABLE"]),
    "a table has another name": ([do.RenameModel("IdempotencyKey", "Key")], ["RENAME_TABLE"]),
    "an index that keeps writers waiting": ([do.AddIndex("evidence", BY_SUITE)], ["CREATE_INDEX"]),
    "a rule that rows may break": (
        [do.AddConstraint("evidence", models.CheckConstraint(condition=~models.Q(suite="x"), name="no_x"))],
        ["ADD_CHECK"],
    ),
    "two rows may no longer be equal": (
        [do.AddConstraint("evidence", models.UniqueConstraint(fields=["digest"], name="once"))],
        ["ADD_UNIQUE"],
    ),
    "two tables at once": (
        [do.AddField(model, "note", models.IntegerField(null=True)) for model in ("release", "historicalrelease")],
        ["SEVERAL_TABLES"],
    ),
    "SQL": ([do.RunSQL("ALTER TABLE releases_evidence\nDROP COLUMN tool")], ["DROP_COLUMN"]),
}
EXPANDING: dict[str, list[Operation]] = {
    "a column that may be empty": [do.AddField("evidence", "note", models.IntegerField(null=True))],
    "a column that the database fills": [
        do.AddField("evidence", "note", models.CharField(max_length=9, db_default=""))
    ],
    "a table with an index of some of its rows": [
        do.CreateModel(*PEER),
        do.AddConstraint(
            "peer", models.UniqueConstraint(fields=["note"], condition=~models.Q(note=""), name="peer_once")
        ),
    ],
    "a table, then a column of it": [do.CreateModel(*PEER), do.AddField("peer", "title", NEW)],
}


@pytest.mark.parametrize("what", TOYS)
def test_it_finds(what: str, database: str) -> None:
    operations, codes = TOYS[what]
    assert alone(*operations) == codes


@pytest.mark.parametrize("what", EXPANDING)
def test_it_lets_pass(what: str, database: str) -> None:
    assert alone(*EXPANDING[what]) == []


def test_an_index_is_made_beside_the_writers(database: str) -> None:
    assert alone(AddIndexConcurrently("evidence", BY_SUITE), atomic=False) == []
