"""The database's roles over the migrated database: what is refused to each, and which roles no process starts with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from audit.ledger.functions import LEDGER_TABLES
from audit.roles import DECIDED_BY_PEOPLE, KEPT, PRIVATE_COLUMNS, PRIVATE_TABLES, READ_ONLY, dangers

PROJECT = Path(__file__).parents[2]
LOW = ("", "_WORKER", "_SCHEDULER", "_LEDGER_SIGNER", "_AUDITOR")
AUDITED_TABLES = ("environments_account", "releases_approvaldecision", "audit_ledgerresumption")


def url(address: str, role: str) -> str:
    """Return the address of the test's database for a role of the environment (`""`, `_OWNER`, …)."""
    name = conninfo_to_dict(address)["dbname"]
    return urlsplit(os.environ[f"DATABASE{role}_URL"])._replace(path=f"/{name}").geturl()


# A column of each ledger table without one for numbers.
COLUMN = {"audit_event": "reason", "audit_pending": "tx"}


@pytest.mark.parametrize("role", LOW)
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_operation_role SET role = NULL",
        "INSERT INTO audit_operation_role VALUES ('approval:approve', current_user)",
        "DELETE FROM audit_operation_role",
        *(f"UPDATE {table} SET {COLUMN.get(table, 'number')} = NULL" for table in LEDGER_TABLES),
        "SELECT set_config('ringi.linking', 'on', false); DELETE FROM audit_pending",
        *(f"DELETE FROM {table}" for table in LEDGER_TABLES),
        *(f"INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT * FROM {table}" for table in LEDGER_TABLES),
        *(f"TRUNCATE {table} CASCADE" for table in (*LEDGER_TABLES, *AUDITED_TABLES)),
        *(f"ALTER TABLE {table} DISABLE TRIGGER ALL" for table in (*LEDGER_TABLES, *AUDITED_TABLES)),
        *(f"ALTER TABLE {table} DISABLE TRIGGER USER" for table in (*LEDGER_TABLES, *AUDITED_TABLES)),
        *(f"DROP TABLE {table} CASCADE" for table in (*LEDGER_TABLES, *AUDITED_TABLES)),
        *(f"CREATE TRIGGER x BEFORE INSERT ON {table} EXECUTE FUNCTION ringi_refuse()" for table in LEDGER_TABLES),
        "SET session_replication_role = replica",
        "SELECT set_config('session_replication_role', 'replica', false)",
        "DROP TRIGGER ringi_capture ON releases_release",
        "DROP FUNCTION ringi_row_releases_release() CASCADE",
        "CREATE OR REPLACE FUNCTION ringi_link() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "SELECT ringi_row('INSERT', 'releases.Release:1', NULL, '{}')",
        "SELECT ringi_break_glass('x', 'y')",
        "SELECT * FROM audit_digest_key",
        "CREATE TABLE mine (id int)",
        "CREATE SCHEMA mine",
        "SET ROLE ringi_owner",
        "GRANT ringi_owner TO CURRENT_USER",
        "ALTER SYSTEM SET session_replication_role = replica",
        "CREATE EXTENSION pg_trgm SCHEMA public",
    ],
)
def test_no_role_of_a_process_can_touch_the_ledger(shared: str, role: str, statement: str) -> None:
    with psycopg.connect(url(shared, role), autocommit=True) as raw, pytest.raises(psycopg.Error) as refused:
        raw.execute(statement)
    assert refused.value.sqlstate == "42501", refused.value


@pytest.mark.parametrize("role", LOW)
def test_the_guard_finds_no_danger_in_the_roles_of_the_processes(shared: str, role: str) -> None:
    with psycopg.connect(url(shared, role), autocommit=True) as raw:
        assert dangers(raw) == []


@pytest.mark.parametrize(
    ("loosened", "found"),
    [
        ("GRANT ringi_owner TO {role}", "owns, or may become the owner of"),
        ("GRANT pg_write_all_data TO {role}", "write all tables"),
        ("ALTER ROLE {role} CREATEROLE", "make roles"),
        ("ALTER ROLE {role} SUPERUSER", "is a superuser"),
        ("GRANT UPDATE ON audit_event TO {role}", "may write a table of the ledger"),
        ("GRANT UPDATE (reason) ON audit_event TO {role}", "may write a table of the ledger"),
        ("GRANT TRIGGER ON releases_release TO {role}", "may hang triggers on"),
        ("GRANT SELECT ON audit_digest_key TO {role}", "the key of secret columns"),
        ("GRANT CREATE ON SCHEMA public TO {role}", "make objects in the schema"),
        ("GRANT SET ON PARAMETER session_replication_role TO {role}", "session_replication_role"),
    ],
)
def test_the_guard_names_each_right_too_many(shared: str, loosened: str, found: str) -> None:
    with psycopg.connect(url(shared, "_SERVER"), autocommit=True) as server:
        role = "ringi_test_" + os.urandom(4).hex()
        server.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{role}'")
        try:
            own = urlsplit(url(shared, ""))
            address = own._replace(netloc=f"{role}:{role}@{own.hostname}:{own.port}").geturl()
            with psycopg.connect(address, autocommit=True) as raw:
                assert dangers(raw) == []
                server.execute(loosened.format(role=role))
                assert any(found in danger for danger in dangers(raw)), dangers(raw)
        finally:
            server.execute(f"DROP OWNED BY {role}")
            server.execute(f"DROP ROLE {role}")


