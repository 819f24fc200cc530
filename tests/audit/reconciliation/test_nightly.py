"""What people read is what the ledger says: bulk writes are named, rows that no event explains raise an alarm."""

from __future__ import annotations

import io
import os
import tracemalloc
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import connection
from django.urls import reverse
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from audit.actor import Actor, acting
from audit.capture import set_context
from audit.clock import now
from audit.models import Event, Outbox, Reconciliation
from audit.operation import operation
from audit.reconciliation import compare, nightly
from audit.standing import standing
from environments.models import AccessGrant, Account, Environment
from releases.worker.poll import RARELY, nightly_comparison
from tests.audit.stock import deletable
from tests.releases.reporting.audit_tests.asking import ask, texts

SCHEDULER = Actor(account_id=None, name="scheduler", kind="worker", channel="scheduler")
FORGER = Actor(account_id=None, name="forger", kind="command", channel="command")


def compared() -> dict[str, Any]:
    """Compare everything; return what the event of the outcome says."""
    with acting(SCHEDULER):
        assert nightly.reconcile() is not None
    event = Event.objects.filter(operation=nightly.OUTCOME, kind="operation").order_by("-at").first()
    assert event is not None
    return dict(event.contents["after"])


def alarms() -> list[dict[str, Any]]:
    """Return the rows that the last alarm names; its message in the outbox names their objects."""
    event = Event.objects.filter(operation=nightly.ALARM, kind="operation").order_by("-at").first()
    rows: list[dict[str, Any]] = event.contents["after"]["rows"] if event is not None else []
    message = Outbox.objects.filter(event="ledger:alarm").order_by("-pk").first()
    assert (message.payload["rows"] if message is not None else []) == [row["object"] for row in rows]
    return rows


def past_every_guard(database: str, statement: str, *values: Any) -> None:
    """Run SQL as the database's superuser."""
    name = str(conninfo_to_dict(database)["dbname"])
    with psycopg.connect(make_conninfo(os.environ["DATABASE_SERVER_URL"], dbname=name), autocommit=True) as root:
        root.execute(statement, values or None)


def test_a_clean_history_is_explained_row_by_row(database: str) -> None:
    before = compared()
    assert before["unexplained"] == 0 and before["bulk"] == 0
    kept = sum(one.history._default_manager.count() for one in compare.compared_tables())
    assert before["rows"] == kept > 15 and before["objects"] > 15
    assert not Outbox.objects.filter(event="ledger:alarm").exists()
    assert compared()["rows"] == kept  # all of it again, the next night


def test_a_bulk_write_that_only_the_trigger_saw_is_named(database: str) -> None:
    with acting(FORGER), operation("test:repair") as op:
        Environment.objects.update(purpose_en="past the snapshots")
        op.details["why"] = "a repair"
    said = compared()
    count = Environment.objects.count()
    assert said["unexplained"] == 0 and said["bulk"] == count
    (write,) = said["writes"]
    assert (write["table"], write["operation"], write["actor"]) == (
        "environments.Environment",
        "test:repair",
        FORGER.label,
    )
    assert write["count"] == count and write["last"] - write["first"] == count - 1
    assert alarms() == []


def test_a_write_by_hand_in_sql_is_named_with_its_person(database: str) -> None:
    name = str(conninfo_to_dict(database)["dbname"])
    with psycopg.connect(make_conninfo(os.environ["DATABASE_OWNER_URL"], dbname=name)) as owner:
        owner.execute("SELECT ringi_break_glass('mori', 'a column was wrong')")
        owner.execute("UPDATE environments_environment SET purpose_en = 'x' WHERE slug = 'staging'")
    (write,) = compared()["writes"]
    assert (write["actor"], write["operation"], write["count"]) == ("break-glass:mori", "audit:break_glass", 1)


ROW = "(SELECT max(history_id) FROM environments_historicalaccessgrant)"


