"""A PostgreSQL database as a target's data store."""

import os
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import psycopg
from psycopg import sql

from environments.targets import database as databases
from environments.targets.base import StepFailed
from environments.targets.data_store import DataDigest, DataStore, Heartbeat, quiet
from environments.targets.database import Connection, Database, Table
from environments.targets.runner import Runs
from environments.targets.words import gettext as _

_DATA_ENTRY = re.compile(r"^\d+; \d+ \d+ TABLE DATA (\S+) (.+) \S+$", re.MULTILINE)
_RESTORED_TABLE = re.compile(r'processing data for table "(?:public\.)?([^"]+)"')
# A row's xmin has 32 bits; the rest follows from the server's present 64-bit counter. Numbers below 3 are
# PostgreSQL's own.
_NOT_VISIBLE = """
NOT (t.xmin::text::bigint < 3
     OR pg_visible_in_snapshot(({ceiling} - (({ceiling} - t.xmin::text::bigint) & 4294967295))::text::xid8,
                               {snapshot}::pg_snapshot))
"""


@dataclass(frozen=True)
class PostgreSQL(Database, DataStore):
    """A database. A position is the text of a `pg_snapshot`."""

    dump_name: ClassVar[str] = "database.dump"

    def digest(self, run: Runs, heartbeat: Heartbeat = quiet, *, data: bool = True) -> DataDigest:
        """Return the digest in a snapshot of its own."""
        return databases.data_digest(self, run, heartbeat, data=data)

    def dump(self, run: Runs, path: Path, heartbeat: Heartbeat = quiet) -> tuple[str, DataDigest]:
        """Dump and digest one snapshot."""
        with databases.snapshot_of(self) as (connection, exported, snapshot):
            databases.dump(self, run, exported, path)
            return snapshot, databases.digest_in(self, run, connection, exported, heartbeat)

    def restored(self, run: Runs, dump: Path, name: str, server: str, heartbeat: Heartbeat = quiet) -> DataDigest:
        """Restore the dump into a scratch database, which is dropped afterwards."""
        options = ("--no-owner", "--no-privileges", "--exit-on-error", "--verbose", str(dump))
        if not (server or self.url):
            raise StepFailed(_("There is no server on which the dump could be restored."))
        try:
            with databases.scratch(Database(server or self.url, self.binaries), name) as scratch:
                try:
                    scratch.tool(run, "pg_restore", *options)
                except StepFailed as error:
                    tables = _RESTORED_TABLE.findall(error.state)
                    at = tables[-1] if tables else _("the beginning")
                    text = _("the dump cannot be restored; the restore fails at %(table)s: %(reason)s")
                    raise StepFailed(text % {"table": at, "reason": error}, state=error.state) from error
                return databases.data_digest(scratch, run, heartbeat)
        except psycopg.Error as error:
            raise StepFailed(_("no scratch database could be created: %(reason)s") % {"reason": error}) from error

    def contents(self, run: Runs, dump: Path) -> tuple[str, set[str]]:
        """Read the table of contents."""
        with open(os.memfd_create("contents"), "r+") as file:
            path = f"--file=/proc/self/fd/{file.fileno()}"
            run([self._program("pg_restore"), "--list", path, str(dump)], pass_fds=(file.fileno(),))
            text = file.read()
        found = _DATA_ENTRY.findall(text)
        return text, {name if schema == "public" else f"{schema}.{name}" for schema, name in found}

    def position(self, path: Path) -> str:
        """Return the server's present snapshot."""
        return databases.current_snapshot(self)

    def rows_since(self, position: str | None, *, whole: bool) -> Iterator[tuple[str, str, str]]:
        """Yield the rows that the snapshot does not show."""
        with self.connect() as connection:
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            condition = _condition(connection, position)
            for table in databases.tables_of(connection):
                row = sql.SQL("to_jsonb(t)::text" if whole else "''::text")
                query = sql.SQL("SELECT {}::text, {} FROM ONLY {} t WHERE {}").format(
                    _key_of(table), row, table.identifier, condition
                )
                with connection.cursor(name="ringi_rows") as cursor:
                    cursor.itersize = 5000
                    cursor.execute(query)
                    for key, content in cursor:
                        yield table.label, key, content

    def replace_content(self, run: Runs, dump: Path | None, work: Path) -> None:
        """Replace it in one transaction."""
        databases.replace_content(self, run, dump, work)

    def commands(self, dump: Path) -> list[str]:
        """Return the command of the dump."""
        return [f"pg_dump --format=custom --snapshot=… --file={dump}"]

    def end_other_sessions(self) -> None:
        """End every other session of the database that this role may end."""
        databases.end_other_sessions(self)

    def read(self, statement: str, seconds: float, *, most: int) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Return (names of the columns, at most so many rows) of one statement, within so many seconds on the server.

        It runs in a read-only transaction. Raises psycopg.Error, also for a text of several statements.
        """
        # The server's own deadline does nothing once the server is unreachable.
        with psycopg.connect(
            self.url,
            connect_timeout=max(2, round(seconds)),
            application_name="ringi",
            keepalives_idle=2,
            keepalives_interval=1,
            keepalives_count=3,
            tcp_user_timeout=int(seconds * 1000),
        ) as connection:
            connection.read_only = True
            milliseconds = sql.Literal(str(max(1, int(seconds * 1000))))
            connection.execute(sql.SQL("SET LOCAL statement_timeout = {}").format(milliseconds))
            with connection.cursor() as cursor:
                # A stream is the extended protocol, which takes one statement: a second one could end the transaction.
                # It ends here, however many rows are left.
                stream: Any = cursor.stream(statement.encode(), size=most)
                with closing(stream):
                    rows = list(islice(stream, most))
                columns = [column.name for column in cursor.description or ()]
            connection.rollback()
        return columns, rows

    def _program(self, name: str) -> str:
        return os.path.join(self.binaries, name) if self.binaries else name


def _condition(connection: Connection, snapshot: str | None) -> sql.Composable:
    if snapshot is None:
        return sql.SQL("true")
    row = connection.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint").fetchone()
    assert row is not None
    return sql.SQL(_NOT_VISIBLE).format(ceiling=sql.Literal(row[0]), snapshot=sql.Literal(snapshot))


def _key_of(table: Table) -> sql.Composable:
    if not table.key:
        return sql.SQL("to_jsonb(t)")
    pairs = [
        part for column in table.key for part in (sql.Literal(column), sql.SQL("t.{}").format(sql.Identifier(column)))
    ]
    return sql.SQL("jsonb_build_object({})").format(sql.SQL(", ").join(pairs))
