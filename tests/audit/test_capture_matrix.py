"""Every audited table × every way to write it × insert, update, delete: one event each, its bytes as the row was."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import rfc8785
from django.db import ProgrammingError, models, transaction
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.types.json import Jsonb

from audit import capture
from audit.actor import Actor, acting
from audit.apps import table_of
from audit.audited_tables import AUDITED_TABLES, AuditedTable
from audit.ledger.link import link_pending
from tests import locks
from tests.audit.stock import as_recorded, changeable, deletable, model_of, other_value, superuser, unsaved

SATO = Actor(account_id=7, name="佐藤 花子", kind="person", channel="admin", address="192.0.2.7", request_id="r-1")
EACH = pytest.mark.parametrize("audited", AUDITED_TABLES, ids=lambda audited: audited.model)


def psql() -> str | None:
    """Return the program beside the servers, or the machine's own."""
    beside = Path(os.environ.get("POSTGRES_BIN", "")) / "psql"
    return str(beside) if beside.is_file() else shutil.which("psql")


class Table:
    """One audited table in a database of its own, and what was written there last."""

    def __init__(self, audited: AuditedTable, url: str) -> None:
        self.audited, self.url = audited, url
        self.model, self.name = model_of(audited.model), table_of(audited.model)
        self.raw = psycopg.connect(url, autocommit=True)
        with psycopg.connect(superuser(url)) as server:
            (pad,) = server.execute("SELECT inner_pad FROM audit_digest_key").fetchone()
        self.key = bytes(byte ^ 0x36 for byte in pad)
        self.operation_id = uuid4()

    @contextmanager
    def operation_of_sato(self) -> Iterator[None]:
        """Open an operation of Sato's through Django's connection."""
        self.operation_id = uuid4()
        with acting(SATO), transaction.atomic():
            capture.set_context(SATO, operation="matrix:write", operation_id=self.operation_id, reason="試験")
            yield

    @contextmanager
    def raw_operation_of_sato(self) -> Iterator[psycopg.Connection[Any]]:
        """Open an operation of Sato's through a plain connection of the application's role."""
        self.operation_id = uuid4()
        with self.raw.transaction():
            capture.set_context(
                SATO, operation="matrix:write", operation_id=self.operation_id, reason="試験", connection=self.raw
            )
            yield self.raw

    def psql(self, statement: sql.Composed, context: bool = True) -> subprocess.CompletedProcess[str]:
        """Write with the program that administrators use."""
        self.operation_id = uuid4()
        named = capture.context(SATO, operation="matrix:write", operation_id=self.operation_id, reason="試験")
        before = (
            f"SELECT set_config('ringi.context', {sql.Literal(named).as_string(self.raw)}, true);" if context else ""
        )
        script = f"BEGIN;\n{before}\n{statement.as_string(self.raw)};\nCOMMIT;\n"
        argv = [psql() or "", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", make_conninfo(self.url)]
        return subprocess.run(argv, input=script, capture_output=True, text=True, check=False)

    def row(self, pk: Any) -> dict[str, Any]:
        """Return the row as psycopg reads it; secret columns as the text that the database makes of them."""
        columns = [field.column for field in self.model._meta.concrete_fields]
        wanted = sql.SQL(", ").join(
            sql.SQL("to_jsonb({})#>>'{{}}'" if column in self.audited.secret else "{}").format(sql.Identifier(column))
            for column in columns
        )
        found = self.raw.execute(
            sql.SQL("SELECT {} FROM {} WHERE id = %s").format(wanted, sql.Identifier(self.name)), [pk]
        ).fetchone()
        return dict(zip(columns, found, strict=True)) if found else {}

    def last_number(self) -> int:
        """Return the number of the last event."""
        link_pending(self.raw)
        return int(self.raw.execute("SELECT number FROM audit_ledgerhead").fetchone()[0])

    def the_one_event(self, since: int) -> tuple[bytes, dict[str, Any]]:
        """Return bytes and contents of the only row event since a number."""
        import json

        link_pending(self.raw)
        rows = self.raw.execute(
            "SELECT e.bytes FROM audit_ledgerentry l JOIN audit_event e ON e.id = l.event_id WHERE l.number > %s",
            [since],
        ).fetchall()
        assert len(rows) == 1, [json.loads(row[0])["object"] for row in rows]
        return bytes(rows[0][0]), json.loads(rows[0][0])

    def expect(self, since: int, pk: Any, outcome: str, before: dict[str, Any], after: dict[str, Any]) -> None:
        """Compare the one event, byte by byte, with the row before and after, recorded in Python."""
        raw, event = self.the_one_event(since)
        with psycopg.connect(superuser(self.url)) as server:
            query = "SELECT key FROM audit_personal_key WHERE object = %s"
            own = server.execute(query, [f"{self.audited.model}:{pk}"]).fetchone() or (b"",)
        was, is_ = (as_recorded(row, self.audited, self.key, own[0]) if row else None for row in (before, after))
        if was is not None and is_ is not None:
            changed = {name for name in was if was[name] != is_[name]} | {"id"}
            was, is_ = ({name: part[name] for name in changed} for part in (was, is_))
        expected = event | {
            "operation_id": str(self.operation_id),
            "operation": "matrix:write",
            "actor": "person:7:佐藤 花子",
            "after": is_,
            "before": was,
            "channel": "admin",
            "kind": "row",
            "object": f"{self.audited.model}:{pk}",
            "on_behalf": "",
            "outcome": outcome,
            "reason": "試験",
            "request": {"address": "192.0.2.7", "id": "r-1"},
            "session_user": "ringi",
            "v": 2,
        }
        assert raw == rfc8785.dumps(expected)


@pytest.fixture
def table(audited: AuditedTable, shared: str) -> Iterator[Table]:
    """The table of this entry of the list."""
    made = Table(audited, shared)
    with deletable(made.name, shared):
        yield made
        made.raw.close()


def prepared(table: Table) -> tuple[Any, models.Field[Any, Any], Any]:
    """Return a row not yet inserted, the column that will be changed, and its other value."""
    with table.operation_of_sato():
        row = unsaved(table.model)
        field = changeable(table.model, table.audited)
        other = other_value(field)
    return row, field, other


def adapted(field: models.Field[Any, Any], value: Any) -> Any:
    """Return a value as the database's column takes it."""
    from django.db import connection

    if isinstance(field, models.JSONField):
        return Jsonb(value)
    return field.get_db_prep_save(getattr(value, "pk", value), connection)


def statements(
    table: Table, row: Any, field: models.Field[Any, Any], other: Any
) -> list[Callable[[Any], sql.Composed]]:
    """Return insert, update and delete as SQL with all values in it; the last two want the key."""
    fields = [one for one in table.model._meta.concrete_fields if not one.primary_key]
    values = [adapted(one, one.pre_save(row, add=True)) for one in fields]
    name = sql.Identifier(table.name)
    insert = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
        name,
        sql.SQL(", ").join(sql.Identifier(one.column) for one in fields),
        sql.SQL(", ").join(map(sql.Literal, values)),
    )
    change = sql.SQL("UPDATE {} SET {} = {} WHERE id = {}")
    return [
        lambda _pk: insert,
        lambda pk: change.format(
            name, sql.Identifier(field.column), sql.Literal(adapted(field, other)), sql.Literal(pk)
        ),
        lambda pk: sql.SQL("DELETE FROM {} WHERE id = {}").format(name, sql.Literal(pk)),
    ]