@pytest.mark.parametrize(
    ("what", "statement"),
    [
        ("no_event", f"UPDATE environments_historicalaccessgrant SET role = 'x' WHERE history_id = {ROW}"),
        ("other_doer", f"UPDATE environments_historicalaccessgrant SET history_user_id = 1 WHERE history_id = {ROW}"),
        (
            "other_doer",
            f"UPDATE environments_historicalaccessgrant SET history_change_reason = 'as told' WHERE history_id = {ROW}",
        ),
        (
            "no_event",
            "UPDATE environments_historicalaccessgrant SET history_date = history_date - interval '1 day' "
            f"WHERE history_id = {ROW}",
        ),
        (
            "no_event",
            f"UPDATE environments_historicalaccessgrant SET history_date = '2199-01-01' WHERE history_id = {ROW}",
        ),
        ("no_event", f"UPDATE environments_historicalaccessgrant SET history_type = '-' WHERE history_id = {ROW}"),
        ("no_object", f"UPDATE environments_historicalaccessgrant SET id = 999999 WHERE history_id = {ROW}"),
    ],
)
def test_a_row_that_no_event_explains_raises_an_alarm(database: str, what: str, statement: str) -> None:
    past_every_guard(database, statement)
    said = compared()
    assert said["unexplained"] == 1
    (row,) = alarms()
    assert row["object"].startswith("environments.AccessGrant:") and row["why"] == what, row
    assert Event.objects.filter(operation=nightly.ALARM, kind="operation").count() == 1
    if what != "other_doer":
        assert said["bulk"] == 1  # the event that the row no longer shows
    assert (
        len(compared()) and len(Event.objects.filter(operation=nightly.ALARM)) == 2
    )  # every night until it is put right


def test_the_alarm_stands_on_the_auditors_pages_until_it_is_put_right(
    database: str, browsers: Callable[[str], Any]
) -> None:
    auditor, test = browsers("auditor"), reverse("audit-test", args=["unexplained-history"])
    compared()
    assert "no exception" in auditor.get(test).content.decode()
    role = AccessGrant.history.order_by("history_id").last().role_id
    wrong = f"UPDATE environments_historicalaccessgrant SET role = %s WHERE history_id = {ROW}"
    past_every_guard(database, wrong, "x")
    compared()
    (row,) = texts(ask("unexplained-history"))
    assert (
        "environments.AccessGrant:" in row and "No event near the time of this history row produced this state." in row
    )
    assert test in auditor.get(reverse("admin:index")).content.decode()
    assert test not in browsers("manager").get(reverse("admin:index")).content.decode()
    past_every_guard(database, wrong, role)
    compared()
    assert test not in auditor.get(reverse("admin:index")).content.decode()
    assert len(texts(ask("unexplained-history"))) == 1  # it was so in this period


def unseen(database: str, table: str, statement: str) -> None:
    """Run SQL as the database's superuser while the table's trigger does not stand."""
    for part in ("DISABLE", statement, "ENABLE ALWAYS"):
        past_every_guard(database, part if part == statement else f"ALTER TABLE {table} {part} TRIGGER ringi_capture")


@pytest.mark.parametrize(
    ("table", "what", "named", "columns"),
    [
        (
            "environments_environment",
            "UPDATE environments_environment SET purpose_en = 'x' WHERE slug = 'staging'",
            "differing",
            "purpose_en",
        ),
        (
            "environments_environment",
            "UPDATE environments_environment SET purpose_en = 'x', protected = NOT protected WHERE slug = 'staging'",
            "differing",
            "protected, purpose_en",
        ),
        (
            "environments_accessgrant",
            "UPDATE environments_accessgrant SET starts_at = starts_at + interval '1 microsecond'"
            " WHERE id = (SELECT max(id) FROM environments_accessgrant)",
            "differing",
            "starts_at",
        ),
        (
            "environments_account",
            "UPDATE environments_account SET password = '', is_staff = NOT is_staff WHERE username = 'auditor'",
            "differing",
            "is_staff",
        ),
        ("auth_group", "INSERT INTO auth_group (name) VALUES ('x')", "without_event", ""),
        (
            "environments_accessgrant",
            "DELETE FROM environments_accessgrant WHERE id = (SELECT max(id) FROM environments_accessgrant)",
            "gone",
            "",
        ),
    ],
)
def test_a_row_that_was_changed_while_no_trigger_stood_is_named(
    database: str, table: str, what: str, named: str, columns: str
) -> None:
    before = compared()
    assert before["unexplained"] == 0 and before["present"] > 50
    unseen(database, table, what)
    said = compared()
    assert said["unexplained"] == 1, alarms()
    (row,) = alarms()
    assert (row["why"], row["columns"], row["row"]) == (named, columns, 0)
    assert (row["event"] > 0) == (named != "without_event")
    assert nightly.reason_of(row) and (not columns or nightly.reason_of(row).endswith(f": {columns}."))


