"""Invitations: a person chooses the password alone, and a deciding role counts for the person whom two know."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.test import Client

from audit.actor import acting
from audit.clock import now
from audit.models import Event
from audit.operation import operation
from audit.refusals import InvalidInput, NotPermitted, NotPossible, SignatureRequired
from environments import access
from environments.models import AccessGrant, Account, Delegation
from environments.operations.access.grant import confirm, request_role, revoke as end_grant
from environments.operations.account.create import create
from environments.operations.account.deactivate import deactivate, reactivate
from environments.operations.account.invite import enrol, invite
from environments.operations.delegation.request import confirm as confirm_delegate, request_delegation
from tests.conftest import PASSWORD, give_factor
from tests.environments.conftest import COMMAND

NEW = "a-longer-way-in-2026"


def walked(link: str, password: str = NEW) -> int:
    """Open an invitation in a browser and choose a password; return the status of the answer."""
    client = Client(headers={"accept-language": "en"})
    path = "/invitation/" + link.rpartition("/invitation/")[2]
    client.get(path)
    return int(client.post(path, {"password1": password, "password2": password}).status_code)


def test_a_deciding_role_counts_for_a_person_who_enrolled_with_a_factor(
    people: dict[str, Any], acting_as: Callable[..., Any], browsers: Callable[[str], Any]
) -> None:
    """The account is made, invited, enrolled; two give the role; without a second factor nothing of it counts."""
    with acting_as("administrator"):
        made = create(username="sato", display_name="佐藤 花子")
        early = request_role(made.pk, role="committee", reason="new member")
        link = invite(made.pk, reason="new member").secret
    with acting_as("second_administrator"), pytest.raises(NotPossible, match="has not enrolled yet"):
        confirm(early.pk)
    assert not made.has_usable_password()
    assert walked(link) == 302
    made.refresh_from_db()
    assert made.check_password(NEW) and made.enrolled_at is not None
    with acting_as("administrator"):
        grant = request_role(made.pk, role="committee", reason="new member")
        request_role(made.pk, role="auditor", reason="reads")
    with acting_as("second_administrator"):
        confirm(grant.pk)
    people["sato"] = made
    with acting_as("sato"):
        assert not access.may(made, "approve") and made not in access.holders("committee")
        with pytest.raises(NotPermitted, match="while its holder uses two-factor authentication"):
            access.require("approve")
    shown = browsers("administrator").get(f"/admin/environments/account/{made.pk}/change/").content.decode()
    assert "while its holder uses two-factor authentication" in shown
    give_factor(made)
    assert access.may(made, "approve") and made in access.holders("committee")


def test_a_link_opens_once_and_for_a_time(people: dict[str, Any], acting_as: Callable[..., Any]) -> None:
    with acting_as("administrator"):
        first = invite(people["developer"].pk, reason="forgotten").secret
        link = invite(people["developer"].pk, reason="again").secret
    assert walked(first) == 404, "a later link ends an earlier one"
    assert walked(link, "short") == 400
    assert walked(link) == 302
    assert walked(link) == 404
    assert Account.objects.get(username="developer").check_password(NEW)
    secret = link.split("/")[-2]
    with acting(COMMAND), pytest.raises(NotPossible, match="not valid any more"):
        enrol(people["developer"].pk, secret=secret, password=NEW)
    with acting_as("administrator"):
        late = invite(people["developer"].pk, reason="forgotten").secret
    with acting(COMMAND), operation("test:late", (Account, people["developer"].pk)) as op:
        op.get(Account).invited_until = now() - timedelta(seconds=1)
    assert walked(late) == 404
    stored = Account.objects.get(username="developer").invitation
    for event in Event.objects.all():
        assert secret not in bytes(event.bytes).decode() and stored not in bytes(event.bytes).decode()


def test_issuing_a_link_makes_no_approver(
    people: dict[str, Any], acting_as: Callable[..., Any], browsers: Callable[[str], Any]
) -> None:
    """Case 24: an administrator who opens the link gets an account whose roles another administrator must confirm."""
    earlier = browsers("committee_a")
    with acting_as("administrator"):
        link = invite(people["committee_a"].pk, reason="lost the telephone").secret
    assert access.may(people["committee_a"], "approve"), "until the link is used everything stays as it is"
    assert walked(link) == 302
    assert earlier.get("/admin/").status_code == 302, "earlier sessions are gone"
    assert not Authenticator.objects.filter(user=people["committee_a"]).exists(), "and so are earlier second factors"
    give_factor(people["committee_a"])
    assert not access.may(people["committee_a"], "approve")
    grant = AccessGrant.objects.get(account=people["committee_a"])
    for name in ("administrator", "committee_a"):
        with acting_as(name), pytest.raises(NotPermitted):
            confirm(grant.pk)
    with acting_as("second_administrator"):
        confirm(grant.pk, reason="asked on the telephone")
    assert access.may(people["committee_a"], "approve")


def test_a_delegate_who_was_invited_again_is_confirmed_again(
    people: dict[str, Any], acting_as: Callable[..., Any]
) -> None:
    times = {"starts_at": now(), "until": now() + timedelta(days=1)}
    with acting_as("committee_a"):
        row = request_delegation(
            delegator_id=people["committee_a"].pk, delegate_id=people["tester"].pk, reason="on leave", **times
        )
    with acting_as("administrator"):
        confirm_delegate(row.pk)
    assert access.absent_persons_of(people["tester"]) == [people["committee_a"]]
    with acting_as("administrator"):
        link = invite(people["tester"].pk, reason="forgotten").secret
    walked(link)
    give_factor(people["tester"])
    assert access.absent_persons_of(people["tester"]) == []
    with acting_as("administrator"), pytest.raises(NotPermitted):
        confirm_delegate(row.pk)
    with acting_as("second_administrator"):
        confirm_delegate(row.pk)
    assert access.absent_persons_of(people["tester"]) == [people["committee_a"]]
    with acting(COMMAND), operation("test:lost", (Account, people["tester"].pk)):
        Authenticator.objects.filter(user=people["tester"]).delete()
    assert access.absent_persons_of(people["tester"]) == [] and Delegation.objects.get().confirmed_at is not None


def test_who_may_invite_whom(people: dict[str, Any], acting_as: Callable[..., Any]) -> None:
    with acting_as("administrator", proved=False), pytest.raises(SignatureRequired):
        invite(people["developer"].pk, reason="forgotten")
    with acting_as("administrator"):
        for name, refusal in (("administrator", NotPermitted), ("ci", InvalidInput)):
            with pytest.raises(refusal):
                invite(people[name].pk, reason="x")
        deactivate(people["tester"].pk, reason="left")
        with pytest.raises(NotPossible, match="deactivated"):
            invite(people["tester"].pk, reason="x")
        reactivate(people["tester"].pk, reason="back")
    tester = Account.objects.get(username="tester")
    assert tester.enrolled_at is None and not tester.has_usable_password()
    for name in ("manager", "auditor"):
        with acting_as(name), pytest.raises(NotPermitted):
            invite(people["developer"].pk, reason="x")
    assert people["developer"].check_password(PASSWORD)


def test_an_administrator_does_not_become_two(people: dict[str, Any], acting_as: Callable[..., Any]) -> None:
    """Deactivating or revoking the other administrators gives no one the power to decide alone."""
    second = AccessGrant.objects.get(account=people["second_administrator"], role="administrator")
    with acting_as("administrator"):
        end_grant(second.pk, reason="takes over")
        for account in (people["second_administrator"], people["outsider"]):
            assert request_role(account.pk, role="administrator", reason="alone now").confirmed_at is None
        deactivate(people["second_administrator"].pk, reason="takes over")
        reactivate(people["second_administrator"].pk, reason="takes over")
        again = request_role(people["second_administrator"].pk, role="administrator", reason="x")
        assert again.confirmed_at is None
        link = invite(people["second_administrator"].pk, reason="x").secret
    assert walked(link) == 302
    assert not AccessGrant.objects.filter(pk=again.pk, confirmed_at__isnull=False).exists()


def test_the_command_gives_the_role_when_no_administrator_is_left(people: dict[str, Any], capsys: Any) -> None:
    from django.core.management import CommandError, call_command

    call_command("grant_administrator", "outsider", "--reason", "both administrators have left")
    assert not access.may(people["outsider"], "manage_access"), "without a second factor"
    link = capsys.readouterr().out.split()[-1]
    walked(link)
    give_factor(people["outsider"])
    assert access.may(people["outsider"], "manage_access")
    assert AccessGrant.objects.in_effect().filter(account=people["outsider"], role="administrator").exists()
    with pytest.raises(CommandError):
        call_command("grant_administrator", "nobody", "--reason", "x")
    with pytest.raises(CommandError, match="service"):
        call_command("grant_administrator", "ci", "--reason", "x")


def test_the_second_administrator_ever_counts_from_their_enrolment_on(people: dict[str, Any], acting_as: Any) -> None:
    """Made with the role and a link in one form: nothing counts before the person has enrolled; a third one waits."""
    others = AccessGrant.objects.filter(role="administrator").exclude(account=people["administrator"])
    with acting(COMMAND), operation("test:alone", (Account, people["outsider"].pk)):
        others.update(role="auditor")
    with acting_as("administrator"):
        made = create(username="sato", display_name="佐藤", invite=True, reason="the second")
        assert not request_role(made.pk, role="administrator", reason="the second").confirmed_at
    assert walked(made.secret) == 302
    grant = AccessGrant.objects.get(account=made)
    assert grant.confirmed_at is not None and grant.confirmed_by == people["administrator"]
    with acting_as("administrator"):
        third = create(username="kato", display_name="加藤", roles=("administrator",), invite=True, reason="the third")
    assert walked(third.secret) == 302
    assert AccessGrant.objects.get(account=third).confirmed_at is None
