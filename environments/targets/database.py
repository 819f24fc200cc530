"""A target's PostgreSQL database: digest, dump, scratch restore and restore in place; for backup and update."""

import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from environments.targets.base import StepFailed
from environments.targets.data_store import DataDigest
from environments.targets.runner import Outcome, Runs
from environments.targets.words import gettext as _

Connection = psycopg.Connection[tuple[Any, ...]]
Error = psycopg.Error

_SETTINGS = (
    "SET timezone = 'UTC'; SET datestyle = 'ISO, YMD'; SET intervalstyle = 'iso_8601';"
    " SET bytea_output = 'hex'; SET extra_float_digits = 1; SET client_encoding = 'UTF8';"
    " SET search_path = pg_catalog; SET lock_timeout = '30s'"
)
# Lines of a schema dump that differ between two runs or two programs, and say nothing about the schema.
_NOISE = re.compile(r"(-- Dumped (from|by) |\\(un)?restrict |SET |SELECT pg_catalog\.set_config\()")
# The server rewrites the casts of IN lists each time it reads them back.
_LISTS = re.compile(r"(ANY|ALL) \(")
_CASTS = re.compile(r"::(character varying|text)(\(\d+\))?(\[\])?|[()]")

_TABLES = """
SELECT n.nspname, c.relname,
       ARRAY(SELECT a.attname
             FROM pg_index i
             CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k(number, place)
             JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.number
             WHERE i.indrelid = c.oid AND i.indisprimary AND k.place <= i.indnkeyatts ORDER BY k.place),
       ARRAY(SELECT a.attname FROM pg_attribute a
             WHERE a.attrelid = c.oid AND a.attnum > 0 AND a.attcollation <> 0 AND NOT a.attisdropped)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_depend d
                  WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY n.nspname, c.relname
"""

_DROP_EVERYTHING = """
SET LOCAL lock_timeout = '30s';
DO $drop$
DECLARE
    act text;
    acts text[];
BEGIN
    SELECT array_agg(format('DROP SCHEMA %I CASCADE', n.nspname)) INTO acts FROM pg_namespace n
    WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'public')
      AND NOT EXISTS (SELECT FROM pg_depend d
                      WHERE d.classid = n.tableoid AND d.objid = n.oid AND d.deptype = 'e');
    FOREACH act IN ARRAY coalesce(acts, '{}') LOOP EXECUTE act; END LOOP;

    SELECT array_agg(format('DROP %s IF EXISTS public.%I CASCADE',
               CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE'
                              WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END, c.relname)
               ORDER BY position(c.relkind::text IN 'vmrpfS')) INTO acts FROM pg_class c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
      AND NOT EXISTS (SELECT FROM pg_depend d
                      WHERE d.classid = c.tableoid AND d.objid = c.oid AND d.deptype IN ('e', 'i'));
    FOREACH act IN ARRAY coalesce(acts, '{}') LOOP EXECUTE act; END LOOP;

    SELECT array_agg(format('DROP ROUTINE IF EXISTS %s CASCADE', p.oid::regprocedure)) INTO acts
    FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace
      AND NOT EXISTS (SELECT FROM pg_depend d
                      WHERE d.classid = p.tableoid AND d.objid = p.oid AND d.deptype IN ('e', 'i'));
    FOREACH act IN ARRAY coalesce(acts, '{}') LOOP EXECUTE act; END LOOP;

    SELECT array_agg(format('DROP %s IF EXISTS public.%I CASCADE',
               CASE t.typtype WHEN 'd' THEN 'DOMAIN' ELSE 'TYPE' END, t.typname)) INTO acts FROM pg_type t
    WHERE t.typnamespace = 'public'::regnamespace AND t.typtype IN ('e', 'd', 'r', 'c')
      AND NOT EXISTS (SELECT FROM pg_depend d
                      WHERE d.classid = t.tableoid AND d.objid = t.oid AND d.deptype IN ('e', 'i'));
    FOREACH act IN ARRAY coalesce(acts, '{}') LOOP EXECUTE act; END LOOP;

    PERFORM lo_unlink(oid) FROM pg_largeobject_metadata;
END
$drop$;
"""