def test_a_write_of_which_the_owner_removed_the_pending_event_is_named(database: str) -> None:
    assert compared()["unexplained"] == 0
    with acting(FORGER), operation("test:repair"):
        Environment.objects.filter(slug="staging").update(purpose_en="x")
    for table in ("audit_event", "audit_pending"):
        past_every_guard(database, f"ALTER TABLE {table} DISABLE TRIGGER USER")
    past_every_guard(database, "DELETE FROM audit_event e USING audit_pending p WHERE e.id = p.event_id")
    past_every_guard(database, "DELETE FROM audit_pending")
    compared()
    (row,) = alarms()
    assert (row["why"], row["columns"]) == ("differing", "purpose_en")


def test_a_row_that_came_back_after_its_deletion_is_named(database: str) -> None:
    deleting = deletable("environments_accessgrant", database)
    with deleting, acting(FORGER), operation("test:repair") as op:
        kept = AccessGrant.objects.order_by("-pk").first()
        pk = kept.pk
        AccessGrant.objects.filter(pk=pk)._raw_delete("default")
        op.details["why"] = "a repair"
    assert compared()["unexplained"] == 0
    columns = ", ".join(f.column for f in AccessGrant._meta.concrete_fields if not f.primary_key)
    back = f"SELECT {pk}, {columns} FROM environments_accessgrant LIMIT 1"
    unseen(database, "environments_accessgrant", f"INSERT INTO environments_accessgrant (id, {columns}) {back}")
    compared()
    (row,) = alarms()
    assert (row["object"], row["why"]) == (f"environments.AccessGrant:{pk}", "left")


def test_an_invented_row_is_found_between_true_ones(database: str) -> None:
    true = AccessGrant.history.order_by("history_id").last()
    true.pk, true.role_id, true.history_user_id = None, "never so", 1
    true.save(force_insert=True)
    assert compared()["unexplained"] == 1
    assert [(row["row"], row["account"]) for row in alarms()] == [(true.pk, "1")]


def test_a_removed_row_shows_as_an_event_without_history(database: str) -> None:
    gone = Environment.history.order_by("history_id").first()
    past_every_guard(database, "DELETE FROM environments_historicalenvironment WHERE history_id = %s", gone.pk)
    said = compared()
    assert (said["bulk"], said["unexplained"]) == (1, 0) and said["writes"][0]["table"] == "environments.Environment"


def test_a_removed_history_shows_all_its_events(database: str) -> None:
    rows = Environment.history.count()
    past_every_guard(database, "DELETE FROM environments_historicalenvironment")
    said = compared()
    assert (said["bulk"], said["unexplained"]) == (rows, 0) and rows > 1


def test_events_of_accounts_from_before_their_history_are_no_writes_past_the_application(database: str) -> None:
    """Accounts of 0.2.0 had none: the migration that made it says since when they have one."""
    past_every_guard(database, "DELETE FROM environments_historicalaccount")
    past_every_guard(database, "UPDATE django_migrations SET applied = now() WHERE name = '0013_account_history'")
    assert compared()["bulk"] == 0


def test_a_later_date_in_the_list_of_migrations_hides_no_write(database: str) -> None:
    events = Account.history.count()
    past_every_guard(database, "DELETE FROM environments_historicalaccount")
    assert compared()["bulk"] == events > 1
    past_every_guard(database, "UPDATE django_migrations SET applied = now() WHERE name = '0013_account_history'")
    assert compared()["bulk"] == events


def test_it_goes_on_where_it_was_broken_off(database: str) -> None:
    """Each slice ends behind an object; what was found before is kept, nothing is looked at twice."""
    past_every_guard(database, "UPDATE environments_historicalenvironment SET name_en = 'x'")
    whole, slices = compared(), 0
    with acting(SCHEDULER):
        while nightly.reconcile(0) is None:
            slices += 1
            assert Reconciliation.objects.filter(ended_at=None).count() == 1
    said = Event.objects.filter(operation=nightly.OUTCOME, kind="operation").order_by("-at")[0].contents["after"]
    assert slices > whole["objects"] and whole["unexplained"] == 3
    assert {key: said[key] for key in whole if key not in ("started_at", "writes")} == {
        key: whole[key] for key in whole if key not in ("started_at", "writes")
    }


