"""Accounts are edited, deactivated and reactivated by others; a deactivated account may do nothing from then on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.sessions.models import Session

from audit.clock import now
from audit.refusals import InvalidInput, NotPermitted, NotPossible, SignatureRequired
from environments import access
from environments.models import AccessGrant, AccessRequest, Account, Environment, RequestedChange, Token
from environments.operations.access.grant import request_role
from environments.operations.access.request import request
from environments.operations.account.create import create
from environments.operations.account.deactivate import deactivate, reactivate
from environments.operations.account.edit import edit, edit_own
from environments.operations.delegation.request import confirm, request_delegation
from environments.operations.requested_change.decide import confirm_change
from environments.operations.token.issue import issue_token, revoke
from tests.conftest import seconded


def written(account: Account, **fields: Any) -> dict[str, Any]:
    """Return what the form of an account says when nothing but `fields` is changed."""
    same = {
        name: getattr(account, name)
        for name in ("display_name", "affiliation", "job_title", "employee_id", "telephone", "language")
    }
    return {**same, "git_addresses": tuple(account.git_addresses), "reason": "moved"} | fields


def test_an_administrator_changes_what_an_account_says(people: dict[str, Any], acting_as: Callable[..., Any]) -> None:
    given = written(
        people["developer"],
        display_name="佐藤 花子",
        affiliation="Data group",
        telephone="+81-3-0000-0001",
        employee_id="E-1",
        git_addresses=("Hanako@Datasets.example", "hanako@datasets.example"),
        language="en",
    )
    with acting_as("administrator", proved=False), pytest.raises(SignatureRequired):
        edit(people["developer"].pk, **given)
    with acting_as("administrator"):
        requested = edit(people["developer"].pk, **given)
    changed = Account.objects.get(username="developer")
    assert (changed.display_name, changed.employee_id, changed.language) == ("佐藤 花子", "", "en")
    assert changed.git_addresses == ["developer@datasets.example"], "who a person is takes two"
    changed = seconded(requested, acting_as, "second_administrator")
    assert (changed.employee_id, changed.git_addresses) == ("E-1", ["hanako@datasets.example"])
    for name in ("manager", "developer", "auditor"):
        with acting_as(name), pytest.raises(NotPermitted):
            edit(people["tester"].pk, **written(people["tester"]))


@pytest.mark.parametrize("field", [{"git_addresses": ("other@datasets.example",)}, {"employee_id": "E-77"}])
def test_changing_what_decides_about_ones_own_approvals_is_refused(
    people: dict[str, Any], newcomer: Callable[..., Any], acting_as: Callable[..., Any], field: dict[str, Any]
) -> None:
    """Case 24: neither on their account nor on another one of theirs."""
    people["day"] = newcomer("day", "administrator", employee_id="E-9")
    night = newcomer("night", employee_id="e-9")
    for name, account in (("administrator", people["administrator"]), ("day", people["day"]), ("day", night)):
        with acting_as(name):
            with pytest.raises(NotPermitted, match="Ask another administrator"):
                edit(account.pk, **written(account, **field))
            edit(account.pk, **written(account, affiliation="Office"))
    with acting_as("second_administrator"):
        requested = edit(people["administrator"].pk, **written(people["administrator"], **field))
    with acting_as("administrator"), pytest.raises(NotPermitted, match="Another person must confirm this change"):
        confirm_change(requested.pk)
    seconded(requested, acting_as, "day")


def test_one_administrator_alone_gives_no_address(people: dict[str, Any], acting_as: Callable[..., Any]) -> None:
    """Neither moved from an approver to a service, nor entered with a new account, nor as one's own mail address."""
    taken = ("committee_a@datasets.example",)
    with acting_as("administrator"):
        moved = edit(people["committee_a"].pk, **written(people["committee_a"], git_addresses=()))
        made = create(username="bot", display_name="Bot", kind="service", git_addresses=("bot@datasets.example",))
        with pytest.raises(NotPermitted, match="Another person must confirm this change"):
            confirm_change(moved.pk)
        with pytest.raises(InvalidInput, match="already"):
            edit(people["ci"].pk, **written(people["ci"], git_addresses=taken))
    assert Account.objects.get(username="committee_a").git_addresses == list(taken)
    assert Account.objects.get(pk=made.pk).git_addresses == []
    with acting_as("committee_a"), pytest.raises(NotPermitted):
        confirm_change(moved.pk)
    with acting_as("developer"):
        own = edit_own(telephone="1", language="en", email="own@datasets.example")
    assert Account.objects.get(username="developer").email == ""
    for name in ("developer", "manager"):
        with acting_as(name), pytest.raises(NotPermitted):
            confirm_change(own.pk)
    with acting_as("administrator"):
        assert confirm_change(own.pk).email == "own@datasets.example"
    asked = RequestedChange.objects.get(account=made)
    assert seconded(asked, acting_as, "second_administrator").git_addresses == ["bot@datasets.example"]


def test_an_address_belongs_to_one_person(people: dict[str, Any], acting_as: Callable[..., Any]) -> None:
    with acting_as("administrator"):
        with pytest.raises(InvalidInput, match="already"):
            edit(people["tester"].pk, **written(people["tester"], git_addresses=("DEVELOPER@datasets.example",)))
        with pytest.raises(InvalidInput, match="not a valid address"):
            edit(people["tester"].pk, **written(people["tester"], git_addresses=("nowhere",)))


