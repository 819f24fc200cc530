"""Whom SCIM has announced comes in by the first sign-in at the provider, once and as nobody else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from audit.actor import Actor, acting
from audit.clock import now
from audit.models import Event
from audit.operation import operation
from audit.refusals import NotPossible
from environments import access
from environments.models import AccessGrant, Account, Delegation, ExternalIdentity
from environments.operations.access.grant import confirm, request_role
from environments.operations.account.deactivate import deactivate, reactivate
from environments.operations.delegation.request import confirm as confirm_delegation, request_delegation
from tests.conftest import give_factor
from tests.environments.single_sign_on.test_groups import ruled
from tests.environments.single_sign_on.test_sign_in import signed_in_as
from tests.releases.gates.asking import alter, make

COMMAND = Actor(account_id=None, name="tests", kind="command", channel="command")


@pytest.fixture
def announced(people: dict[str, Any]) -> Any:
    """An account as SCIM makes it, for the person u-9 at the provider."""
    made = {"username": "hanako", "display_name": "Hanako", "is_staff": True, "provisioned": True, "external_id": "u-9"}
    return make(Account, **made)


@pytest.fixture
def enter(provider: Any, browser: Callable[..., Any]) -> Callable[..., str]:
    """Return a function: go to the provider as a person; return whose session that gave."""

    def go(subject: str, **claims: Any) -> str:
        provider.person(subject, **claims)
        visitor = browser()
        visitor.get("/account/single-sign-on/")
        return signed_in_as(visitor)

    return go


def test_an_announced_person_enrols_by_the_first_sign_in(announced: Any, enter: Callable[..., str]) -> None:
    assert enter("u-8") == ""
    assert enter("u-9") == str(announced.pk)
    announced.refresh_from_db()
    assert announced.enrolled_at is not None and announced.enrolled_before and not access.roles_anywhere(announced)
    assert ExternalIdentity.objects.get(account=announced).subject == "u-9"
    enrolments = Event.objects.filter(operation="account:enrol", object=f"environments.Account:{announced.pk}")
    assert enrolments.filter(kind="operation").count() == 1
    assert enter("u-9") == str(announced.pk)
    assert enrolments.filter(kind="operation").count() == 1


@pytest.mark.parametrize(
    "column", [{"provisioned": False}, {"break_glass": True}, {"is_active": False}, {"enrolled_before": True}]
)
def test_no_other_account_is_entered_by_its_external_id(
    announced: Any, enter: Callable[..., str], column: dict[str, Any]
) -> None:
    alter(announced, **column)
    assert enter("u-9") == "" and not ExternalIdentity.objects.exists()


def test_an_account_that_has_ended_needs_an_invitation(
    announced: Any, enter: Callable[..., str], acting_as: Callable[..., Any]
) -> None:
    enter("u-9")
    with acting_as("administrator"):
        deactivate(announced.pk, reason="left")
        assert enter("u-9") == ""
        reactivate(announced.pk, reason="came back")
    assert enter("u-9") == ""


def test_what_waits_for_the_first_sign_in_is_confirmed_after_it(
    announced: Any, enter: Callable[..., str], acting_as: Callable[..., Any], people: dict[str, Any]
) -> None:
    """A first sign-in can be by anybody: a delegation counts once an administrator knows who that is."""
    start, end = now() - timedelta(hours=1), now() + timedelta(days=1)
    parties = {"delegator_id": people["committee_a"].pk, "delegate_id": announced.pk}
    with acting_as("committee_a"):
        row = request_delegation(**parties, starts_at=start, until=end, reason="away")
    with acting_as("administrator"), pytest.raises(NotPossible, match="has not enrolled"):
        confirm_delegation(row.pk)
    alter(row, confirmed_at=now(), confirmed_by_id=people["administrator"].pk)
    with acting(COMMAND):
        given = request_role(announced.pk, role="operator", reason="by command")
    assert given.confirmed_at is not None
    enter("u-9")
    row.refresh_from_db()
    assert row.confirmed_at is None and not Delegation.objects.in_effect().exists()
    give_factor(announced)
    assert not access.roles_anywhere(announced)
    with acting_as("administrator"):
        confirm_delegation(row.pk)


def test_groups_here_count_at_the_sign_in_and_a_deciding_role_waits(
    announced: Any, enter: Callable[..., str], acting_as: Callable[..., Any], settings: Any
) -> None:
    from environments.models import ProvisionedGroup

    ruled(acting_as, "tester", "team")
    ruled(acting_as, "operator", "stated")
    settings.OIDC_GROUPS_CLAIM = "groups"
    with acting(COMMAND), operation("test:group", (Account, announced.pk)):
        ProvisionedGroup.objects.create(name="team").members.add(announced)
    enter("u-9", groups=["stated"])
    assert access.roles_anywhere(announced) == {"tester"}
    give_factor(announced)
    assert access.roles_anywhere(announced) == {"tester"}
    for name in ("administrator", "second_administrator"):
        assert access.roles_anywhere(announced) == {"tester"}
        with acting_as(name):
            confirm(AccessGrant.objects.get(account=announced, role="operator").pk)
    assert access.roles_anywhere(announced) == {"tester", "operator"}
    enter("u-9", groups=[])
    assert access.roles_anywhere(announced) >= {"tester"}
