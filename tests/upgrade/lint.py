"""Finds in a migration what the version before it cannot run beside: the checks of django-migration-linter and four
of our own, on the SQL that PostgreSQL gets.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

from django.db import connection
from django.db.migrations import Migration
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from django_migration_linter.sql_analyser import analyse_sql_statements
from django_migration_linter.sql_analyser.base import Check, CheckMode, CheckType
from django_migration_linter.sql_analyser.postgresql import PostgresqlAnalyser

from .place import DUMPS

APPS = ("audit", "environments", "releases")
NAME = r'("?\w+"?)'


def needs_value(lines: Iterable[str], **_options: Any) -> bool:
    """Tell whether an INSERT that does not name each column of an earlier table would fail: NOT NULL without a default
    that stays. The linter's own check takes any default of the same transaction for one of this column.
    """
    filled, made = dict[tuple[str, str], bool](), set[str]()
    for line in lines:
        if created := re.search(f"CREATE TABLE {NAME} ", line):
            made.add(created[1])
        if added := re.search(f"ALTER TABLE {NAME} ADD COLUMN {NAME} (.* NOT NULL.*)", line):
            filled[added[1], added[2]] = re.search(" DEFAULT (?!NULL)| GENERATED ", f" {added[3]}") is not None
        if altered := re.search(f"ALTER TABLE {NAME} ALTER COLUMN {NAME} (SET NOT NULL|DROP DEFAULT)", line):
            column = (altered[1], altered[2])
            if column in filled or altered[3] == "SET NOT NULL":
                filled[column] = False
    return not all(given for (table, _column), given in filled.items() if table not in made)


def narrows(lines: Iterable[str], **_options: Any) -> bool:
    """Tell whether a table that was there before gets a check that has no predecessor of its name."""
    text = "\n".join(lines)
    return any(
        f"CREATE TABLE {table} " not in text and f"DROP CONSTRAINT {name}" not in text
        for table, name in re.findall(f"ALTER TABLE {NAME} ADD CONSTRAINT {NAME} CHECK", text)
    )


def indexes(lines: Iterable[str], **_options: Any) -> bool:
    """Tell whether an index keeps the writers of an earlier table waiting. The linter's own check takes the table of a
    partial index for an earlier one.
    """
    text = "\n".join(lines)
    tables = re.findall(f"^CREATE (?:UNIQUE )?INDEX (?!CONCURRENTLY){NAME} ON {NAME} ", text, re.MULTILINE)
    return any(f"CREATE TABLE {table} " not in text for _index, table in tables)


def locks_several(lines: Iterable[str], **_options: Any) -> bool:
    """Tell whether a transaction changes two tables that were there before: a write that has begun in the second could
    wait for the first, and the migration for this write.
    """
    text = "\n".join(lines)
    changed = set(re.findall(f"^ALTER TABLE {NAME} ", text, re.MULTILINE))
    made = set(re.findall(f"^CREATE TABLE {NAME} ", text, re.MULTILINE))
    return text.startswith("BEGIN;") and len(changed - made) > 1


class Analyser(PostgresqlAnalyser):
    """The linter's checks for PostgreSQL, two of them replaced, and two more."""

    migration_checks: ClassVar[list[Check]] = [
        *(one for one in PostgresqlAnalyser.migration_checks if not one.code.startswith("CREATE_INDEX")),
        Check("CREATE_INDEX", indexes, "CREATE INDEX locks table", CheckMode.TRANSACTION, CheckType.WARNING),
        Check("NOT_NULL", needs_value, "NOT NULL without a default", CheckMode.TRANSACTION, CheckType.ERROR),
        Check("ADD_CHECK", narrows, "ADDING check constraint", CheckMode.TRANSACTION, CheckType.ERROR),
        Check("SEVERAL_TABLES", locks_several, "LOCKING two tables", CheckMode.TRANSACTION, CheckType.ERROR),
    ]


def released() -> set[str]:
    """Return the migrations, as `app.name`, of the newest version that has a dump."""
    newest = max(DUMPS.glob("*.sql.gz"), key=lambda file: [int(n) for n in re.findall(r"\d+", file.name)])
    text = gzip.decompress(newest.read_bytes()).decode()
    (rows,) = re.findall(r"^COPY public\.django_migrations .*?;\n(.*?)^\\\.$", text, re.MULTILINE | re.DOTALL)
    return {".".join(row.split("\t")[1:3]) for row in rows.splitlines()}


def found(migration: Migration, state: ProjectState) -> list[str]:
    """Return the codes of what the linter finds, warnings included; `state` becomes the one behind the migration."""
    with connection.schema_editor(collect_sql=True, atomic=migration.atomic) as editor:
        migration.apply(state, editor, collect_sql=True)  # type: ignore[arg-type]
    lines = "\n".join(["BEGIN;"] * migration.atomic + editor.collected_sql).splitlines()
    errors, _ignored, warnings = analyse_sql_statements(Analyser, lines, ())
    return sorted({issue.code for issue in (*errors, *warnings)})


def unreleased() -> Iterator[tuple[str, list[str]]]:
    """Yield the name of each migration that is in no released version, and what is found in it."""
    graph, state, known = MigrationLoader(None).graph, ProjectState(), released()
    for label, name in graph._generate_plan(graph.leaf_nodes(), at_end=True):  # type: ignore[attr-defined]
        migration = graph.nodes[label, name]
        assert isinstance(migration, Migration)
        if label in APPS and f"{label}.{name}" not in known:
            yield f"{label}.{name}", found(migration, state)
        else:
            migration.mutate_state(state, preserve=False)


def alone(*operations: Operation, atomic: bool = True) -> list[str]:
    """Return what is found in a migration with these operations, on the newest models."""
    migration = Migration("0099_alone", "releases")
    migration.operations, migration.atomic = operations, atomic
    return found(migration, MigrationLoader(None).project_state())
