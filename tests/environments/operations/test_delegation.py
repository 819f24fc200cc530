"""代理: named by the absent or an administrator, confirmed by a third, revoked by any of them; never a chain."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from audit.actor import Actor, acting
from audit.clock import now
from audit.operation import operation
from audit.refusals import InvalidInput, NotPermitted, NotPossible
from environments import access
from environments.models import Delegation
from environments.operations.delegation.request import confirm, request_delegation, revoke

COMMAND = Actor(account_id=None, name="tests", kind="command", channel="command")


@pytest.fixture
def named(people: dict[str, Any], acting_as: Callable[..., Any]) -> Callable[..., Delegation]:
    """Return a function: somebody names a delegate for a week."""

    def name(absent: str, delegate: str, by: str | None = None, **fields: Any) -> Delegation:
        begins = fields.pop("starts_at", now())
        given: dict[str, Any] = {"starts_at": begins, "until": begins + timedelta(days=7), "reason": "on leave"}
        with acting_as(by or absent):
            return request_delegation(
                delegator_id=people[absent].pk, delegate_id=people[delegate].pk, **(given | fields)
            )

    return name


def test_it_counts_once_a_third_person_has_confirmed_it(
    people: dict[str, Any], acting_as: Callable[..., Any], named: Callable[..., Delegation]
) -> None:
    row = named("committee_a", "project_manager")
    assert access.absent_persons_of(people["project_manager"]) == []
    with acting_as("administrator"):
        confirm(row.pk)
        with pytest.raises(NotPossible):
            confirm(row.pk)
    assert access.absent_persons_of(people["project_manager"]) == [people["committee_a"]]
    assert access.absent_persons_of(people["committee_a"]) == []
    assert not access.may(people["project_manager"], "approve"), "he gets no right of his own"


def test_neither_party_nor_the_appointer_confirms(
    acting_as: Callable[..., Any], named: Callable[..., Delegation]
) -> None:
    for row, tries in (
        (named("administrator", "committee_a"), ["administrator"]),
        (named("committee_b", "administrator"), ["administrator"]),
        (named("operator", "second_operator", by="second_administrator"), ["second_administrator"]),
    ):
        for name in tries:
            with acting_as(name), pytest.raises(NotPermitted, match="Another person must confirm this delegation"):
                confirm(row.pk)
        with acting_as("manager"), pytest.raises(NotPermitted):
            confirm(row.pk)


def test_only_the_absent_or_an_administrator_names_one(named: Callable[..., Delegation]) -> None:
    with pytest.raises(NotPermitted):
        named("committee_a", "committee_b", by="committee_b")
    with pytest.raises(NotPermitted):
        named("committee_a", "committee_b", by="manager")
    assert named("committee_a", "committee_b", by="administrator").requested_by.username == "administrator"


def test_a_delegate_is_another_person_with_an_open_account(
    people: dict[str, Any], newcomer: Callable[..., Any], named: Callable[..., Delegation]
) -> None:
    people["day"], people["night"] = (newcomer(n, "committee", employee_id="E-9") for n in ("day", "night"))
    with pytest.raises(InvalidInput, match="another person"):
        named("day", "night")
    with pytest.raises(InvalidInput, match="active personal account"):
        named("committee_a", "ci")
    moment = now()
    for begins, until in (
        (moment, moment - timedelta(days=1)),
        (moment + timedelta(days=2), moment + timedelta(days=1)),
    ):
        with pytest.raises(InvalidInput, match="end"):
            named("committee_a", "committee_b", starts_at=begins, until=until)
    with pytest.raises(InvalidInput, match="reason"):
        named("committee_a", "committee_b", reason=" ")


def test_one_absence_has_one_delegate_at_a_time(named: Callable[..., Delegation]) -> None:
    named("committee_a", "committee_b")
    with pytest.raises(InvalidInput, match="already"):
        named("committee_a", "project_manager", starts_at=now() + timedelta(days=3))
    named("committee_a", "project_manager", starts_at=now() + timedelta(days=8))


def test_it_is_no_chain(
    people: dict[str, Any], acting_as: Callable[..., Any], named: Callable[..., Delegation]
) -> None:
    for row in (named("committee_a", "committee_b"), named("committee_b", "project_manager")):
        with acting_as("administrator"):
            confirm(row.pk)
    assert access.absent_persons_of(people["project_manager"]) == [people["committee_b"]]


@pytest.mark.parametrize("by", ["committee_a", "committee_b", "second_administrator"])
def test_each_party_ends_it_at_once(
    people: dict[str, Any], acting_as: Callable[..., Any], named: Callable[..., Delegation], by: str
) -> None:
    row = named("committee_a", "committee_b")
    with acting_as("administrator"):
        confirm(row.pk)
    with acting_as("manager"), pytest.raises(NotPermitted):
        revoke(row.pk, reason="no")
    with acting_as(by):
        revoke(row.pk, reason="back early")
    assert access.absent_persons_of(people["committee_b"]) == []


def test_it_begins_and_ends_at_its_hours(
    people: dict[str, Any], acting_as: Callable[..., Any], named: Callable[..., Delegation]
) -> None:
    row = named("committee_a", "committee_b", starts_at=now() + timedelta(hours=1))
    with acting_as("administrator"):
        confirm(row.pk)
    assert access.absent_persons_of(people["committee_b"]) == []
    for shift, counts in ((timedelta(hours=-2), True), (timedelta(days=-8), False)):
        with acting(COMMAND), operation("test:age", (Delegation, row.pk)) as op:
            held = op.get(Delegation)
            held.starts_at, held.until = now() + shift, now() + shift + timedelta(days=7)
        assert (access.absent_persons_of(people["committee_b"]) == [people["committee_a"]]) == counts
