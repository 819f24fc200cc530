"""Erasure of the personal data of a recipient without an account, in all groups, by two administrators."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.urls import reverse

from audit import as_of
from audit.actor import acting, current
from audit.capture import set_context
from audit.clock import now
from audit.models import Event
from audit.personal import committed
from audit.refusals import InvalidInput, NotPermitted, NotPossible, SignatureRequired
from audit.verification import guard_faults
from environments.access import SecondFactorRequired
from environments.models import Environment
from releases.models import (
    Erasure,
    GroupRecipient,
    InboxItem,
    NotificationChannel,
    NotificationDelivery,
    RecipientGroup,
    SuppressedAddress,
)
from releases.operations.erasure import erase
from releases.operations.notification.approve_external import digest_of
from releases.operations.notification_delivery import lane
from releases.operations.notification_delivery.send import _record
from releases.operations.recipient.add import add_external, remove
from tests.audit.reconciliation.test_nightly import alarms, compared, past_every_guard
from tests.releases.conftest import World
from tests.releases.gates.asking import COMMAND, alter, make
from tests.releases.leaving import keys, ledger, recipient_erased
from tests.releases.operations.notifying import announced

NAME, MAIL = "Outsider Miyako", "miyako@outside.example"


@pytest.fixture
def gone(people: dict[str, Any], acting_as: Callable[..., Any], settings: Any) -> list[GroupRecipient]:
    """Two rows of one person in two groups, entered and removed as people do it."""
    settings.MAIL_DOMAINS = ("outside.example",)
    groups = RecipientGroup.objects.filter(closed_at=None).order_by("pk")[:2]
    with acting_as("manager"):
        given = {"name": NAME, "language": "en", "reason": "asks for news"}
        rows = [
            add_external(group.pk, address=mail, **given)
            for group, mail in zip(groups, (MAIL, MAIL.upper()), strict=True)
        ]
        for row in rows:
            remove(row.pk)
    return [GroupRecipient.objects.get(pk=row.pk) for row in rows]


@pytest.fixture
def notified(world: World, gone: list[GroupRecipient]) -> list[NotificationDelivery]:
    """What was sent to them, one delivery that waits, and the refusal of their server."""
    announced(world.planned("1.4.0"), *gone)
    rows = NotificationDelivery.objects.filter(inbox_item__group_recipient__in=gone).order_by("pk")
    alter(rows[1], outcome="pending", ended_at=None, next_at=now(), last_error=f"450 <{MAIL}> later")
    make(SuppressedAddress, address=MAIL.title(), reason=f"550 {MAIL}", since=now())
    return list(rows.all())


def test_no_event_holds_the_name_or_the_address(gone: list[GroupRecipient], notified: list[Any]) -> None:
    label = f"releases.GroupRecipient:{gone[0].pk}"
    assert NAME not in ledger() and MAIL not in ledger().lower()
    assert {state.values["name"] for state in as_of.life_of(label).states} == {NAME}
    assert compared()["unexplained"] == 0 and guard_faults(connection) == []


def test_an_answer_of_a_mail_server_names_no_one_in_an_event(notified: list[NotificationDelivery]) -> None:
    sent = next(row for row in notified if row.outcome == "pending")
    with acting(COMMAND):
        _record(sent, "failed", f"550 5.1.1 <{MAIL}>: no such user", disables=True)
        lane.found_faulty(NotificationChannel.objects.get(key="mail"), f"554 <{MAIL}>: relay denied")
    sent.refresh_from_db()
    assert sent.outcome == "failed" and MAIL in sent.last_error and MAIL not in ledger().lower()
    assert NotificationChannel.objects.get(key="mail").unavailable_because == "554 <…>: relay denied"


def test_two_administrators_erase_it_in_every_group_and_the_keys_are_gone(
    gone: list[GroupRecipient], notified: list[NotificationDelivery], acting_as: Callable[..., Any], database: str
) -> None:
    items = list(InboxItem.objects.filter(group_recipient__in=gone))
    labels = {f"{row._meta.label}:{row.pk}" for row in (*gone, *items, *notified, SuppressedAddress.objects.get())}
    assert labels <= keys(database) and len(labels) == 7
    notification = items[0].notification
    signed = digest_of(notification)
    with acting_as("administrator"):
        erase.request_recipient_erasure(gone[0].pk, reason="asked for")
    assert GroupRecipient.objects.get(pk=gone[0].pk).address == MAIL
    with acting_as("second_administrator"):
        erase.confirm_recipient_erasure(gone[0].pk)
    assert not labels & keys(database)
    assert digest_of(notification) == signed, "it neither tells of the person nor changes with them"
    for row in GroupRecipient.objects.filter(pk__in=[one.pk for one in gone]):
        assert (row.name, row.address, str(row)) == ("", "", "erased") and row.removed_at
        assert {*row.history.values_list("name", "address")} == {("", "")} and row.history.count() >= 3
    assert {*InboxItem.objects.filter(pk__in=[one.pk for one in items]).values_list("recipient", "name")} == {("", "")}
    for delivery in NotificationDelivery.objects.filter(pk__in=[one.pk for one in notified]):
        assert (delivery.address, delivery.response, delivery.last_error) == ("", "", "")
        assert delivery.outcome in ("sent", "cancelled") and delivery.next_at is None and delivery.ended_at
    suppressed = SuppressedAddress.objects.get()
    assert suppressed.address == suppressed.reason == "" and suppressed.lifted_at
    event = Event.objects.get(operation="erasure:confirm_recipient", kind="operation").contents
    assert event["object"] == f"releases.GroupRecipient:{gone[0].pk}"
    assert {name: one["rows"] for name, one in event["after"]["emptied"].items()} == {
        "releases.GroupRecipient": 2,
        "releases.InboxItem": 2,
        "releases.NotificationDelivery": 2,
        "releases.SuppressedAddress": 1,
    }
    assert event["after"]["history_rows"] == 4 and event["after"]["signature"]["meaning"] == event["operation"]
    assert compared()["unexplained"] == 0 and guard_faults(connection) == []
    for one in gone:
        states = as_of.life_of(f"releases.GroupRecipient:{one.pk}").states
        assert states[-1].values["address"] == "" and committed(states[0].values["address"])
    with acting_as("administrator"), pytest.raises(NotPossible, match="No personal data"):
        erase.request_recipient_erasure(gone[1].pk, reason="again")


def test_a_person_who_still_receives_or_has_an_account_is_not_erased(
    gone: list[GroupRecipient], acting_as: Callable[..., Any], people: dict[str, Any]
) -> None:
    again = make(GroupRecipient, group=gone[1].group, name=NAME, address=MAIL.title())
    with acting_as("administrator"):
        for row in (again, gone[0]):
            with pytest.raises(NotPossible, match="Remove them first"):
                erase.request_recipient_erasure(row.pk, reason="x")
        account = make(GroupRecipient, group=gone[0].group, account=people["tester"], removed_at=now())
        with pytest.raises(NotPossible, match="has an account"):
            erase.request_recipient_erasure(account.pk, reason="x")
        alter(again, removed_at=now())
        erase.request_recipient_erasure(gone[0].pk, reason="x")
    alter(again, removed_at=None)
    with acting_as("second_administrator"), pytest.raises(NotPossible, match="Remove them first"):
        erase.confirm_recipient_erasure(gone[0].pk)
    assert GroupRecipient.objects.get(pk=gone[0].pk).address == MAIL


def test_neither_one_person_nor_the_person_concerned_nor_others_erase(
    gone: list[GroupRecipient], acting_as: Callable[..., Any], people: dict[str, Any]
) -> None:
    pk = gone[0].pk
    for who in ("auditor", "manager", "operator", "committee_a", "outsider"):
        with acting_as(who), pytest.raises(NotPermitted):
            erase.request_recipient_erasure(pk, reason="x")
    with acting_as("administrator", proved=False), pytest.raises(SignatureRequired):
        erase.request_recipient_erasure(pk, reason="x")
    with acting_as("administrator"):
        with pytest.raises(InvalidInput):
            erase.request_recipient_erasure(pk, reason=" ")
        with pytest.raises(NotPossible, match="No erasure"):
            erase.confirm_recipient_erasure(pk)
        erase.request_recipient_erasure(pk, reason="x")
        with pytest.raises(NotPermitted, match="second person"):
            erase.confirm_recipient_erasure(pk)
        with pytest.raises(NotPossible, match="already been requested"):
            erase.request_recipient_erasure(pk, reason="x")
    alter(people["second_administrator"], email=MAIL.upper())
    with acting_as("second_administrator"), pytest.raises(NotPermitted, match="your own"):
        erase.confirm_recipient_erasure(pk)
    with acting_as("manager"), pytest.raises(NotPermitted):
        erase.reject_recipient_erasure(pk, reason="x")
    with acting_as("administrator"):
        erase.reject_recipient_erasure(pk, reason="a mistake")
    with acting_as("second_administrator"), pytest.raises(NotPossible, match="No erasure"):
        erase.confirm_recipient_erasure(pk)
    assert GroupRecipient.objects.get(pk=pk).address == MAIL


def test_both_signatures_ask_for_the_factor_of_production(
    gone: list[GroupRecipient], acting_as: Callable[..., Any]
) -> None:
    alter(Environment.objects.get(slug="production"), requires_two_factor=True)
    for name, act in (
        ("administrator", partial(erase.request_recipient_erasure, reason="x")),
        ("second_administrator", erase.confirm_recipient_erasure),
    ):
        with acting_as(name), acting(replace(current(), method="password")), pytest.raises(SecondFactorRequired):
            act(gone[0].pk)
        with acting_as(name), acting(replace(current(), method="password+totp")):
            act(gone[0].pk)
    assert GroupRecipient.objects.get(pk=gone[0].pk).address == ""


def test_the_database_erases_in_a_confirmation_alone(gone: list[GroupRecipient], acting_as: Callable[..., Any]) -> None:
    """As the role of the application, past the operation."""
    with acting_as("administrator"):
        erase.request_recipient_erasure(gone[0].pk, reason="x")
        row = Erasure.objects.get()
        for operation in ("erasure:confirm", "erasure:confirm_recipient"):
            with pytest.raises(DatabaseError, match="no two people"), transaction.atomic():
                set_context(current(), operation=operation, reason="x")
                connection.cursor().execute("SELECT ringi_erase(%s)", [row.pk])
        with pytest.raises(DatabaseError, match="not empty"), transaction.atomic():
            set_context(current(), operation="erasure:confirm_recipient", reason="x")
            Erasure.objects.update(confirmed_at=now(), confirmed_person="account:0")
            connection.cursor().execute("SELECT ringi_erase(%s)", [row.pk])
        with pytest.raises(DatabaseError, match="no two people"), transaction.atomic():
            set_context(current(), operation="erasure:confirm", reason="x")
            Erasure.objects.update(confirmed_at=now(), confirmed_person="account:0")
            connection.cursor().execute("SELECT ringi_erase(%s)", [row.pk])
        for pair in ({"account": None, "recipient": None}, {"account": row.requested_by, "recipient": gone[0]}):
            with pytest.raises(IntegrityError, match="erasure_of_one_person"), transaction.atomic():
                set_context(current(), operation="erasure:request_recipient", reason="x")
                Erasure.objects.create(**pair, reason="x", requested_by=row.requested_by, requested_person="x")


def test_a_recipient_in_a_group_keeps_an_address(gone: list[GroupRecipient], acting_as: Callable[..., Any]) -> None:
    with (
        acting_as("administrator"),
        pytest.raises(IntegrityError, match="recipient_account_or_address"),
        transaction.atomic(),
    ):
        set_context(current(), operation="recipient:remove", reason="x")
        GroupRecipient.objects.filter(pk=gone[0].pk).update(name="", address="", removed_at=None)


ROW = "(SELECT max(history_id) FROM releases_historicalgrouprecipient WHERE address <> '')"


BACK = "UPDATE releases_historicalgrouprecipient SET address = 'x@outside.example'"


@pytest.mark.parametrize(
    "statement",
    [
        f"UPDATE releases_historicalgrouprecipient SET address = '' WHERE history_id = {ROW}",
        BACK,
        "DELETE FROM audit_personal_key WHERE object LIKE 'releases.GroupRecipient:%'",
    ],
)
def test_what_was_emptied_or_altered_without_an_erasure_is_found(
    gone: list[GroupRecipient], database: str, statement: str
) -> None:
    past_every_guard(database, f"SET session_replication_role = replica; {statement}")
    assert compared()["unexplained"] >= 1
    assert {row["object"] for row in alarms()} <= {f"releases.GroupRecipient:{one.pk}" for one in gone}


def test_what_was_written_back_after_an_erasure_is_found_in_each_group(
    gone: list[GroupRecipient], acting_as: Callable[..., Any], database: str
) -> None:
    recipient_erased(gone[0], acting_as)
    past_every_guard(database, f"SET session_replication_role = replica; {BACK}")
    compared()
    assert {row["object"] for row in alarms()} == {f"releases.GroupRecipient:{one.pk}" for one in gone}


def test_the_page_of_the_group_and_my_tasks_lead_through_it(
    gone: list[GroupRecipient], notified: list[Any], browsers: Callable[[str], Any]
) -> None:
    row = gone[0]
    page = reverse("admin:releases_recipientgroup_change", args=[row.group_id])
    address = {
        verb: reverse("operation", args=["erasure", verb, row.pk])
        for verb in ("request_recipient", "confirm_recipient")
    }
    first, second = browsers("administrator"), browsers("second_administrator")
    shown = first.get(page).content.decode()
    assert 'data-verb="erasure:request_recipient"' in shown and NAME in shown
    given = {"reason": "asked for by mail"}
    shown = first.post(address["request_recipient"], given)
    preview = json.dumps(shown.context["preview"], default=str)
    assert "mail address" in preview and MAIL not in preview
    done = first.post(address["request_recipient"], {**given, "confirmed": shown.context["confirmed"]})
    assert done.status_code == 302
    assert "erasure:confirm_recipient" not in first.get(page).content.decode()
    assert "Confirm erasure" in second.get(reverse("admin:index")).content.decode()
    assert 'data-verb="erasure:confirm_recipient"' in second.get(page).content.decode()
    asked = second.get(address["confirm_recipient"]).content.decode()
    assert "asked for by mail" in asked and "Administrator" in asked.split("Content to sign")[1].split("</section>")[0]
    shown = second.post(address["confirm_recipient"], {})
    done = second.post(address["confirm_recipient"], {"confirmed": shown.context["confirmed"]})
    assert done.status_code == 302
    after = second.get(page).content.decode()
    assert NAME not in after and "Removed recipients" not in after
    for name in ("notification", "notificationdelivery", "suppressedaddress"):
        listed = second.get(reverse(f"admin:releases_{name}_changelist"))
        assert listed.status_code == 200 and MAIL not in listed.content.decode().lower()
