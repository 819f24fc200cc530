"""An SQLite database as a target's data store: dumps and restores are SQLite's own online backup.

A position is a copy of the database: what was written since is what the copy lacks. A restore is one transaction of
SQLite, so that a crash leaves the database as it was.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

from environments.targets.base import StepFailed
from environments.targets.data_store import DataDigest, DataStore, Heartbeat, quiet
from environments.targets.runner import Runs
from environments.targets.words import gettext as _

SCHEME = "sqlite:"
PAGES = 1000
BUSY_SECONDS = 30
# Virtual tables keep their rows in tables beside them, which are there too.
_TABLES = (
    "SELECT name FROM {}.sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    " AND sql NOT LIKE 'CREATE VIRTUAL%' ORDER BY name"
)
# With the number by which an application knows its schema.
_SCHEMA = (
    "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' UNION ALL"
    " SELECT 'pragma', '', user_version FROM pragma_user_version WHERE user_version ORDER BY type, name"
)


def path_of(root: Path, address: str) -> Path:
    """Return the file of an address: `sqlite:///data/app.db` below the target's folder, `sqlite:////…` absolute."""
    path = address.removeprefix(SCHEME).removeprefix("//").partition("?")[0]
    return root / (path[1:] if path.startswith("/") else path)


@dataclass(frozen=True)
class SQLite(DataStore):
    """A database in a file."""

    path: Path

    dump_name: ClassVar[str] = "database.sqlite"

    def digest(self, run: Runs, heartbeat: Heartbeat = quiet, *, data: bool = True) -> DataDigest:
        """Return the digest in one read transaction; that of an empty database where the file does not exist."""
        return _digest(self.path, heartbeat, data=data) if self.path.exists() else DataDigest("", "")

    def dump(self, run: Runs, path: Path, heartbeat: Heartbeat = quiet) -> tuple[str, DataDigest]:
        """Copy the database; the digest is that of the copy."""
        self._copy(path, heartbeat)
        return "", _digest(path, heartbeat)

    def restored(self, run: Runs, dump: Path, name: str, server: str, heartbeat: Heartbeat = quiet) -> DataDigest:
        """Read every page and every row of the dump; a dump is a database, so that nothing is restored for it."""
        with _open(dump) as connection:
            found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(5)")]
        if found != ["ok"]:
            raise StepFailed(_("the dump is damaged: %(reason)s") % {"reason": "; ".join(found)})
        return _digest(dump, heartbeat)

    def contents(self, run: Runs, dump: Path) -> tuple[str, set[str]]:
        """Return the names of its tables."""
        with _open(dump) as connection:
            names = _tables(connection)
        return "\n".join(names), set(names)

    def position(self, path: Path) -> str:
        """Keep a copy of the present database."""
        if not self.path.exists():
            path.write_bytes(b"")  # an empty file is an empty database
        else:
            self._copy(path, quiet)
        return str(path)

    def rows_since(self, position: str | None, *, whole: bool) -> Iterator[tuple[str, str, str]]:
        """Yield the rows that the copy lacks; those of a table with other columns are all new."""
        if not self.path.exists():
            return
        if position is not None and not Path(position).exists():
            raise StepFailed(_("the copy of the database is missing: %(path)s") % {"path": position})
        with _open(self.path) as connection:
            if position is not None:
                connection.execute("ATTACH ? AS earlier", [_uri(Path(position), "ro")])
            connection.execute("BEGIN")
            before = set(_tables(connection, "earlier")) if position is not None else set()
            for table in _tables(connection):
                columns, keys = _columns(connection, table)
                query = f"SELECT {_listed(columns)} FROM main.{_name(table)}"  # noqa: S608  quoted names
                if table in before and _columns(connection, table, "earlier")[0] == columns:
                    query += f" EXCEPT SELECT {_listed(columns)} FROM earlier.{_name(table)}"  # noqa: S608
                for row in connection.execute(query):
                    values = dict(zip(columns, map(_plain, row), strict=True))
                    key = {name: values[name] for name in keys or columns}
                    yield table, json.dumps(key), json.dumps(values) if whole else ""

    def replace_content(self, run: Runs, dump: Path | None, work: Path) -> None:
        """Copy the dump over the database, in one transaction of SQLite."""
        if dump is None and not self.path.exists():
            return
        with _open(dump) if dump is not None else closing(sqlite3.connect(":memory:")) as source:
            with _open(self.path, "rwc") as target:
                source.backup(target, pages=-1)

    def commands(self, dump: Path) -> list[str]:
        """Return the command that would do the same."""
        return [f"sqlite3 {self.path} '.backup {dump}'"]

    def _copy(self, path: Path, heartbeat: Heartbeat) -> None:
        for left in (path, *(path.with_name(path.name + end) for end in ("-journal", "-wal", "-shm"))):
            left.unlink(missing_ok=True)
        with _open(self.path) as source, _open(path, "rwc") as target:
            source.backup(target, pages=PAGES, progress=lambda *_pages: heartbeat())


