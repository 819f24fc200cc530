"""First passwords: changed before anything else, and for a deciding role set by two."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from audit.clock import now
from audit.models import Event
from audit.refusals import Invalid, NotYou, SignatureNeeded, WrongState
from environments.actions.access.grant import propose
from environments.actions.access.grant import withdraw as end_grant
from environments.actions.account.close import close, reopen
from environments.actions.account.create import create
from environments.actions.account.password import confirm_password, drop_password, set_password
from environments.models import AccessGrant, Account
from tests.conftest import PASSWORD

NEW = "a-longer-way-in-2026"


def signed_in(username: str, password: str) -> Client:
    client = Client(headers={"accept-language": "en"})
    client.post("/account/login/", {"login": username, "password": password})
    client.cookies["django_language"] = "en"
    return client


def test_a_first_password_is_changed_before_anything_else(
    people: dict[str, Any], acting_as: Callable[..., Any]
) -> None:
    with acting_as("administrator"):
        made = create(username="sato", display_name="佐藤 花子", password=NEW)
        propose(made.pk, role="tester", reason="new")
    client = signed_in("sato", NEW)
    for address in ("/admin/", "/account/mfa/", "/admin/access/", "/account/mfa/totp/activate/", "/nowhere/"):
        answer = client.get(address)
        assert (answer.status_code, answer.get("location")) == (302, "/account/password/change/"), address
    act = client.post("/admin/act/access/request/", {}, headers={"accept": "application/json"})
    assert act.status_code == 302, "no verb works before"
    page = client.get("/account/password/change/")
    assert page.status_code == 200 and "chosen by an administrator" in page.content.decode()
    same = client.post("/account/password/change/", {"oldpassword": NEW, "password1": NEW, "password2": NEW})
    assert "another password" in same.content.decode()
    assert Account.objects.get(pk=made.pk).must_change_password
    own = "only-sato-knows-this"
    done = client.post("/account/password/change/", {"oldpassword": NEW, "password1": own, "password2": own})
    assert done["location"] == "/admin/"
    assert client.get("/admin/").status_code == 200
    made.refresh_from_db()
    assert made.check_password(own) and not made.must_change_password
    event = Event.objects.get(action="account:change_password", kind="access")
    assert event.actor.startswith(f"person:{made.pk}:")
    assert own not in bytes(event.bytes).decode()


def test_who_decides_gets_a_password_from_two(people: dict[str, Any], acting_as: Callable[..., Any]) -> None:
    """Case 24: an administrator alone never signs in as a committee member, nor as another administrator."""
    for name in ("committee_a", "manager", "operator", "second_administrator"):
        with acting_as("administrator"):
            account = set_password(people[name].pk, password=NEW, reason="forgotten")
        account.refresh_from_db()
        assert account.check_password(PASSWORD) and account.pending_by == people["administrator"], name
        assert signed_in(name, NEW).get("/admin/").status_code == 302, name
        with acting_as("administrator"), pytest.raises(NotYou, match="second person"):
            confirm_password(account.pk)
        with acting_as(name), pytest.raises(NotYou):
            confirm_password(account.pk)


def test_the_second_administrator_makes_it_count(
    people: dict[str, Any], acting_as: Callable[..., Any], browsers: Callable[[str], Any]
) -> None:
    before = browsers("committee_a")
    with acting_as("administrator"):
        set_password(people["committee_a"].pk, password=NEW, reason="forgotten")
    with acting_as("second_administrator"):
        confirm_password(people["committee_a"].pk)
        with pytest.raises(WrongState):
            confirm_password(people["committee_a"].pk)
    account = Account.objects.get(username="committee_a")
    assert account.check_password(NEW) and account.must_change_password and not account.pending_password
    assert before.get("/admin/").status_code == 302, "earlier sessions are gone"


def test_a_role_that_begins_later_or_waits_needs_two_as_well(
    people: dict[str, Any], acting_as: Callable[..., Any]
) -> None:
    with acting_as("administrator"):
        propose(people["outsider"].pk, role="committee", reason="from May", begins_at=now() + timedelta(days=30))
        propose(people["tester"].pk, role="committee", reason="waits")
        for name in ("outsider", "tester"):
            set_password(people[name].pk, password=NEW, reason="forgotten")
            assert Account.objects.get(username=name).pending_password, name


def test_without_a_deciding_role_one_is_enough(people: dict[str, Any], acting_as: Callable[..., Any]) -> None:
    with acting_as("administrator", proved=False), pytest.raises(SignatureNeeded):
        set_password(people["developer"].pk, password=NEW, reason="forgotten")
    with acting_as("administrator"):
        for password, reason in (("short", "forgotten"), (NEW, " ")):
            with pytest.raises(Invalid):
                set_password(people["developer"].pk, password=password, reason=reason)
        set_password(people["developer"].pk, password=NEW, reason="forgotten")
        with pytest.raises(NotYou, match="own"):
            set_password(people["administrator"].pk, password=NEW, reason="x")
        with pytest.raises(Invalid, match="service"):
            set_password(people["ci"].pk, password=NEW, reason="x")
    for name in ("manager", "auditor"):
        with acting_as(name), pytest.raises(NotYou):
            set_password(people["tester"].pk, password=NEW, reason="x")
    account = Account.objects.get(username="developer")
    assert account.check_password(NEW) and account.must_change_password
    for event in Event.objects.filter(action="account:set_password"):
        assert NEW not in bytes(event.bytes).decode() and "pbkdf2" not in bytes(event.bytes).decode()


def test_the_owner_or_an_administrator_drops_a_password_that_waits(
    people: dict[str, Any], acting_as: Callable[..., Any]
) -> None:
    for who in ("committee_a", "second_administrator"):
        with acting_as("administrator"):
            set_password(people["committee_a"].pk, password=NEW, reason="forgotten")
        with acting_as("manager"), pytest.raises(NotYou):
            drop_password(people["committee_a"].pk, reason="x")
        with acting_as(who):
            drop_password(people["committee_a"].pk, reason="I know mine")
            with pytest.raises(WrongState):
                drop_password(people["committee_a"].pk, reason="again")
    with acting_as("second_administrator"), pytest.raises(WrongState):
        confirm_password(people["committee_a"].pk)


def test_an_administrator_does_not_become_two(people: dict[str, Any], acting_as: Callable[..., Any]) -> None:
    """Closing or ending the other administrators gives nobody the power to decide alone."""
    second = AccessGrant.objects.get(account=people["second_administrator"], role="administrator")
    with acting_as("administrator"):
        end_grant(second.pk, reason="takes over")
        for account in (people["second_administrator"], people["outsider"]):
            assert propose(account.pk, role="administrator", reason="alone now").confirmed_at is None
        close(people["second_administrator"].pk, reason="takes over")
        reopen(people["second_administrator"].pk, reason="takes over")
        assert propose(people["second_administrator"].pk, role="administrator", reason="x").confirmed_at is None


def test_the_command_gives_the_role_when_nobody_is_left(people: dict[str, Any], capsys: Any) -> None:
    from django.core.management import CommandError, call_command

    call_command("administrator", "outsider", "--reason", "both administrators have left")
    assert AccessGrant.objects.in_force().filter(account=people["outsider"], role="administrator").exists()
    with pytest.raises(CommandError):
        call_command("administrator", "nobody", "--reason", "x")
    with pytest.raises(CommandError, match="service"):
        call_command("administrator", "ci", "--reason", "x")
