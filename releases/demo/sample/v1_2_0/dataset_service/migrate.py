"""Brings the database to the schema of this tree; called by the migrate command, once at a time."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import psycopg

FOLDER = Path(__file__).resolve().parent.parent / "migrations"
LOCK = 7_203_418_655
TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    name text PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
)
"""


class Ahead(Exception):
    """The database had migrations that this tree does not know."""


def wanted(folder: Path = FOLDER) -> list[Path]:
    """Return the migrations of this tree in their order."""
    return sorted(path for path in folder.iterdir() if path.suffix in (".sql", ".py"))


def applied(connection: psycopg.Connection) -> set[str]:
    """Return the names of the migrations that the database had."""
    if connection.execute("SELECT to_regclass('schema_migrations')").fetchone() == (None,):
        return set()
    return {name for (name,) in connection.execute("SELECT name FROM schema_migrations").fetchall()}


def is_current(url: str, folder: Path = FOLDER) -> bool:
    """Tell whether the database is exactly at the schema of this tree. Raises psycopg.Error."""
    with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
        return applied(connection) == {path.stem for path in wanted(folder)}


def migrate(url: str, *, pause: float, report: Callable[[str], None], folder: Path = FOLDER) -> int:
    """Apply what is missing, in order, and return how many; one that was cut short goes on where it was.

    An SQL migration is one transaction. A Python migration commits as it goes and waits `pause` seconds
    between its batches. Raises Ahead, psycopg.Error.
    """
    paths = wanted(folder)
    with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
        # Waits for a run whose process died and whose last statement the server is still ending.
        connection.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        connection.execute(TABLE)
        had = applied(connection)
        unknown = had - {path.stem for path in paths}
        if unknown:
            raise Ahead("the database is ahead of this version: " + ", ".join(sorted(unknown)))
        missing = [path for path in paths if path.stem not in had]
        for path in missing:
            if path.suffix == ".sql":
                with connection.transaction():
                    connection.execute(path.read_text("utf-8"))
                    record(connection, path.stem)
            else:
                applier(path)(connection, pause, report)
                record(connection, path.stem)
            report(f"{path.stem}: applied")
        return len(missing)


def record(connection: psycopg.Connection, name: str) -> None:
    """Note that the database had a migration."""
    connection.execute("INSERT INTO schema_migrations (name) VALUES (%s)", [name])


def applier(path: Path) -> Callable[[psycopg.Connection, float, Callable[[str], None]], None]:
    """Return the `apply` function of a Python migration."""
    specification = importlib.util.spec_from_file_location(f"migration_{path.stem}", path)
    if specification is None or specification.loader is None:
        raise ImportError(f"{path} can't be loaded")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module.apply
