"""Granting roles: never to oneself, a deciding one by two people, and revoked at once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from audit.clock import now
from audit.models import Event
from audit.refusals import InvalidInput, NotPermitted, NotPossible, SignatureRequired
from environments import access
from environments.models import AccessGrant
from environments.operations.access.grant import confirm, request_role, revoke
from environments.roles import DECIDING, OF_SERVICES, ROLE_CHOICES


def test_granting_to_oneself_is_refused(people: dict[str, Any], acting_as: Callable[..., Any]) -> None:
    with acting_as("administrator"), pytest.raises(NotPermitted, match="yourself"):
        request_role(people["administrator"].pk, role="tester", reason="I need it")
    assert not access.may(people["administrator"], "upload_evidence")


def test_granting_to_oneself_under_another_account_is_refused(
    newcomer: Callable[..., Any], people: dict[str, Any], acting_as: Callable[..., Any]
) -> None:
    people["admin2"] = newcomer("admin2", "administrator", employee_id="E-7")
    people["private"] = newcomer("private", employee_id="e-7")
    with acting_as("admin2"), pytest.raises(NotPermitted, match="yourself"):
        request_role(people["private"].pk, role="tester", reason="a friend")


def test_every_deciding_role_takes_two(
    newcomer: Callable[..., Any], people: dict[str, Any], acting_as: Callable[..., Any]
) -> None:
    """That of a service account too: its evidence counts for gates, and it starts approved deployments."""
    assert {"ci", "committee", "release_manager", "project_manager", "operator"} <= DECIDING
    for role, _label in ROLE_CHOICES:
        who = newcomer(f"robot-{role}", kind="service") if role in OF_SERVICES else people["outsider"]
        with acting_as("administrator"):
            grant = request_role(who.pk, role=role, reason="new duty")
        assert (grant.confirmed_at is None) == (role in DECIDING), role
        assert (role in access.roles_of(who)) == (role not in DECIDING), role


def test_the_second_person_is_another_one(people: dict[str, Any], acting_as: Callable[..., Any]) -> None:
    with acting_as("administrator"):
        grant = request_role(people["tester"].pk, role="committee", reason="new member")
        with pytest.raises(NotPermitted, match="second person"):
            confirm(grant.pk)
    assert not access.may(people["tester"], "approve")
    with acting_as("second_administrator"):
        confirm(grant.pk)
        with pytest.raises(NotPossible):
            confirm(grant.pk)
    assert access.may(people["tester"], "approve")


def test_two_accounts_of_one_person_are_not_two(
    newcomer: Callable[..., Any], people: dict[str, Any], acting_as: Callable[..., Any]
) -> None:
    people["day"] = newcomer("day", "administrator", employee_id="E-9")
    people["night"] = newcomer("night", "administrator", employee_id="E-9")
    with acting_as("day"):
        grant = request_role(people["outsider"].pk, role="operator", reason="night shift")
    with acting_as("night"), pytest.raises(NotPermitted, match="second person"):
        confirm(grant.pk)


def test_the_receiver_does_not_confirm_their_own_grant(
    newcomer: Callable[..., Any], people: dict[str, Any], acting_as: Callable[..., Any]
) -> None:
    with acting_as("administrator"):
        grant = request_role(people["second_administrator"].pk, role="operator", reason="night shift")
    with acting_as("second_administrator"), pytest.raises(NotPermitted, match="yourself"):
        confirm(grant.pk)


@pytest.mark.parametrize("name", ["manager", "committee_a", "operator", "auditor", "developer", "outsider"])
def test_others_grant_nothing(people: dict[str, Any], acting_as: Callable[..., Any], name: str) -> None:
    with acting_as(name), pytest.raises(NotPermitted):
        request_role(people["tester"].pk, role="tester", reason="please")


def test_granting_is_a_signature_with_a_reason(people: dict[str, Any], acting_as: Callable[..., Any]) -> None:
    with acting_as("administrator", proved=False), pytest.raises(SignatureRequired):
        request_role(people["outsider"].pk, role="tester", reason="new duty")
    with acting_as("administrator"):
        with pytest.raises(InvalidInput, match="reason"):
            request_role(people["outsider"].pk, role="tester", reason="  ")
        with pytest.raises(InvalidInput, match="past"):
            request_role(people["outsider"].pk, role="tester", reason="x", until=now() - timedelta(seconds=1))
    assert not AccessGrant.objects.filter(account=people["outsider"]).exists()
    # A request for a proof of identity is no refusal.
    assert Event.objects.filter(operation="access:grant", kind="refusal").count() == 2


def test_a_service_account_only_becomes_ci(people: dict[str, Any], acting_as: Callable[..., Any]) -> None:
    with acting_as("administrator"):
        for role in ("committee", "operator", "administrator"):
            with pytest.raises(InvalidInput, match="service"):
                request_role(people["ci"].pk, role=role, reason="convenient")


def test_revoking_ends_it_at_once(people: dict[str, Any], acting_as: Callable[..., Any]) -> None:
    grant = AccessGrant.objects.get(account=people["tester"], role="tester")
    with acting_as("administrator"):
        with pytest.raises(InvalidInput):
            revoke(grant.pk, reason="")
        revoke(grant.pk, reason="moved to another team")
        with pytest.raises(NotPossible):
            revoke(grant.pk, reason="again")
    assert not access.may(people["tester"], "upload_evidence")