def newest(table: Table) -> Any:
    """Return the key of the row inserted last."""
    return table.raw.execute(sql.SQL("SELECT max(id) FROM {}").format(sql.Identifier(table.name))).fetchone()[0]


def walk(table: Table, insert: Callable[[], Any], update: Callable[[Any], Any], delete: Callable[[Any], Any]) -> None:
    """Insert, update and delete one row in some way, and compare the event of each."""
    since = table.last_number()
    insert()
    pk = newest(table)
    made = table.row(pk)
    assert made
    table.expect(since, pk, "inserted", {}, made)
    since = table.last_number()
    update(pk)
    changed = table.row(pk)
    assert changed != made
    table.expect(since, pk, "updated", made, changed)
    since = table.last_number()
    delete(pk)
    assert not table.row(pk)
    table.expect(since, pk, "deleted", changed, {})


def delete(table: Table, pk: Any, by_django: Callable[[], Any]) -> None:
    """Delete a row as Django does. An account that snapshots may name it can't; that takes a statement of one's own."""
    if table.audited.model == "environments.Account":
        with pytest.raises(ProgrammingError, match="permission denied for table"), table.operation_of_sato():
            by_django()
        with table.raw_operation_of_sato() as raw:
            raw.execute(sql.SQL("DELETE FROM {} WHERE id = %s").format(sql.Identifier(table.name)), [pk])
        return
    with table.operation_of_sato():
        by_django()
    locks.taken()  # nothing in the product deletes with all that hangs on a row, in an order of Django's own


