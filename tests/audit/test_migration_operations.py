"""Operations of migrations that see the models before and after all of them."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from django.db import connection, migrations, models
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from psycopg.conninfo import conninfo_to_dict

from audit.migration_operations import Together
from tests.conftest import connected

KEY = ("id", models.BigAutoField(primary_key=True))
BEFORE = [migrations.CreateModel("Shelf", [KEY, ("row", models.IntegerField()), ("old", models.IntegerField())])]
GROUP = [
    migrations.CreateModel("Book", [KEY, ("shelf", models.ForeignKey("library.Shelf", models.CASCADE))]),
    migrations.AddField("Shelf", "room", models.CharField(max_length=20, default="cellar"), preserve_default=False),
    migrations.AlterField("Shelf", "row", models.BigIntegerField()),
    migrations.RemoveField("Shelf", "old"),
    migrations.AddConstraint("Shelf", models.CheckConstraint(condition=models.Q(row__gt=0), name="row_above_zero")),
]
COLUMNS = """SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE c.relname LIKE 'library%' AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped ORDER BY 1, 2"""
CONSTRAINTS = """SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE conrelid::regclass::text LIKE 'library%' ORDER BY 1, 2"""


def _migrated(*operations: Operation, back: bool = False) -> tuple[ProjectState, list[object]]:
    """Execute operations on no tables, and undo the last of them with `back`; return the models and the schema."""
    state = ProjectState()
    with connection.schema_editor() as editor:
        for operation in operations:
            before = state.clone()
            operation.state_forwards("library", state)
            operation.database_forwards("library", editor, before, state)
        if back:
            operation.database_backwards("library", editor, state, before)
            state = before
    with connection.cursor() as cursor:
        found: list[object] = []
        for asked in (COLUMNS, CONSTRAINTS):
            cursor.execute(asked)
            found += cursor.fetchall()
        cursor.execute("DROP TABLE IF EXISTS library_book, library_shelf")
    return state, found


@pytest.fixture
def owned(database: str) -> Iterator[None]:
    """A database of the test's own, in which tables may be made."""
    with connected(os.environ["DATABASE_SERVER_URL"], str(conninfo_to_dict(database)["dbname"])):
        yield


def test_a_group_makes_what_its_operations_make_one_by_one(owned: None) -> None:
    singly, one_by_one = _migrated(*BEFORE, *GROUP)
    grouped, together = _migrated(*BEFORE, Together(GROUP))
    assert together == one_by_one and len(together) >= 9, together
    assert grouped == singly
    before, schema = _migrated(*BEFORE)
    undone, back = _migrated(*BEFORE, Together(GROUP), back=True)
    assert (undone, back) == (before, schema)


@pytest.mark.parametrize(
    "second",
    [
        migrations.AddField("Book", "title", models.TextField(default="")),
        migrations.AlterField("Shelf", "row", models.SmallIntegerField()),
    ],
    ids=["a model of the group", "a field of the group"],
)
def test_operations_that_build_on_each_other_are_no_group(second: Operation) -> None:
    with pytest.raises(ValueError, match="builds on an earlier operation of its group"):
        Together([*GROUP, second])
