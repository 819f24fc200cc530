"""Capture inside PostgreSQL: installs functions, triggers and rights from the one list, and names the actor.

`install` runs after every migration (audit.apps); the operation calls `set_context` as a transaction begins.
"""

import json
import secrets
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from audit.actor import Actor
from audit.ledger.functions import FUNCTIONS, LEDGER_TABLES, PRIVATE
from audit.ledger.row_function import Column, function_name, personal_functions, row_function
from audit.operation_roles import OPERATIONS, Operations
from audit.roles import Cursor, Roles, grant, name
from audit.triggers import BEFORE, DELETE, INSERT, ROW, TRUNCATE, UPDATE, Expected, hang

SQL = FUNCTIONS + PRIVATE
CAPTURE, NO_TRUNCATE = "ringi_capture", "ringi_no_truncate"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NO_ACTOR, APPEND_ONLY, WRONG_CALL, NOT_PERMITTED = "RI001", "RI002", "RI003", "RI004"


class AuditedTable(Protocol):
    """One table of the list; `audit.audited_tables.AuditedTable` is the real one."""

    @property
    def model(self) -> str: ...
    @property
    def unaudited(self) -> frozenset[str]: ...
    @property
    def secret(self) -> frozenset[str]: ...
    @property
    def personal(self) -> frozenset[str]: ...
    @property
    def personal_of(self) -> str: ...


class Connection(Protocol):
    """A connection of Django or of psycopg."""

    def cursor(self) -> Any: ...


class Uncapturable(Exception):
    """An audited table or column does not exist, or the table has no primary key."""


def context(actor: Actor, *, operation: str, operation_id: UUID | None = None, reason: str = "") -> str:
    """Return the JSON text that the triggers read from the setting `ringi.context`."""
    return json.dumps(
        {
            "actor": actor.label,
            "on_behalf": actor.on_behalf,
            "channel": actor.channel,
            "request": actor.request_id,
            "address": actor.address,
            "operation": operation,
            "operation_id": "" if operation_id is None else str(operation_id),
            "reason": reason,
        },
        ensure_ascii=False,
    )


# A number of microseconds reads the same whatever DateStyle the session has.
SET_CONTEXT = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, set_config('ringi.context', %s, %s)"


def moment(microseconds: int) -> datetime:
    """Return the time that SET_CONTEXT gave."""
    return EPOCH + timedelta(microseconds=microseconds)


def set_context(
    actor: Actor,
    *,
    operation: str,
    operation_id: UUID | None = None,
    reason: str = "",
    connection: Connection | None = None,
    whole_session: bool = False,
) -> datetime:
    """Give the triggers actor and reason, until the end of the transaction (or session); return the database's time.

    operation: `noun:verb`; connection: Django's default one when None. Outside a transaction the setting is
    lost at once, and the next audited write is refused with RI001.
    """
    if connection is None:
        from django.db import connection as default

        connection = default
    text = context(actor, operation=operation, operation_id=operation_id, reason=reason)
    with connection.cursor() as cursor:
        cursor.execute(SET_CONTEXT, [text, not whole_session])
        return moment(cursor.fetchone()[0])


def clear_context(connection: Connection) -> None:
    """Forget the actor of the whole session."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('ringi.context', '', false)")


def columns_of(
    cursor: Cursor, audited: AuditedTable, table: str, *, growing: bool = False
) -> tuple[list[str], list[Column]]:
    """Return the primary key of a table, and the columns that are audited, as it is now. growing: columns of the list
    may be missing. Raises Uncapturable.
    """
    cursor.execute(
        """
        SELECT a.attname::text, a.atttypid::regtype::text,
               coalesce(array_position(i.indkey::int2[], a.attnum), -1)
        FROM pg_attribute a
        LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary
        WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped
        ORDER BY 3, a.attnum
        """,
        [name(table)],
    )
    columns = cursor.fetchall()
    names = {column for column, _, _ in columns}
    if not names:
        raise Uncapturable(f"{audited.model}: there is no table {table}")
    if not growing and (missing := sorted((audited.unaudited | audited.secret | audited.personal) - names)):
        raise Uncapturable(f"{audited.model}: {table} has no column {', '.join(missing)}")
    key = [column for column, _, place in columns if place >= 0]
    if not key:
        raise Uncapturable(f"{audited.model}: {table} has no primary key")
    kept = [
        Column(column, kind, column in audited.secret, column in audited.personal and (audited.personal_of or True))
        for column, kind, _ in columns
        if column in key or column not in audited.unaudited
    ]
    return key, kept


def capture_function(cursor: Cursor, audited: AuditedTable, table: str, *, growing: bool = False) -> str:
    """Return the SQL of the function that captures a table as it is now. Raises Uncapturable."""
    return row_function(table, audited.model, *columns_of(cursor, audited, table, growing=growing))


def history_table(cursor: Cursor, table: str) -> str:
    """Return the table of simple-history's rows of a table; empty where there is none."""
    history = table.replace("_", "_historical", 1)
    cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [name(history)])
    return history if cursor.fetchone()[0] else ""


