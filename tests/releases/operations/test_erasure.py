"""Erasure of personal data: by two administrators, after which no key tells of what the commitments are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.urls import reverse

from audit import as_of, search
from audit.actor import acting, current
from audit.clock import now
from audit.models import Event
from audit.personal import committed
from audit.refusals import GateNotPassed, InvalidInput, NotPermitted, NotPossible, SignatureRequired
from audit.verification import guard_faults
from environments.access import SecondFactorRequired
from environments.models import AccessGrant, Account, Environment, RequestedChange
from environments.operations.account import deactivate as accounts
from releases.models import (
    InboxItem,
    Notification,
    NotificationChannel,
    NotificationDelivery,
    SuppressedAddress,
    TeamMember,
)
from releases.operations.erasure import erase
from releases.operations.release.prepare import cancel
from tests.audit.reconciliation.test_nightly import compared
from tests.releases.conftest import World
from tests.releases.gates.asking import alter, make
from tests.releases.leaving import GIT, MAIL, TELEPHONE, erased, keys, leaver, leaver_of, ledger

__all__ = ["leaver"]


def test_no_event_holds_contact_data_and_each_read_shows_them_while_they_stand(
    leaver: Account, people: dict[str, Any], browsers: Callable[[str], Any]
) -> None:
    for text in (TELEPHONE, MAIL, GIT, "Clerk", "+81-90-0000-0000"):
        assert text not in ledger(), text
    assert compared()["unexplained"] == 0 and guard_faults(connection) == []
    label = f"environments.Account:{leaver.pk}"
    states = as_of.life_of(label).states
    assert {state.values["telephone"] for state in states} == {"", "+81-90-0000-0000", TELEPHONE}
    assert states[-1].values["git_addresses"] == [GIT] and states[0].values["email"] == ""
    page = browsers("auditor").get(reverse("as-of"), {"object": label})
    assert TELEPHONE in page.content.decode()
    assert search.look(search.Wanted(words=TELEPHONE)).events == []


def test_two_administrators_erase_and_the_keys_are_gone(
    world: World, leaver: Account, acting_as: Callable[..., Any], database: str, browsers: Callable[[str], Any]
) -> None:
    release = world.planned()
    member = make(TeamMember, release=release, team_role="verifier", account=leaver, telephone=TELEPHONE)
    suppressed = make(SuppressedAddress, address=MAIL.upper(), reason=f"550 {MAIL}", since=now())
    with acting_as("administrator"), pytest.raises(NotPossible, match="team of"):
        erase.request_erasure(leaver.pk, reason="x")
    with acting_as("manager"):
        cancel(release.pk, reason="x")
    label = f"environments.Account:{leaver.pk}"
    assert label in keys(database)
    leaver = erased(leaver, acting_as)
    assert (leaver.telephone, leaver.email, leaver.git_addresses, leaver.former_identities) == ("", "", [], [])
    assert (leaver.affiliation, leaver.job_title, leaver.employee_id, str(leaver)) == ("", "", "E-77", "Leaver")
    member.refresh_from_db(), suppressed.refresh_from_db()
    assert member.telephone == "" and suppressed.address == suppressed.reason == "" and suppressed.lifted_at
    assert not RequestedChange.objects.filter(account=leaver).exclude(before={}, after={}).exists()
    history = list(leaver.history.values_list("telephone", "email", "git_addresses"))
    assert len(history) > 3 and set(map(str, history)) == {"('', '', [])"}
    gone = {label, f"releases.TeamMember:{member.pk}", f"releases.SuppressedAddress:{suppressed.pk}"}
    gone |= {f"environments.RequestedChange:{pk}" for pk in RequestedChange.objects.values_list("pk", flat=True)}
    assert not gone & keys(database)
    event = Event.objects.get(operation="erasure:confirm", kind="operation")
    said = event.contents["after"]
    assert event.object == label and said["history_rows"] == len(history) - 2, "the first and the last were empty"
    assert said["emptied"]["environments.Account"]["columns"][:2] == ["affiliation", "email"]
    assert said["emptied"]["releases.TeamMember"]["rows"] == 1
    assert compared()["unexplained"] == 0 and guard_faults(connection) == []
    values = [state.values["telephone"] for state in as_of.life_of(label).states]
    assert values[-1] == "" and committed(values[-2]), "the commitments stay, and open no more"
    page = browsers("auditor").get(reverse("as-of"), {"object": label, "at": "2099-01-01"})
    assert page.status_code == 200


def test_the_pages_say_that_a_value_was_erased(
    leaver: Account, acting_as: Callable[..., Any], browsers: Callable[[str], Any]
) -> None:
    entered = Event.objects.filter(object=f"environments.Account:{leaver.pk}", kind="row").order_by("-at")[1]
    connection.cursor().execute("SELECT ringi_link()")
    page = reverse("event", args=[entered.ledger_entry.number])
    erased(leaver, acting_as)
    assert "personal data, not in the ledger" in browsers("auditor").get(page).content.decode()


@pytest.mark.parametrize("who", ["auditor", "manager", "operator", "committee_a", "ci", "outsider"])
def test_only_administrators_request_and_confirm(leaver: Account, acting_as: Callable[..., Any], who: str) -> None:
    with acting_as(who), pytest.raises(NotPermitted):
        erase.request_erasure(leaver.pk, reason="x")
    with acting_as("administrator"):
        erase.request_erasure(leaver.pk, reason="x")
    for decide in (erase.confirm_erasure, erase.reject_erasure):
        with acting_as(who), pytest.raises(NotPermitted):
            decide(leaver.pk, reason="x")
    assert Account.objects.get(pk=leaver.pk).telephone == TELEPHONE


def test_one_person_alone_erases_nothing(leaver: Account, acting_as: Callable[..., Any]) -> None:
    with acting_as("second_administrator"), pytest.raises(NotPossible, match="No erasure"):
        erase.confirm_erasure(leaver.pk)
    with acting_as("administrator"):
        erase.request_erasure(leaver.pk, reason="x")
        with pytest.raises(NotPermitted, match="second person"):
            erase.confirm_erasure(leaver.pk)
        with pytest.raises(NotPossible, match="already been requested"):
            erase.request_erasure(leaver.pk, reason="x")
    twin = alter(leaver, employee_id="E-1")
    alter(Account.objects.get(username="second_administrator"), employee_id="Ｅ-1")
    with acting_as("second_administrator"), pytest.raises(NotPermitted, match="your own"):
        erase.confirm_erasure(twin.pk)
    assert Account.objects.get(pk=leaver.pk).telephone == TELEPHONE


def test_the_requester_must_still_be_an_administrator(leaver: Account, acting_as: Callable[..., Any]) -> None:
    with acting_as("administrator"):
        erase.request_erasure(leaver.pk, reason="x")
    for grant in AccessGrant.objects.filter(account__username="administrator", revoked_at=None):
        alter(grant, revoked_at=now())
    with acting_as("second_administrator"), pytest.raises(GateNotPassed):
        erase.confirm_erasure(leaver.pk)


def test_both_sign_and_the_requester_says_why(leaver: Account, acting_as: Callable[..., Any]) -> None:
    with acting_as("administrator", proved=False), pytest.raises(SignatureRequired):
        erase.request_erasure(leaver.pk, reason="x")
    with acting_as("administrator"), pytest.raises(InvalidInput):
        erase.request_erasure(leaver.pk, reason=" ")
    with acting_as("administrator"):
        erase.request_erasure(leaver.pk, reason="x")
    with acting_as("second_administrator", proved=False), pytest.raises(SignatureRequired):
        erase.confirm_erasure(leaver.pk)


def test_what_is_destroyed_concerns_production_so_both_signatures_ask_for_its_factor(
    leaver: Account, acting_as: Callable[..., Any]
) -> None:
    alter(Environment.objects.get(slug="production"), requires_two_factor=True)
    for name, act in (
        ("administrator", partial(erase.request_erasure, reason="x")),
        ("second_administrator", erase.confirm_erasure),
    ):
        with acting_as(name), acting(replace(current(), method="password")), pytest.raises(SecondFactorRequired):
            act(leaver.pk)
        with acting_as(name), acting(replace(current(), method="password+totp")):
            act(leaver.pk)
    assert Account.objects.get(pk=leaver.pk).telephone == ""


def test_an_account_in_use_is_not_erased(people: dict[str, Any], acting_as: Callable[..., Any]) -> None:
    account = leaver_of(people, acting_as)
    with acting_as("administrator"), pytest.raises(NotPossible, match="is active"):
        erase.request_erasure(account.pk, reason="x")
    with acting_as("administrator"):
        accounts.deactivate(account.pk, reason="left")
    held = make(AccessGrant, account=account, role_id="tester", reason="x", starts_at=now() - timedelta(days=1))
    with acting_as("administrator"), pytest.raises(NotPossible, match="grants of access"):
        erase.request_erasure(account.pk, reason="x")
    alter(held, revoked_at=now())
    with acting_as("administrator"):
        erase.request_erasure(account.pk, reason="x")
        accounts.reactivate(account.pk, reason="came back")
    with acting_as("second_administrator"), pytest.raises(NotPossible, match="is active"):
        erase.confirm_erasure(account.pk)
    assert Account.objects.get(pk=account.pk).telephone == TELEPHONE


def test_a_rejected_request_erases_nothing_and_can_be_made_again(
    leaver: Account, acting_as: Callable[..., Any]
) -> None:
    with acting_as("administrator"):
        erase.request_erasure(leaver.pk, reason="x")
        with pytest.raises(InvalidInput):
            erase.reject_erasure(leaver.pk, reason="")
        erase.reject_erasure(leaver.pk, reason="no")
    with acting_as("second_administrator"), pytest.raises(NotPossible):
        erase.confirm_erasure(leaver.pk)
    erased(leaver, acting_as)
    with acting_as("administrator"), pytest.raises(NotPossible, match="No personal data"):
        erase.request_erasure(leaver.pk, reason="x")


def test_deliveries_to_the_account_lose_their_address(
    world: World, leaver: Account, acting_as: Callable[..., Any]
) -> None:
    mail = NotificationChannel.objects.get(key="mail")
    texts = dict.fromkeys(("ja", "en"), {"subject": "x", "body": "x"})
    item = make(
        InboxItem,
        notification=make(
            Notification,
            event="release:announce",
            outbox=1,
            operation_id=uuid4(),
            object="x:1",
            texts=texts,
            path="/admin/",
            made_at=now(),
        ),
        recipient="x",
        account=leaver,
        name="x",
        language="ja",
    )
    delivery = make(NotificationDelivery, inbox_item=item, channel=mail, address=MAIL, response=f"250 {MAIL}")
    assert MAIL not in ledger()
    erased(leaver, acting_as)
    delivery.refresh_from_db()
    assert delivery.address == delivery.response == ""


def test_the_request_waits_for_another_administrator_on_the_page_of_the_account(
    leaver: Account, browsers: Callable[[str], Any]
) -> None:
    page = reverse("admin:environments_account_change", args=[leaver.pk])
    address = {verb: reverse("operation", args=["erasure", verb, leaver.pk]) for verb in ("request", "confirm")}
    first, second = browsers("administrator"), browsers("second_administrator")
    assert 'data-verb="erasure:request"' in first.get(page).content.decode()
    given = {"reason": "asked for by mail"}
    shown = first.post(address["request"], given)
    assert "telephone" in str(shown.context["preview"]) and TELEPHONE not in str(shown.context["preview"])
    assert first.post(address["request"], {**given, "confirmed": shown.context["confirmed"]}).status_code == 302
    assert "erasure:confirm" not in first.get(page).content.decode()
    assert "Confirm erasure" in second.get(reverse("admin:index")).content.decode()
    assert 'data-verb="erasure:confirm"' in second.get(page).content.decode()
    asked = second.get(address["confirm"]).content.decode()
    assert "asked for by mail" in asked and "Administrator" in asked.split("Content to sign")[1].split("</section>")[0]
    shown = second.post(address["confirm"], {})
    assert second.post(address["confirm"], {"confirmed": shown.context["confirmed"]}).status_code == 302
    assert Account.objects.get(pk=leaver.pk).telephone == ""
    assert 'data-verb="erasure:confirm"' not in second.get(page).content.decode()
