"""The operation: whom it refuses, what it writes, and that a refusal leaves nothing but itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import psycopg
import pytest
import rfc8785
from django.db import DatabaseError, OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext

from audit.actor import Actor, MissingActor, acting
from audit.models import Event, Outbox
from audit.operation import operation, record_event, retry_on_deadlock
from audit.refusals import GateNotPassed, InvalidInput, NotPermitted, NotPossible, SignatureRequired
from environments.models import AccessRule, Environment
from releases.models import Procedure
from tests import locks

COMMAND = Actor(account_id=None, name="tests", kind="command", channel="command")


def environment() -> Environment:
    return Environment.objects.get(slug="development")


def fingerprint(database: str) -> dict[str, str]:
    """Return table → digest of all rows, but for the ledger itself."""
    with psycopg.connect(database) as raw:
        tables = [
            row[0]
            for row in raw.execute(
                "SELECT relname::text FROM pg_class WHERE relkind = 'r'"
                " AND relnamespace = 'public'::regnamespace AND has_table_privilege(oid, 'SELECT')"
            )
        ]
        return {
            table: raw.execute(
                f"SELECT md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM {table} t"
            ).fetchone()[0]
            for table in tables
            if table not in ("audit_event", "audit_pending")
        }


def events_since(before: set[Any]) -> list[Event]:
    return [event for event in Event.objects.order_by("at") if event.pk not in before]


@pytest.fixture
def before(database: str) -> set[Any]:
    """The events that were there before."""
    return set(Event.objects.values_list("pk", flat=True))


def test_without_an_actor_there_is_no_operation(database: str) -> None:
    kept = fingerprint(database)
    count = Event.objects.count()
    with pytest.raises(MissingActor), operation("test:rename", (Environment, environment().pk)):
        pass
    assert fingerprint(database) == kept
    assert Event.objects.count() == count


def test_one_operation_leaves_one_operation_event_and_its_row_events(before: set[Any]) -> None:
    row = environment()
    with acting(COMMAND), operation("test:rename", (Environment, row.pk), reason="a better name") as op:
        op.get(Environment).name_en = "Workbench"
        op.details["asked_by"] = "the team"
    made = events_since(before)
    assert [event.kind for event in made].count("operation") == 1
    operation_event = next(event for event in made if event.kind == "operation")
    rows = [event for event in made if event.kind == "row"]
    assert [event.object for event in rows] == [f"environments.Environment:{row.pk}"]
    assert {event.operation_id for event in made} == {op.id}
    assert (operation_event.operation, operation_event.outcome, operation_event.reason) == (
        "test:rename",
        "done",
        "a better name",
    )
    assert (operation_event.actor, operation_event.channel) == ("command:tests", "command")
    assert operation_event.contents["after"] == {"asked_by": "the team"}
    assert rows[0].contents["before"]["name_en"] == "Development"
    assert rows[0].contents["after"]["name_en"] == "Workbench"
    assert not Outbox.objects.filter(operation_id=op.id).exists(), "no message is made of such an event"
    snapshot = row.history.first()
    assert (snapshot.name_en, snapshot.history_change_reason) == ("Workbench", "a better name")


def test_a_refusal_leaves_only_itself_with_its_reasons(database: str, before: set[Any]) -> None:
    """Case 11: the answer says no, and the database says the same."""
    kept = fingerprint(database)
    with acting(COMMAND), pytest.raises(GateNotPassed):
        with operation("test:rename", (Environment, environment().pk), reason="why not") as op:
            op.get(Environment).name_en = "Workbench"
            op.get(Environment).save()
            raise GateNotPassed("the first reason", "the second reason")
    assert fingerprint(database) == kept
    (refusal,) = events_since(before)
    assert (refusal.kind, refusal.outcome, refusal.operation) == ("refusal", "refused", "test:rename")
    assert refusal.contents["after"] == {
        "kind": "gate_not_passed",
        "reasons": ["the first reason", "the second reason"],
    }


def test_what_breaks_in_the_body_leaves_nothing(database: str, before: set[Any]) -> None:
    kept = fingerprint(database)
    with acting(COMMAND), pytest.raises(ZeroDivisionError):
        with operation("test:rename", (Environment, environment().pk)) as op:
            op.get(Environment).name_en = "Workbench"
            op.get(Environment).save()
            raise ZeroDivisionError
    assert fingerprint(database) == kept
    assert events_since(before) == []


def test_a_row_that_is_not_there_is_refused(database: str) -> None:
    with acting(COMMAND), pytest.raises(InvalidInput), operation("test:rename", (Environment, 0)):
        pass


def test_operations_never_nest(database: str) -> None:
    pk = environment().pk
    with acting(COMMAND):
        with pytest.raises(RuntimeError, match="never nest"), operation("test:outer", (Environment, pk)):
            with operation("test:inner", (Environment, pk)):
                pass
        with operation("test:after", (Environment, pk)):
            pass  # the operation is free again after the error


def test_it_refuses_to_open_inside_a_transaction(database: str) -> None:
    """Durable: else a refusal, or the operation itself, could be rolled back with what surrounds it."""
    with acting(COMMAND), transaction.atomic(), pytest.raises(RuntimeError, match="durable"):
        with operation("test:rename", (Environment, environment().pk)):
            pass


def test_one_operation_takes_at_most_one_edge(database: str) -> None:
    with acting(COMMAND), operation("test:make") as op:
        made = Procedure.objects.create(version="9.9.9", content={}, digest="x", reason="y")
        op.about(made)
    with acting(COMMAND), pytest.raises(RuntimeError, match="more than one edge"):
        with operation("test:jump", (Procedure, made.pk)) as op:
            op.get(Procedure).submit()
            op.get(Procedure).put_into_effect()
    assert Procedure.objects.get(pk=made.pk).state == "draft"


def test_an_edge_that_is_not_open_is_a_refusal_and_not_a_crash(database: str, before: set[Any]) -> None:
    active = Procedure.objects.get(state="in_effect")
    with acting(COMMAND), pytest.raises(NotPossible):
        with operation("procedure:submit", (Procedure, active.pk)) as op:
            op.get(Procedure).submit()
    assert [event.kind for event in events_since(before)] == ["refusal"]


def test_rows_are_locked_in_lock_order(database: str) -> None:
    """Whatever order they are named in, so that two operations never wait for each other."""
    active = Procedure.objects.get(state="in_effect")
    named = [(Environment, environment().pk), (Procedure, active.pk)]
    for targets in (named, named[::-1]):
        with acting(COMMAND), CaptureQueriesContext(connection) as seen, operation("test:both", *targets):
            pass
        locks = [q["sql"] for q in seen.captured_queries if "FOR NO KEY UPDATE" in q["sql"]]
        assert ["releases_procedure" in sql for sql in locks] == [True, False]


def test_a_signature_says_who_when_how_and_what_for(people: dict[str, Any], acting_as: Any) -> None:
    with acting_as("committee_a") as actor, operation("test:sign", sign=True) as op:
        record = op.signature(digest="d" * 64)
    assert record == {
        "name": "Committee A",
        "role": "committee",
        "meaning": "test:sign",
        "method": "password",
        "authenticated_at": actor.authenticated_at.isoformat(),
        "digest": "d" * 64,
        "address": "127.0.0.1",
        "operation_id": str(op.id),
    }
    event = Event.objects.get(operation_id=op.id, kind="operation")
    assert event.contents["after"]["signature"] == record


def test_an_operation_that_signs_leaves_a_signature_whatever_its_body_does(
    people: dict[str, Any], acting_as: Any
) -> None:
    with acting_as("committee_a") as actor, operation("test:sign_off", sign=True) as op:
        pass
    kept = Event.objects.get(operation_id=op.id, kind="operation").contents["after"]["signature"]
    assert (kept["meaning"], kept["name"], kept["method"]) == ("test:sign_off", actor.name, "password")
    with acting_as("committee_a"), operation("test:sign_off") as op:
        pass
    assert "signature" not in (Event.objects.get(operation_id=op.id, kind="operation").contents["after"] or {})


def test_a_signature_without_a_digest_of_its_own_has_that_of_its_event(people: dict[str, Any], acting_as: Any) -> None:
    with acting_as("committee_a"), operation("test:sign", reason="がんばる", sign=True) as op:
        op.details["facts"] = {"数": [1, 2]}
        op.signature()
    contents = Event.objects.get(operation_id=op.id, kind="operation").contents
    signature = contents["after"].pop("signature")
    signed = {name: contents[name] for name in ("operation", "object", "reason", "after")}
    assert signature["digest"] == sha256(rfc8785.dumps(signed)).hexdigest()


def test_the_database_takes_no_signature_without_a_digest(people: dict[str, Any], acting_as: Any) -> None:
    for empty in ({"name": "x"}, {"digest": ""}, None):
        with acting_as("committee_a"), pytest.raises(DatabaseError, match="names the digest"), transaction.atomic():
            record_event("test:sign", signature=empty)


def test_a_signature_needs_a_proof_of_identity_that_is_fresh(people: dict[str, Any], acting_as: Any) -> None:
    with acting_as("committee_a", proved=False), pytest.raises(SignatureRequired):
        with operation("test:sign", sign=True):
            pass
    assert not Event.objects.filter(operation="test:sign").exists(), "who is asked for a proof is not refused"
    with acting_as("committee_a") as actor:
        for age, allowed in ((299, True), (301, False)):
            stale = replace(actor, authenticated_at=datetime.now(UTC) - timedelta(seconds=age))
            with acting(stale):
                if allowed:
                    with operation("test:sign", sign=True):
                        pass
                else:
                    with pytest.raises(SignatureRequired), operation("test:sign", sign=True):
                        pass


def test_a_service_account_never_signs(people: dict[str, Any], acting_as: Any, before: set[Any]) -> None:
    """A service account is refused, and not asked for a proof of identity."""
    with acting_as("ci"), pytest.raises(NotPermitted), operation("test:sign", sign=True):
        pass
    with acting(replace(COMMAND, kind="worker")), pytest.raises(NotPermitted), operation("test:sign", sign=True):
        pass
    assert [e.contents["after"]["kind"] for e in events_since(before)] == ["not_permitted", "not_permitted"]


def test_a_raw_update_without_an_actor_is_refused(database: str) -> None:
    with pytest.raises(DatabaseError, match="no actor"):
        Environment.objects.filter(slug="development").update(name_en="elsewhere")
    assert environment().name_en == "Development"


def test_the_actor_of_one_operation_is_forgotten_after_it(database: str) -> None:
    with acting(COMMAND), operation("test:rename", (Environment, environment().pk)):
        pass
    with pytest.raises(DatabaseError, match="no actor"):
        Environment.objects.filter(slug="development").update(name_en="elsewhere")


def test_a_note_is_an_event_and_changes_no_row(database: str, before: set[Any]) -> None:
    kept = fingerprint(database)
    with acting(COMMAND):
        record_event("session:sign_in", object="environments.Account:1", how="password")
    (event,) = events_since(before)
    assert (event.kind, event.operation) == ("access", "session:sign_in")
    assert fingerprint(database) == kept


def test_an_event_added_about_another_row_is_a_message_of_the_same_operation(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("audit.operation.messages", {"test:moved", "test:rename"})
    row, other = Environment.objects.order_by("pk")[:2]
    with acting(COMMAND), operation("test:rename", (Environment, row.pk)) as op:
        op.add_event("test:moved", other, by="壱")
    messages = Outbox.objects.filter(operation_id=op.id).order_by("pk").values_list("event", "object", "payload")
    assert list(messages) == [
        ("test:moved", f"environments.Environment:{other.pk}", {"by": "壱"}),
        ("test:rename", f"environments.Environment:{row.pk}", {}),
    ]


def ended(state: str) -> None:
    """Let PostgreSQL end the open transaction with an error of this state."""
    with connection.cursor() as cursor:
        cursor.execute(f"DO $$ BEGIN RAISE EXCEPTION 'ended' USING ERRCODE = '{state}'; END $$")


@pytest.mark.parametrize("state", ["40P01", "40001"])
def test_what_a_deadlock_has_ended_is_done_again_once_and_no_more(before: set[Any], state: str) -> None:
    tries: list[str] = []

    def rename(*, until: int) -> None:
        with operation("test:rename", (Environment, environment().pk)) as op:
            tries.append(op.get(Environment).name_en)
            op.get(Environment).name_en = "Workbench"
            if len(tries) < until:
                ended(state)

    with acting(COMMAND):
        with pytest.raises(OperationalError):
            retry_on_deadlock(retry_on_deadlock(rename))(until=9)
        assert tries == ["Development"] * 2, "neither by this call nor by the one around it"
        tries.clear()
        retry_on_deadlock(rename)(until=2)
    assert tries == ["Development"] * 2 and environment().name_en == "Workbench"
    assert [event.kind for event in events_since(before)].count("operation") == 1


def test_what_was_committed_before_a_deadlock_is_not_done_again(database: str) -> None:
    """After it something may have happened outside."""
    done: list[str] = []

    def two(second: str) -> None:
        with acting(COMMAND):
            with operation("test:first"):
                done.append("first")
            with operation("test:second"):
                done.append("second")
                ended(second)

    with pytest.raises(OperationalError):
        retry_on_deadlock(two)("40P01")
    assert done == ["first", "second"]


def test_no_other_error_is_done_again(database: str) -> None:
    tries: list[int] = []

    def cancelled() -> None:
        with acting(COMMAND), operation("test:cancelled"):
            tries.append(1)
            ended("57014")

    with pytest.raises(OperationalError):
        retry_on_deadlock(cancelled)()
    assert tries == [1]


def test_a_row_that_points_at_a_locked_one_is_made_without_waiting(database: str) -> None:
    """An operation changes no key, so that its lock does not block writes of related rows."""
    with (
        acting(COMMAND),
        operation("test:hold", (Environment, environment().pk)) as op,
        psycopg.connect(database) as other,
    ):
        other.execute("SET lock_timeout = '2s'")
        other.execute("SELECT FROM environments_environment WHERE id = %s FOR KEY SHARE", [op.get(Environment).pk])


def test_a_test_in_which_a_row_is_locked_out_of_order_fails(database: str) -> None:
    """What tests/locks.py says after each test, said here."""
    active = Procedure.objects.get(state="in_effect")
    with acting(COMMAND), operation("test:both", (Environment, environment().pk)):
        Procedure.objects.filter(pk=active.pk).select_for_update().get()
    (fault,) = locks.taken()
    assert fault.startswith("releases_procedure (5) is locked after environments_environment")
    with acting(COMMAND), operation("test:both", (Environment, environment().pk)):
        list(AccessRule.objects.select_for_update())
    assert locks.taken() == ["rows of environments_accessrule are locked in no order: "]