def functions_of_personal(cursor: Cursor, audited: AuditedTable, table: str) -> dict[str, str]:
    """Return name → SQL of the functions of a table with personal columns. Raises Uncapturable."""
    if not audited.personal:
        return {}
    (key,), columns = columns_of(cursor, audited, table)
    return personal_functions(table, audited.model, key, columns, history_table(cursor, table))


def triggers(tables: Iterable[str]) -> dict[tuple[str, str], Expected]:
    """Return (table, trigger) → what it is, for the tables of the ledger and these audited ones."""
    append_only = BEFORE | UPDATE | DELETE | TRUNCATE
    found: dict[tuple[str, str], Expected] = {
        (table, "ringi_append_only"): ("ringi_refuse", append_only, []) for table in LEDGER_TABLES
    }
    for table in tables:
        found[table, CAPTURE] = (function_name(table), ROW | INSERT | DELETE | UPDATE, [])
        found[table, NO_TRUNCATE] = ("ringi_refuse", BEFORE | TRUNCATE, [])
    return found


def _replace_function(cursor: Cursor, audited: AuditedTable, table: str, *, growing: bool = False) -> None:
    cursor.execute(capture_function(cursor, audited, table, growing=growing))
    cursor.execute(f"REVOKE ALL ON FUNCTION {function_name(table)}() FROM PUBLIC")


def follow(cursor: Cursor, audited: AuditedTable, table: str) -> None:
    """Capture a table with the columns that it has now, in the middle of a migration; nothing where none captures."""
    cursor.execute(
        "SELECT count(*) FROM pg_trigger WHERE tgrelid = to_regclass(%s) AND tgname = %s", [name(table), CAPTURE]
    )
    if cursor.fetchone()[0]:
        with suppress(Uncapturable):  # a key may be made again by the next statement; the installation looks at the end
            _replace_function(cursor, audited, table, growing=True)


def _install_triggers(cursor: Cursor, listed: Iterable[tuple[AuditedTable, str]]) -> None:
    kept, functions = set(), set()
    for audited, table in listed:
        kept.add(table)
        functions.add(function_name(table))
        _replace_function(cursor, audited, table)
        for function, sql in functions_of_personal(cursor, audited, table).items():
            functions.add(function)
            cursor.execute(sql)
            cursor.execute(f"REVOKE ALL ON FUNCTION {function}(text[]) FROM PUBLIC")
    hang(cursor, triggers(kept))
    cursor.execute(
        "SELECT c.relname::text, t.tgname::text FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid "
        "WHERE t.tgname IN (%s, %s) AND c.relnamespace = current_schema()::regnamespace",
        [CAPTURE, NO_TRUNCATE],
    )
    for table, trigger in cursor.fetchall():
        if table not in kept:
            cursor.execute(f"DROP TRIGGER {name(trigger)} ON {name(table)}")
    cursor.execute(
        "SELECT oid::regprocedure::text FROM pg_proc WHERE proname LIKE 'ringi\\_row\\_%%' AND proname <> ALL (%s)"
        " AND pronamespace = current_schema()::regnamespace",
        [sorted(functions)],
    )
    for (function,) in cursor.fetchall():
        cursor.execute(f"DROP FUNCTION {function}")


def _keep_digest_key(cursor: Cursor) -> None:
    """Make the key of secret columns once: HMAC-SHA256 wants its 64 bytes XORed with 0x36 and with 0x5c."""
    cursor.execute("SELECT count(*) FROM audit_digest_key")
    if cursor.fetchone()[0] == 0:
        key = secrets.token_bytes(64)
        pads = [bytes(byte ^ pad for byte in key) for pad in (0x36, 0x5C)]
        cursor.execute("INSERT INTO audit_digest_key (id, inner_pad, outer_pad) VALUES (1, %s, %s)", pads)


def install(
    connection: Connection,
    audited: Iterable[AuditedTable],
    table_of: Callable[[str], str],
    roles: Roles = Roles(),  # noqa: B008
    operations: Operations = OPERATIONS,
) -> None:
    """Make the database capture exactly the audited tables; safe to repeat, called inside a transaction.

    table_of: from a label of the list to its table. roles: the other database roles. operations: which processes may
    cause which. Raises `Uncapturable` for a table, column or primary key that is not there.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('ringi_capture_install'))")
        cursor.execute(SQL)
        _keep_digest_key(cursor)
        _install_triggers(cursor, [(one, table_of(one.model)) for one in audited])
        grant(cursor, roles, operations)
