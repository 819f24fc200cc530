"""Guards of an erasure: the database erases in a confirmation alone, and what was done without one is found."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from audit import as_of
from audit.actor import current
from audit.capture import set_context
from audit.clock import now
from audit.models import Event
from audit.personal import committed
from environments.models import Account
from releases.models import Erasure
from releases.operations.erasure import erase
from tests.audit.reconciliation.test_nightly import alarms, compared, past_every_guard
from tests.releases.leaving import TELEPHONE, erased, leaver, ledger

__all__ = ["leaver"]


def _call(actor: Any, operation: str, row: int) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        set_context(actor, operation=operation, reason="x")
        cursor.execute("SELECT ringi_erase(%s)", [row])


def test_the_database_erases_in_a_confirmation_alone(leaver: Account, acting_as: Callable[..., Any]) -> None:
    """As the role of the application, past the operation."""
    with acting_as("administrator"):
        erase.request_erasure(leaver.pk, reason="x")
        row = Erasure.objects.get()
        for operation in ("account:edit", "erasure:confirm"):
            with pytest.raises(DatabaseError, match="no two people"):
                _call(current(), operation, row.pk)
        with pytest.raises(DatabaseError, match="erasure_two_persons"), transaction.atomic():
            set_context(current(), operation="erasure:confirm", reason="x")
            Erasure.objects.update(confirmed_at=now(), confirmed_person=row.requested_person)
        with pytest.raises(DatabaseError, match="not empty"), transaction.atomic():
            set_context(current(), operation="erasure:confirm", reason="x")
            Erasure.objects.update(confirmed_at=now(), confirmed_person="account:0")
            with connection.cursor() as cursor:
                cursor.execute("SELECT ringi_erase(%s)", [row.pk])
        for statement in (
            f"SELECT ringi_row_environments_account_erase(ARRAY['{leaver.pk}'])",
            "UPDATE environments_historicalaccount SET telephone = ''",
            "DELETE FROM audit_personal_key",
            "SELECT key FROM audit_personal_key",
            f"SELECT ringi_commitment('environments.Account:{leaver.pk}', 'telephone', '\"{TELEPHONE}\"')",
            f"SELECT ringi_personal('environments.Account:{leaver.pk}', 'telephone', '\"{TELEPHONE}\"')",
        ):
            with pytest.raises(DatabaseError, match="permission denied"), connection.cursor() as cursor:
                cursor.execute(statement)
    with acting_as("second_administrator"):
        erase.confirm_erasure(leaver.pk)
        with pytest.raises(DatabaseError, match="no two people"):
            _call(current(), "erasure:confirm", row.pk)


ROW = "(SELECT max(history_id) FROM environments_historicalaccount WHERE git_addresses <> '[]')"


@pytest.mark.parametrize(
    "statement",
    [
        f"UPDATE environments_historicalaccount SET telephone = '' WHERE history_id = {ROW}",
        f"UPDATE environments_historicalaccount SET telephone = '+81-90-9' WHERE history_id = {ROW}",
        f"UPDATE environments_historicalaccount SET git_addresses = '[]' WHERE history_id = {ROW}",
        "DELETE FROM audit_personal_key WHERE object LIKE 'environments.Account:%'",
    ],
)
def test_a_history_row_emptied_or_altered_without_an_erasure_is_found(
    leaver: Account, database: str, statement: str
) -> None:
    past_every_guard(database, statement)
    assert compared()["unexplained"] >= 1
    assert f"environments.Account:{leaver.pk}" in {row["object"] for row in alarms()}


def test_an_altered_personal_column_is_found(leaver: Account, database: str) -> None:
    past_every_guard(
        database,
        "ALTER TABLE environments_account DISABLE TRIGGER USER;"
        "UPDATE environments_account SET telephone = '+81-90-9' WHERE username = 'leaver';"
        "ALTER TABLE environments_account ENABLE ALWAYS TRIGGER ringi_capture;"
        "ALTER TABLE environments_account ENABLE ALWAYS TRIGGER ringi_no_truncate",
    )
    compared()
    (found,) = alarms()
    assert (found["object"], found["columns"]) == (f"environments.Account:{leaver.pk}", "telephone")


@pytest.mark.parametrize("table", ["environments_account", "environments_historicalaccount"])
def test_values_restored_after_an_erasure_are_found(
    leaver: Account, acting_as: Callable[..., Any], database: str, table: str
) -> None:
    erased(leaver, acting_as)
    past_every_guard(
        database,
        f"SET session_replication_role = replica; ALTER TABLE environments_account DISABLE TRIGGER USER;"
        f"UPDATE {table} SET telephone = '{TELEPHONE}' WHERE username = 'leaver';"
        "ALTER TABLE environments_account ENABLE ALWAYS TRIGGER ringi_capture;"
        "ALTER TABLE environments_account ENABLE ALWAYS TRIGGER ringi_no_truncate",
    )
    compared()
    assert {row["object"] for row in alarms()} == {f"environments.Account:{leaver.pk}"}


def test_an_event_of_before_holds_the_value_and_the_comparison_accepts_both(
    leaver: Account, acting_as: Callable[..., Any], database: str
) -> None:
    """As in a database of 0.2.0 that was upgraded: its events can't be changed."""
    label = f"environments.Account:{leaver.pk}"
    states = [json.loads(bytes(event.bytes)) for event in Event.objects.filter(object=label, kind="row").order_by("at")]
    clear = as_of.life_of(label).states
    past_every_guard(database, "ALTER TABLE audit_event DISABLE TRIGGER ringi_append_only")
    for event, state in zip(states[:2], clear[:2], strict=True):
        for part in ("before", "after"):
            for column in event[part] or {}:
                event[part][column] = state.values[column] if committed(event[part][column]) else event[part][column]
        text = json.dumps(event, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
        past_every_guard(database, "UPDATE audit_event SET bytes = %s WHERE id = %s", text.encode(), event["id"])
    past_every_guard(database, "ALTER TABLE audit_event ENABLE ALWAYS TRIGGER ringi_append_only")
    assert "+81-90-0000-0000" in ledger() and compared()["unexplained"] == 0
    erased(leaver, acting_as)
    assert compared()["unexplained"] == 0
