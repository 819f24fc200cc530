"""Accounts that shared an employee ID are one person, however many accounts lie between them."""

from __future__ import annotations

from typing import Any

from environments.models import Account
from environments.persons import same_person
from tests.releases.gates.asking import alter


def test_a_chain_of_accounts_is_one_person(people: dict[str, Any]) -> None:
    """The account in the middle is read last, when both ends have groups of their own."""
    number = {name: f"E{n}" for n, name in enumerate(("developer", "tester", "operator", "manager"), 1)}
    for name, employee in number.items():
        alter(people[name], employee_id=employee)
    first, middle, last = sorted((people[name] for name in ("auditor", "outsider", "ci")), key=lambda one: one.pk)
    alter(first, former_identities=["employee:e1", "employee:e2"])
    alter(middle, former_identities=["employee:e3", "employee:e4", "x@datasets.example"])
    apart = Account.objects.get(username="developer")
    assert not apart.is_among(Account.objects.get(username="manager").identities)
    alter(last, kept_identities=["employee:e2", "employee:e3"])
    ends = [Account.objects.get(username=name) for name in number]
    assert all(one.is_among(other.identities) for one in ends for other in ends)
    assert ends[0].accounts >= {one.pk for one in (*ends, first, middle, last)}
    assert len({same_person()(one.person_key) for one in ends}) == 1
    assert not people["committee_a"].is_among(ends[0].identities)
    assert "x@datasets.example" not in ends[0].identities