@EACH
def test_orm_save_and_delete(table: Table) -> None:
    row, field, other = prepared(table)

    def save(_pk: Any = None) -> None:
        with table.operation_of_sato():
            row.save()

    def change(_pk: Any) -> None:
        setattr(row, field.name, other)
        save()

    walk(table, save, change, lambda pk: delete(table, pk, row.delete))


@EACH
def test_bulk_create_queryset_update_and_delete(table: Table) -> None:
    row, field, other = prepared(table)
    rows = table.model._base_manager

    def create() -> None:
        with table.operation_of_sato():
            rows.bulk_create([row])

    def update(pk: Any) -> None:
        with table.operation_of_sato():
            assert rows.filter(pk=pk).update(**{field.name: other}) == 1

    walk(table, create, update, lambda pk: delete(table, pk, rows.filter(pk=pk).delete))


@EACH
def test_bulk_update(table: Table) -> None:
    row, field, other = prepared(table)
    with table.operation_of_sato():
        row.save()
    made, since = table.row(row.pk), table.last_number()
    setattr(row, field.name, other)
    with table.operation_of_sato():
        table.model._base_manager.bulk_update([row], [field.name])
    table.expect(since, row.pk, "updated", made, table.row(row.pk))


@EACH
def test_raw_sql(table: Table) -> None:
    insert, update, delete = statements(table, *prepared(table))

    def write(statement: sql.Composed) -> None:
        with table.raw_operation_of_sato() as raw:
            raw.execute(statement)

    walk(table, lambda: write(insert(None)), lambda pk: write(update(pk)), lambda pk: write(delete(pk)))


@EACH
@pytest.mark.skipif(psql() is None, reason="no psql, neither beside the servers nor on the path")
def test_psql_and_without_an_actor_nothing(table: Table) -> None:
    insert, update, delete = statements(table, *prepared(table))

    def write(statement: sql.Composed) -> None:
        since, rows = table.last_number(), count(table)
        unnamed = table.psql(statement, context=False)
        assert unnamed.returncode != 0 and "no actor" in unnamed.stderr
        assert (table.last_number(), count(table)) == (since, rows)
        done = table.psql(statement)
        assert done.returncode == 0, done.stderr

    walk(table, lambda: write(insert(None)), lambda pk: write(update(pk)), lambda pk: write(delete(pk)))


def count(table: Table) -> int:
    """Return how many rows the table has."""
    return int(table.raw.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table.name))).fetchone()[0])


@EACH
def test_truncate_is_refused_and_the_broken_glass_is_named(table: Table) -> None:
    insert, _update, _delete = statements(table, *prepared(table))
    name = sql.Identifier(table.name)
    with psycopg.connect(superuser(table.url), autocommit=True) as server:
        for mode in ("origin", "replica"):
            server.execute(sql.SQL("SET session_replication_role = {}").format(sql.Literal(mode)))
            with pytest.raises(psycopg.Error) as refused:
                server.execute(sql.SQL("TRUNCATE {} CASCADE").format(name))
            assert refused.value.sqlstate == capture.APPEND_ONLY
            with pytest.raises(psycopg.Error) as refused:
                server.execute(insert(None))
            assert refused.value.sqlstate == capture.NO_ACTOR
        since = table.last_number()
        with server.transaction():
            server.execute("SELECT ringi_break_glass('田中', '手での修理')")
            server.execute(insert(None))
    with psycopg.connect(table.url) as raw:
        link_pending(raw)
        found = raw.execute(
            "SELECT e.kind, e.actor, e.operation, e.reason, e.object FROM audit_ledgerentry l JOIN audit_event e"
            " ON e.id = l.event_id WHERE l.number > %s ORDER BY l.number",
            [since],
        ).fetchall()
    who = ("break-glass:田中", "audit:break_glass", "手での修理")
    assert found == [("operation", *who, ""), ("row", *who, f"{table.audited.model}:{newest(table)}")]
