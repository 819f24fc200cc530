"""Folded events of a row equal the row in its table, for every audited table and every type of column."""

from __future__ import annotations

import os
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from django.db import connection, transaction
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from audit import capture
from audit.actor import Actor, acting
from audit.audited_tables import AUDITED_TABLES, AuditedTable
from audit.ledger.link import link_pending
from audit.reconciliation.rows import Table, rows_of_events, rows_without_event
from tests.audit.stock import changeable, deletable, model_of, other_value, unsaved
from tests.audit.test_roles import url

SATO = Actor(account_id=7, name="佐藤 花子", kind="person", channel="admin", address="192.0.2.7", request_id="r-1")


def _found(cursor: Any, audited: AuditedTable) -> tuple[int, list[Any]]:
    table, found = Table.of(cursor, audited), {"present": 0}
    assert table is not None
    parts = [*rows_of_events(cursor, table, "", found), *rows_without_event(cursor, table, "", found)]
    return found["present"], [fault for _place, faults in parts for fault in faults]


@pytest.mark.parametrize("audited", AUDITED_TABLES, ids=lambda audited: audited.model)
def test_every_type_of_column_equals_its_events(shared: str, audited: AuditedTable) -> None:
    model = model_of(audited.model)
    with deletable(model._meta.db_table, shared), acting(SATO), transaction.atomic():
        capture.set_context(SATO, operation="rows:write", operation_id=uuid4(), reason="試験")
        kept, gone = unsaved(model), unsaved(model)
        kept.save(), gone.save()
        field = changeable(model, audited)
        model._default_manager.filter(pk=kept.pk).update(**{field.name: other_value(field)})
        model._default_manager.filter(pk=gone.pk)._raw_delete("default")
    with connection.cursor() as cursor:
        present, faults = _found(cursor, audited)
        assert present >= 1 and faults == []


def test_the_chain_says_which_event_is_later_when_the_clock_steps_back(
    shared: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("audit.as_of.PART", 2)
    (audited,) = (one for one in AUDITED_TABLES if one.model == "environments.Holiday")
    insert = "INSERT INTO environments_holiday (id, day, name_ja, name_en) VALUES (%s, %s, 'あ', 'a')"
    update = "UPDATE environments_holiday SET name_ja = 'い{}' WHERE id = %s"
    delete = "DELETE FROM environments_holiday WHERE id = %s"
    written = {
        9001: [insert, update.format(1), update.format(2)],
        9002: [insert, update.format(1), delete],
        9003: [insert, update.format(1), delete, insert],
    }
    for key, statements in written.items():
        for statement in statements:
            with transaction.atomic(), connection.cursor() as cursor:
                capture.set_context(SATO, operation="rows:write", reason="試験")
                values = [key, f"2031-01-{key - 9000:02}"] if statement == insert else [key]
                cursor.execute(statement, values)
    name = str(conninfo_to_dict(shared)["dbname"])
    with psycopg.connect(make_conninfo(os.environ["DATABASE_SERVER_URL"], dbname=name)) as root:
        link_pending(root)
        root.execute("ALTER TABLE audit_event DISABLE TRIGGER ringi_append_only")
        turned = root.execute(
            "UPDATE audit_event e SET at = e.at - l.number * interval '1 hour' FROM audit_ledgerentry l"
            " WHERE l.event_id = e.id AND e.object LIKE 'environments.Holiday:900_'"
        )
        assert turned.rowcount == 10
        root.execute("ALTER TABLE audit_event ENABLE ALWAYS TRIGGER ringi_append_only")
    with connection.cursor() as cursor:
        assert _found(cursor, audited)[1] == []


def test_it_goes_on_behind_the_place_that_it_yielded(shared: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audit.reconciliation.rows.BATCH", 2)
    monkeypatch.setattr("audit.as_of.PART", 3)
    (audited,) = (one for one in AUDITED_TABLES if one.model == "environments.AccessRule")
    with connection.cursor() as cursor:
        table = Table.of(cursor, audited)
        assert table is not None
        for step in (rows_of_events, rows_without_event):
            found: dict[str, Any] = {"present": 0}
            places = [place for place, _faults in step(cursor, table, "", found)]
            behind = [place for place, _faults in step(cursor, table, places[1], found)]
            assert len(places) > 3 and behind == places[2:]


def test_the_scheduler_passes_over_what_its_role_may_not_read(shared: str) -> None:
    assert os.environ["DATABASE_WORKER_URL"]
    with psycopg.connect(url(shared, "_WORKER"), autocommit=True) as raw:
        unread = [one.model for one in AUDITED_TABLES if Table.of(raw.cursor(), one) is None]
    assert unread == ["mfa.Authenticator"]
