"""Access for some hours: requested by one, granted by another, ended by itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from audit.actor import Actor, acting
from audit.clock import now
from audit.operation import operation
from audit.refusals import InvalidInput, NotPermitted, NotPossible, SignatureRequired
from environments import access
from environments.models import AccessGrant, AccessRequest, Environment
from environments.operations.access.grant import confirm
from environments.operations.access.request import MOST_HOURS, approve, reject, request

COMMAND = Actor(account_id=None, name="tests", kind="command", channel="command")


@pytest.fixture
def production(database: str) -> Environment:
    return Environment.objects.get(slug="production")


@pytest.fixture
def ask(acting_as: Callable[..., Any], production: Environment) -> Callable[..., AccessRequest]:
    """Return a function: somebody asks for a role in production."""

    def asked(name: str, role: str = "tester", **fields: Any) -> AccessRequest:
        given: dict[str, Any] = {"environment_id": production.pk, "hours": 4, "reason": "an incident"} | fields
        with acting_as(name):
            return request(role=role, **given)

    return asked


def test_it_is_given_for_the_hours_and_ends_by_itself(
    people: dict[str, Any], acting_as: Callable[..., Any], ask: Callable[..., AccessRequest], production: Environment
) -> None:
    asked = ask("developer")
    with acting_as("administrator"):
        allowed = approve(asked.pk)
    grant = allowed.grant
    assert grant is not None and grant.granted_by == people["administrator"]
    assert abs(grant.until - now() - timedelta(hours=4)) < timedelta(minutes=1)
    assert access.roles_of(people["developer"], production) == {"developer", "tester"}
    staging = Environment.objects.get(slug="staging")
    assert "tester" not in access.roles_of(people["developer"], staging), "only where it was asked for"
    with acting(COMMAND), operation("test:age", (AccessGrant, grant.pk)) as op:
        op.get(AccessGrant).until = now()
    assert access.roles_of(people["developer"], production) == {"developer"}


def test_a_deciding_role_waits_for_a_second_person_and_lasts_from_then(
    people: dict[str, Any], acting_as: Callable[..., Any], ask: Callable[..., AccessRequest], production: Environment
) -> None:
    asked = ask("developer", "operator", hours=2)
    with acting_as("administrator"):
        grant = approve(asked.pk).grant
        assert grant is not None
        assert not access.may(people["developer"], "start", production)
        with pytest.raises(NotPermitted, match="second person"):
            confirm(grant.pk)
    with acting(COMMAND), operation("test:age", (AccessGrant, grant.pk)) as op:
        op.get(AccessGrant).until = now() + timedelta(minutes=1)
    with acting_as("second_administrator"):
        kept = confirm(grant.pk)
    assert kept.until is not None and kept.until - kept.starts_at == timedelta(hours=2)
    assert access.may(people["developer"], "start", production)


def test_answering_ones_own_request_is_refused(
    people: dict[str, Any],
    newcomer: Callable[..., Any],
    acting_as: Callable[..., Any],
    ask: Callable[..., AccessRequest],
) -> None:
    own = ask("administrator")
    people["day"] = newcomer("day", "tester", employee_id="E-9")
    people["night"] = newcomer("night", "administrator", employee_id="e-9")
    other = ask("day", "operator")
    with acting_as("administrator"), pytest.raises(NotPermitted, match="yourself"):
        approve(own.pk)
    with acting_as("night"), pytest.raises(NotPermitted, match="yourself"):
        approve(other.pk)
    assert not AccessGrant.objects.filter(request__isnull=False).exists()


def test_others_answer_nothing(acting_as: Callable[..., Any], ask: Callable[..., AccessRequest]) -> None:
    asked = ask("developer")
    for name in ("manager", "committee_a", "operator", "auditor", "outsider"):
        with acting_as(name), pytest.raises(NotPermitted):
            approve(asked.pk)
        with acting_as(name), pytest.raises(NotPermitted):
            reject(asked.pk, answer="no")


def test_it_is_rejected_with_a_reason_once(acting_as: Callable[..., Any], ask: Callable[..., AccessRequest]) -> None:
    asked = ask("developer")
    with acting_as("administrator", proved=False), pytest.raises(SignatureRequired):
        approve(asked.pk)
    with acting_as("administrator"):
        with pytest.raises(InvalidInput, match="reason"):
            reject(asked.pk, answer=" ")
        assert reject(asked.pk, answer="not tonight").grant is None
        for again in (lambda: approve(asked.pk), lambda: reject(asked.pk, answer="x")):
            with pytest.raises(NotPossible):
                again()
    assert ask("developer").pk != asked.pk, "one may ask again"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"hours": 0}, "hours"),
        ({"hours": MOST_HOURS + 1}, "hours"),
        ({"reason": " "}, "purpose of this access"),
        ({"environment_id": 987654}, "environment"),
        ({"role": "administrator"}, "cannot be granted for a limited time"),
        ({"role": "ci"}, "cannot be granted for a limited time"),
        ({"role": "ｏｐｅｒａｔｏｒ"}, "cannot be granted for a limited time"),
        ({"role": "developer"}, "already"),
    ],
)
def test_what_makes_no_sense_is_refused(ask: Callable[..., AccessRequest], fields: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        ask("developer", **fields)
    assert not AccessRequest.objects.exists()


def test_one_asks_once_and_with_a_role(ask: Callable[..., AccessRequest]) -> None:
    ask("developer")
    with pytest.raises(InvalidInput, match="awaiting a decision"):
        ask("developer")
    with pytest.raises(NotPermitted):
        ask("outsider")
    with pytest.raises(NotPermitted):
        ask("ci")


def test_an_auditor_takes_no_part(people: dict[str, Any], acting_as: Callable[..., Any]) -> None:
    """An auditor neither requests a role nor names a delegate, and so stays independent of those they audit."""
    from environments.models import Delegation
    from environments.operations.delegation.request import request_delegation

    moment = now()
    with acting_as("auditor"), pytest.raises(NotPermitted, match="holds only the auditor role cannot take part"):
        request(role="tester", environment_id=Environment.objects.get(slug="staging").pk, hours=1, reason="to see")
    with acting_as("auditor"), pytest.raises(NotPermitted, match="holds only the auditor role cannot take part"):
        request_delegation(
            delegator_id=people["auditor"].pk,
            delegate_id=people["tester"].pk,
            starts_at=moment,
            until=moment + timedelta(days=1),
            reason="away",
        )
    assert not AccessRequest.objects.exists() and not Delegation.objects.exists()