def _uri(path: Path, mode: str) -> str:
    return f"file:{quote(str(path))}?mode={mode}"


@contextmanager
def _open(path: Path, mode: str = "") -> Iterator[sqlite3.Connection]:
    """Open a database to read it. What a killed process left half done is undone by the next one that opens it, which
    therefore opens it for writing. mode: `rwc` to write, and to create it.
    """
    try:
        with closing(sqlite3.connect(_uri(path, mode or "rw"), uri=True, timeout=BUSY_SECONDS)) as connection:
            connection.isolation_level = None
            connection.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
            if not mode:
                connection.execute("PRAGMA query_only = ON")
            yield connection
    except sqlite3.Error as error:
        text = _("the database %(path)s cannot be used: %(reason)s")
        raise StepFailed(text % {"path": path, "reason": error}) from error


def _tables(connection: sqlite3.Connection, schema: str = "main") -> list[str]:
    return [row[0] for row in connection.execute(_TABLES.format(schema))]


def _columns(connection: sqlite3.Connection, table: str, schema: str = "main") -> tuple[list[str], list[str]]:
    """Return the columns of a table, and those of its primary key in order."""
    rows = connection.execute(f"PRAGMA {schema}.table_info({_name(table)})").fetchall()
    keys = sorted((row[5], row[1]) for row in rows if row[5])
    return [row[1] for row in rows], [name for _place, name in keys]


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _listed(columns: list[str]) -> str:
    return ", ".join(f"{_name(column)} COLLATE BINARY AS {_name(column)}" for column in columns)


def _plain(value: Any) -> Any:
    return {"hex": value.hex()} if isinstance(value, bytes) else value


def _digest(path: Path, heartbeat: Heartbeat, *, data: bool = True) -> DataDigest:
    with _open(path) as connection:
        connection.execute("BEGIN")
        rows = connection.execute(_SCHEMA).fetchall()
        if not rows:
            return DataDigest("", "")
        schema = hashlib.sha256(json.dumps(rows).encode()).hexdigest()
        if not data:
            return DataDigest("", schema)
        tables = {table: _table_digest(connection, table, heartbeat) for table in _tables(connection)}
    lines = "".join(f"{name} {count} {digest}\n" for name, (count, digest) in tables.items())
    return DataDigest(hashlib.sha256(f"{schema}\n{lines}".encode()).hexdigest(), schema, tables)


def _table_digest(connection: sqlite3.Connection, table: str, heartbeat: Heartbeat) -> tuple[int, str]:
    columns, _keys = _columns(connection, table)
    order = ", ".join(f"{_name(column)} COLLATE BINARY" for column in columns)
    digest, count = hashlib.sha256(), 0
    for row in connection.execute(f"SELECT * FROM {_name(table)} ORDER BY {order}"):  # noqa: S608  quoted names
        digest.update(json.dumps([_plain(value) for value in row]).encode() + b"\n")
        count += 1
        if count % 10_000 == 0:
            heartbeat()
    return count, digest.hexdigest()