@dataclass(frozen=True)
class Table:
    """A table of the target: schema, name, columns of its primary key in order, columns that have a collation."""

    schema: str
    name: str
    key: tuple[str, ...]
    collated: frozenset[str]

    @property
    def label(self) -> str:
        """Return the readable name."""
        return self.name if self.schema == "public" else f"{self.schema}.{self.name}"

    @property
    def order(self) -> sql.Composable:
        """Return an order that is the same on every server, whatever its collation."""
        if not self.key:
            return sql.SQL('t::text COLLATE "C"')
        return sql.SQL(", ").join(
            sql.SQL('t.{} COLLATE "C"' if column in self.collated else "t.{}").format(sql.Identifier(column))
            for column in self.key
        )

    @property
    def identifier(self) -> sql.Identifier:
        """Return the quoted, qualified name."""
        return sql.Identifier(self.schema, self.name)


@dataclass(frozen=True)
class Database:
    """One database, and the folder of the PostgreSQL programs that suit its server ("": found on PATH)."""

    url: str
    binaries: str = ""

    def connect(self, *, autocommit: bool = False) -> Connection:
        """Open a connection with settings under which values always read the same; raises StepFailed."""
        try:
            connection = psycopg.connect(self.url, connect_timeout=10, application_name="ringi", autocommit=True)
        except psycopg.Error as error:
            raise StepFailed(_("the database cannot be reached: %(reason)s") % {"reason": error}) from error
        connection.execute(_SETTINGS)
        connection.autocommit = autocommit
        return connection

    def named(self, name: str) -> "Database":
        """Return another database on the same server."""
        return Database(make_conninfo(self.url, dbname=name), self.binaries)

    def tool(self, run: Runs, name: str, *options: str, pass_fds: tuple[int, ...] = ()) -> Outcome:
        """Run one of PostgreSQL's programs on this database; the password goes by a file that has no name."""
        parts = conninfo_to_dict(self.url)
        password = parts.pop("password", None)
        program = os.path.join(self.binaries, name) if self.binaries else name
        address = make_conninfo("", **{key: str(value) for key, value in parts.items() if value is not None})
        arguments = [program, "--no-password", f"--dbname={address}", *options]
        with open(os.memfd_create("pgpass"), "wb", buffering=0) as file:
            os.fchmod(file.fileno(), 0o600)
            escaped = str(password or "").replace("\\", "\\\\").replace(":", "\\:")
            file.write(f"*:*:*:*:{escaped}\n".encode() if password else b"")
            extra = {"PGPASSFILE": f"/proc/self/fd/{file.fileno()}"}
            return run(arguments, extra=extra, pass_fds=(file.fileno(), *pass_fds))


def tables_of(connection: Connection) -> list[Table]:
    """Return the database's own tables (partitions, not their parents), sorted by name."""
    rows = connection.execute(_TABLES).fetchall()
    return [Table(schema, name, tuple(key), frozenset(collated)) for schema, name, key, collated in rows]


@contextmanager
def snapshot_of(database: Database) -> Iterator[tuple[Connection, str, str]]:
    """Hold one read-only snapshot open: its connection, its exported name, and its `pg_snapshot` text."""
    with database.connect() as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        row = connection.execute("SELECT pg_export_snapshot(), pg_current_snapshot()::text").fetchone()
        assert row is not None
        yield connection, row[0], row[1]


def current_snapshot(database: Database) -> str:
    """Return the server's present `pg_snapshot` as text."""
    with database.connect() as connection:
        row = connection.execute("SELECT pg_current_snapshot()::text").fetchone()
    assert row is not None
    return str(row[0])


def _schema_text(database: Database, deployment: Runs, snapshot: str) -> str:
    # A file without a name needs no place where the program may write.
    with open(os.memfd_create("schema"), "r+") as file:
        path = f"/proc/self/fd/{file.fileno()}"
        options = ("--schema-only", "--no-owner", "--no-privileges", "--lock-wait-timeout=30s")
        database.tool(
            deployment, "pg_dump", *options, f"--snapshot={snapshot}", f"--file={path}", pass_fds=(file.fileno(),)
        )
        lines = file.read().splitlines()
    kept = [line for line in lines if line.strip() and line != "--" and not _NOISE.match(line)]
    # Of an empty database only the closing remark is left.
    if all(line.startswith("--") for line in kept):
        return ""
    return "".join((_CASTS.sub("", line) if _LISTS.search(line) else line) + "\n" for line in kept)