def _start(address: str, *argv: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"DATABASE_URL": address, "DJANGO_SETTINGS_MODULE": "config.settings"}
    return subprocess.run(
        [sys.executable, *argv], cwd=PROJECT, env=environment, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize("argv", [("-c", "import config.wsgi"), ("-c", "import config.asgi")])
def test_the_web_process_starts_with_the_applications_role_alone(shared: str, argv: tuple[str, ...]) -> None:
    assert _start(url(shared, ""), *argv).returncode == 0
    for role in ("_OWNER", "_SERVER"):
        refused = _start(url(shared, role), *argv)
        assert refused.returncode != 0 and "give the process the application's role" in refused.stderr


@pytest.mark.parametrize("argv", [("manage.py", "scheduler"), ("manage.py", "worker", "development")])
def test_scheduler_and_workers_refuse_the_owner(shared: str, argv: tuple[str, ...]) -> None:
    refused = _start(url(shared, "_OWNER"), *argv)
    assert refused.returncode != 0 and "owns, or may become the owner of" in refused.stderr


def test_a_connection_made_later_is_asked_as_well(shared: str) -> None:
    """The database may be down as the process starts: the first connection that comes is refused then."""
    program = """
import os, django
address, os.environ["DATABASE_URL"] = os.environ["DATABASE_URL"], "postgres://x:x@127.0.0.1:1/x"
import config.wsgi
from audit.roles import ExcessivePrivileges
from django.db import connection
import environ
connection.settings_dict.update(environ.Env.db_url_config(address))
try:
    connection.cursor()
except ExcessivePrivileges as refusal:
    print(refusal)
"""
    assert "is a superuser" in _start(url(shared, "_SERVER"), "-c", program).stdout


def test_a_worker_changes_nothing_that_people_decide(shared: str) -> None:
    with psycopg.connect(url(shared, "_WORKER"), autocommit=True) as raw:
        for table in DECIDED_BY_PEOPLE:
            for statement in (f"DELETE FROM {table}", f"INSERT INTO {table} DEFAULT VALUES"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    raw.execute(statement)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            raw.execute("UPDATE environments_accessgrant SET confirmed_at = now()")
        with raw.transaction():
            raw.execute("SELECT * FROM environments_environment FOR UPDATE")  # the operation locks rows that it reads


@pytest.mark.parametrize("table", ["releases_fact", "releases_heartbeat", "audit_reconciliation", "audit_verification"])
def test_a_worker_says_nothing_for_the_scheduler(shared: str, table: str) -> None:
    with psycopg.connect(url(shared, "_WORKER"), autocommit=True) as raw:
        for statement in (f"DELETE FROM {table}", f"INSERT INTO {table} DEFAULT VALUES"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                raw.execute(statement)


@pytest.mark.parametrize("role", ["", "_WORKER", "_SCHEDULER"])
def test_no_process_alters_or_deletes_a_snapshot(shared: str, role: str) -> None:
    """A deleted one would be missing on the pages, and the nightly comparison names it as a bulk write alone."""
    with psycopg.connect(url(shared, role), autocommit=True) as raw:
        tables = [table for table in readable(raw) if "_historical" in table]
        assert len(tables) > 15
        for table in tables:
            for statement in (f"DELETE FROM {table}", f"UPDATE {table} SET history_user_id = 1"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    raw.execute(statement)


@pytest.mark.parametrize("role", ["", "_WORKER", "_SCHEDULER"])
def test_no_process_deletes_a_record(shared: str, role: str) -> None:
    """The retention of the procedure cannot be cut short: neither an operation nor a password of a process deletes."""
    with psycopg.connect(url(shared, role), autocommit=True) as raw:
        for table in KEPT:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                raw.execute(f"DELETE FROM {table}")


def test_the_ledger_signer_reads_the_ledger_and_nothing_else(shared: str) -> None:
    with psycopg.connect(url(shared, "_LEDGER_SIGNER"), autocommit=True) as raw:
        tables = readable(raw)
    assert tables == {*READ_ONLY, "audit_ledgerresumption", "audit_checkpointdelivery"}
    with psycopg.connect(url(shared, ""), autocommit=True) as raw:
        for call in ("ringi_add_checkpoint(1, sha256('x'), 'n')", "ringi_renew_key('a', 'b', '{}', 'c')"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                raw.execute(f"SELECT {call}")
        with raw.transaction(), pytest.raises(psycopg.Error, match="only the ledger signer names its key"):
            raw.execute("SELECT ringi_append('operation', 'audit:renew_key', '', NULL, NULL, '', 'done')")


def readable(raw: psycopg.Connection[Any]) -> set[str]:
    """Return the tables of which the role may read every column."""
    rows = raw.execute(
        "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        " AND has_table_privilege(oid, 'SELECT')"
    ).fetchall()
    return {table for (table,) in rows}


def test_an_auditors_tools_read_everything_but_credentials(shared: str) -> None:
    with psycopg.connect(url(shared, "_AUDITOR"), autocommit=True) as raw:
        seen = readable(raw)
        assert {"audit_event", "releases_release", "releases_approvaldecision", "releases_historicalrelease"} <= seen
        assert not seen & {*PRIVATE_TABLES, *PRIVATE_COLUMNS}
        raw.execute("SELECT username, display_name FROM environments_account")
        for table, columns in PRIVATE_COLUMNS.items():
            for column in columns:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    raw.execute(f"SELECT {column} FROM {table}")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            raw.execute("UPDATE releases_release SET title = 'x'")