def test_two_processes_do_not_compare_at_once(database: str) -> None:
    with psycopg.connect(database) as other, acting(SCHEDULER):
        other.execute(f"SELECT pg_advisory_lock({nightly.LOCK})")
        assert nightly.reconcile() is None and not Reconciliation.objects.exists()


def test_the_scheduler_does_it_once_a_night(database: str, settings: Any) -> None:
    begun = now()
    settings.RECONCILIATION_HOUR = (begun + timedelta(hours=2)).hour

    def due(hours: float) -> bool:
        return nightly.due(begun + timedelta(hours=hours))

    with acting(SCHEDULER):
        assert not due(0) and due(2) and nightly_comparison in RARELY
        for _time in range(300):
            nightly_comparison(begun + timedelta(hours=2.5))
            if not due(2.5):
                break
        nightly_comparison(begun + timedelta(hours=3))
    assert Event.objects.filter(operation=nightly.OUTCOME, kind="operation").count() == 1
    assert not due(3) and not due(23) and due(26.5)


def test_the_command_ends_with_one_when_there_is_an_alarm(database: str) -> None:
    def command() -> tuple[Any, str]:
        out = io.StringIO()
        with pytest.raises(SystemExit) as ended:
            call_command("audit_reconcile", stdout=out)
        return ended.value.code, out.getvalue()

    status, said = command()
    assert status == 0 and "Not explained by any event: 0." in said
    past_every_guard(database, "UPDATE releases_historicalprocedure SET reason = 'x'")
    status, said = command()
    assert status == 1 and "releases.Procedure:1, row 1" in said


def test_a_long_life_is_compared_in_constant_memory(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what lies near a row in time is held, however long the life of an object."""

    monkeypatch.setattr(compare, "NEAR", timedelta(milliseconds=20))

    def peak(times: int) -> int:
        with acting(FORGER), connection.cursor() as cursor:
            for _part in range(times):
                cursor.execute("BEGIN")
                set_context(FORGER, operation="test:fill")
                for _n in range(50):
                    cursor.execute(
                        "UPDATE environments_environment SET purpose_ja = clock_timestamp()::text WHERE slug "
                        "= 'staging'"
                    )
                cursor.execute("COMMIT")
        tracemalloc.start()
        compared()
        held = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return held

    few = peak(20)
    assert peak(60) < few * 1.5 + 200_000


def test_a_row_that_says_when_it_ended_keeps_no_comparison_from_being_due(database: str) -> None:
    compared()
    insert = (
        "INSERT INTO audit_reconciliation (started_at, ended_at, progress, found) VALUES ('2999-01-01', "
        "now(), '[]', '{}')"
    )
    past_every_guard(database, insert)
    assert nightly.due(now() + timedelta(days=1, hours=1))


LAST = """UPDATE audit_reconciliation SET progress = '["auth.Group.permissions", "rows_without_event", ""]',
  found = found || '{"unexplained": 0}'"""


@pytest.mark.parametrize("written", [LAST, "UPDATE audit_reconciliation SET started_at = '2999-01-01'"])
def test_a_comparison_that_somebody_else_has_written_starts_again(database: str, written: str) -> None:
    for statement in (
        "DISABLE TRIGGER USER",
        "ENABLE ALWAYS TRIGGER ringi_capture",
        "ENABLE ALWAYS TRIGGER ringi_no_truncate",
    ):
        past_every_guard(database, f"ALTER TABLE environments_environment {statement}")
        if "DISABLE" in statement:
            past_every_guard(database, "UPDATE environments_environment SET name_en = 'Elsewhere'")
    with acting(SCHEDULER):
        assert nightly.reconcile(0.0) is None
        past_every_guard(database, written)
        reconciliation = nightly.reconcile()
    assert reconciliation is not None and reconciliation.found["unexplained"] > 0


def test_a_comparison_that_does_not_happen_raises_an_alarm(database: str) -> None:
    """Any session can hold the lock."""
    compared()
    assert not standing().late
    moved = "UPDATE audit_event SET at = at - interval '49 hours' WHERE operation = 'audit:reconcile'"
    past_every_guard(database, f"ALTER TABLE audit_event DISABLE TRIGGER USER; {moved}")
    assert standing().late