def _table_digest(connection: Connection, table: Table, heartbeat: Callable[[], None]) -> tuple[int, str]:
    digest, rows = hashlib.sha256(), 0
    query = sql.SQL("COPY (SELECT t.* FROM ONLY {} t ORDER BY {}) TO STDOUT").format(table.identifier, table.order)
    with connection.cursor() as cursor, cursor.copy(query) as copy:
        for row in copy:
            digest.update(row)
            rows += 1
            if rows % 100_000 == 0:
                heartbeat()
    return rows, digest.hexdigest()


def digest_in(
    database: Database,
    deployment: Runs,
    connection: Connection,
    snapshot: str,
    heartbeat: Callable[[], None] = lambda: None,
) -> DataDigest:
    """Digest the database in an exported snapshot that `connection` holds open."""
    schema = _schema_text(database, deployment, snapshot)
    tables: dict[str, tuple[int, str]] = {}
    for table in tables_of(connection):
        heartbeat()
        tables[table.label] = _table_digest(connection, table, heartbeat)
    if not schema and not tables:
        return DataDigest("", "")
    lines = "".join(f"{name} {rows} {digest}\n" for name, (rows, digest) in tables.items())
    total = hashlib.sha256(f"{schema}\n{lines}".encode()).hexdigest()
    return DataDigest(total, hashlib.sha256(schema.encode()).hexdigest(), tables)


def data_digest(
    database: Database, deployment: Runs, heartbeat: Callable[[], None] = lambda: None, *, data: bool = True
) -> DataDigest:
    """Digest the database as it is now, in a snapshot of its own. Raises StepFailed.

    data: its rows too, else its schema alone.
    """
    with snapshot_of(database) as (connection, snapshot, _text):
        if not data:
            schema = _schema_text(database, deployment, snapshot)
            return DataDigest("", hashlib.sha256(schema.encode()).hexdigest() if schema else "")
        return digest_in(database, deployment, connection, snapshot, heartbeat)


def dump(database: Database, deployment: Runs, snapshot: str, path: Path) -> None:
    """Dump the database as it is in the exported snapshot."""
    options = ("--format=custom", f"--snapshot={snapshot}", "--lock-wait-timeout=30s", f"--file={path}")
    database.tool(deployment, "pg_dump", *options)


@contextmanager
def scratch(database: Database, name: str) -> Iterator[Database]:
    """Make an empty database on the server of `database` and drop it afterwards; one left by a crash is replaced."""
    with database.connect(autocommit=True) as connection:
        _drop(connection, name)
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
        try:
            yield database.named(name)
        finally:
            _drop(connection, name)


def _drop(connection: Connection, name: str) -> None:
    """Drop a database and end this role's sessions in it.

    FORCE is not used: a role that is no superuser may not use it while autovacuum is at work there. A plain DROP asks
    autovacuum to leave and waits for all sessions that are leaving, five seconds at the most.
    """
    connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
        " AND backend_type = 'client backend' AND pg_has_role(usesysid, 'MEMBER')",
        [name],
    )
    connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))


def end_other_sessions(database: Database) -> int:
    """End every other session of the database that this role may end; return how many."""
    with database.connect() as connection:
        row = connection.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
            " AND pg_has_role(usesysid, 'MEMBER')"
        ).fetchone()
    assert row is not None
    return int(row[0])


def replace_content(database: Database, run: Runs, path: Path | None, work: Path) -> None:
    """Replace all content of the database by that of the dump (None: by nothing), all of it in one transaction.

    work: a private folder for the script. Whatever fails or is killed leaves the database as it was.
    """
    with tempfile.TemporaryDirectory(prefix=".restore-", dir=work) as folder:
        scripts = [Path(folder) / "drop.sql", Path(folder) / "restore.sql"]
        scripts[0].write_text(_DROP_EVERYTHING)
        if path is None:
            scripts.pop()
        else:
            program = os.path.join(database.binaries, "pg_restore") if database.binaries else "pg_restore"
            run([program, "--exit-on-error", f"--file={scripts[1]}", str(path)])
        options = ("--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1", "--output=/dev/null")
        database.tool(run, "psql", *options, *(f"--file={script}" for script in scripts))
