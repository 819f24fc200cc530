"""Check of the schema of the database against the code. Every process calls it as it connects."""

from pathlib import Path

from django.apps import apps
from django.core.management.base import CommandError
from django.db import connection

# In the name of a migration that no earlier version runs beside, whatever its columns are.
OUTAGE = "_outage"
COLUMNS = """
SELECT c.relname, a.attname, a.attnotnull AND NOT a.atthasdef
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relname = ANY (%s) AND c.relkind IN ('r', 'p') AND pg_table_is_visible(c.oid)
  AND a.attnum > 0 AND NOT a.attisdropped
"""


class WrongSchema(CommandError):
    """The database has another schema than the code; the message says in what they differ and what to do."""


def refuse_0_1() -> None:
    """Raise WrongSchema when the database is one of version 0.1, whose names and events no later version reads."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('releases_consentround') IS NOT NULL")
        if cursor.fetchone()[0]:
            raise WrongSchema(
                "This database belongs to Ringi 0.1, which no later version can migrate: keep it with Ringi 0.1 for as "
                "long as its ledger must be readable, and start this version with a new database."
            )


def differences() -> list[str]:
    """Return the columns and migrations of the database with which this code cannot work.

    A newer database is none of them while it has each column of this code, each further column is filled by the
    database itself, and no further migration has `_outage` in its name.
    """
    models = [model for model in apps.get_models(include_auto_created=True) if model._meta.managed]
    wanted = {(m._meta.db_table, str(column.column)) for m in models for column in m._meta.local_concrete_fields}
    with connection.cursor() as cursor:
        cursor.execute(COLUMNS, [sorted({table for table, _column in wanted})])
        there = {(table, column): needs_value for table, column, needs_value in cursor.fetchall()}
        unfilled = {column for column, needs_value in there.items() if needs_value}
        found = sorted(f"column {table}.{column}" for table, column in wanted - there.keys() | unfilled - wanted)
        cursor.execute("SELECT coalesce(has_table_privilege(to_regclass('django_migrations'), 'SELECT'), false)")
        if not cursor.fetchone()[0]:
            return found  # the ledger signer may not read it; nothing is there at all
        folders = {app.label: Path(app.path) / "migrations" for app in apps.get_app_configs()}
        here = {(label, file.stem) for label, folder in folders.items() for file in folder.glob("[0-9]*.py")}
        cursor.execute("SELECT app, name FROM django_migrations WHERE app = ANY (%s)", [sorted(folders)])
        applied = set(cursor.fetchall())
        refused = here - applied | {(label, name) for label, name in applied - here if OUTAGE in name}
        return found + sorted(f"migration {label}.{name}" for label, name in refused)


def require_own_schema() -> None:
    """Raise WrongSchema when this code cannot work with the schema of the database."""
    refuse_0_1()
    if found := differences():
        raise WrongSchema(
            f"The database has another schema than this version of Ringi ({len(found)} differences: "
            f"{', '.join(found[:3])}). "
            "Run “manage.py migrate” of this version as the owner, or start the version that the database belongs to."
        )