def test_people_change_their_own_telephone_and_language_only(
    people: dict[str, Any], acting_as: Callable[..., Any]
) -> None:
    with acting_as("developer"):
        edit_own(telephone=" +81-3-0000-0002 ", language="en")
        with pytest.raises(InvalidInput):
            edit_own(telephone="", language="xx")
    with acting_as("ci"), pytest.raises(NotPermitted):
        edit_own(telephone="", language="en")
    own = Account.objects.get(username="developer")
    assert (own.telephone, own.language) == ("+81-3-0000-0002", "en")


def test_deactivating_ends_sessions_tokens_grants_and_delegates_together(
    people: dict[str, Any], acting_as: Callable[..., Any], browsers: Callable[[str], Any]
) -> None:
    """Case 13."""
    client, other = browsers("developer"), browsers("tester")
    assert client.get("/admin/").status_code == 200
    staging = Environment.objects.get(slug="staging")
    with acting_as("developer"):
        request(role="tester", environment_id=staging.pk, hours=1, reason="x")
    moment = now()
    with acting_as("committee_a"):
        row = request_delegation(
            delegator_id=people["committee_a"].pk,
            delegate_id=people["developer"].pk,
            starts_at=moment,
            until=moment + timedelta(days=1),
            reason="leave",
        )
    with acting_as("administrator"):
        confirm(row.pk)
        request_role(people["developer"].pk, role="committee", reason="waits")
        closed = deactivate(people["developer"].pk, reason="left the company")
    assert not access.may(closed, "read") and access.absent_persons_of(closed) == []
    assert not AccessGrant.objects.filter(account=closed, revoked_at=None).exists()
    assert not AccessRequest.objects.filter(account=closed, decided_at=None).exists()
    sessions = {s.get_decoded().get("_auth_user_id") for s in Session.objects.all()}
    assert str(closed.pk) not in sessions and str(people["tester"].pk) in sessions
    assert client.get("/admin/").status_code == 302 and other.get("/admin/").status_code == 200


def test_a_deactivated_account_cannot_sign_in(people: dict[str, Any], acting_as: Callable[..., Any]) -> None:
    from django.test import Client

    from tests.conftest import PASSWORD

    with acting_as("administrator"):
        deactivate(people["developer"].pk, reason="left")
    client = Client()
    client.post("/account/login/", {"login": "developer", "password": PASSWORD})
    assert client.get("/admin/").status_code == 302


def test_tokens_of_a_deactivated_account_are_dead(people: dict[str, Any], acting_as: Callable[..., Any]) -> None:
    """Case 13: also for the one that was open when it was closed, and they stay invalid when it is reactivated."""
    from django.http import HttpRequest

    from releases.api.token import TokenBearer

    with acting_as("administrator"):
        _token, secret = issue_token(people["ci"].pk)
        assert TokenBearer().authenticate(HttpRequest(), secret) is not None
        deactivate(people["ci"].pk, reason="replaced")
        assert TokenBearer().authenticate(HttpRequest(), secret) is None
        with pytest.raises(NotPossible):
            issue_token(people["ci"].pk)
        reactivate(people["ci"].pk, reason="needed again")
    assert TokenBearer().authenticate(HttpRequest(), secret) is None
    assert not Token.objects.filter(revoked_at=None).exists()


def test_a_reactivated_account_has_nothing_of_before(people: dict[str, Any], acting_as: Callable[..., Any]) -> None:
    with acting_as("administrator"):
        with pytest.raises(NotPossible):
            reactivate(people["committee_a"].pk, reason="x")
        deactivate(people["committee_a"].pk, reason="leave")
        with pytest.raises(NotPossible):
            deactivate(people["committee_a"].pk, reason="again")
        again = reactivate(people["committee_a"].pk, reason="back")
    assert again.is_active and access.roles_of(again) == set() and not again.has_usable_password()


def test_only_administrators_deactivate_and_never_themselves(
    people: dict[str, Any], acting_as: Callable[..., Any]
) -> None:
    with acting_as("administrator"), pytest.raises(NotPermitted, match="own"):
        deactivate(people["administrator"].pk, reason="enough")
    for name in ("manager", "committee_a", "auditor"):
        with acting_as(name), pytest.raises(NotPermitted):
            deactivate(people["tester"].pk, reason="x")
    with acting_as("administrator"), pytest.raises(InvalidInput, match="reason"):
        deactivate(people["tester"].pk, reason=" ")
    assert Account.objects.get(username="tester").is_active


def test_a_token_is_revoked_once_by_an_administrator(people: dict[str, Any], acting_as: Callable[..., Any]) -> None:
    with acting_as("administrator"):
        token, _secret = issue_token(people["ci"].pk)
    with acting_as("manager"), pytest.raises(NotPermitted):
        revoke(token.pk, reason="x")
    with acting_as("administrator", proved=False), pytest.raises(SignatureRequired):
        revoke(token.pk, reason="x")
    with acting_as("administrator"):
        with pytest.raises(InvalidInput):
            revoke(token.pk, reason="")
        assert revoke(token.pk, reason="leaked").revoked_at is not None
        with pytest.raises(NotPossible):
            revoke(token.pk, reason="again")
        for days in (0, 366):
            with pytest.raises(InvalidInput, match="days"):
                issue_token(people["ci"].pk, days=days)
