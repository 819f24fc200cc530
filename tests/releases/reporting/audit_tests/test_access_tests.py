"""The findings of each saved test about role holders, superusers and people who may approve and start."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from audit.clock import now
from environments.models import Environment
from tests.releases.reporting.audit_tests.asking import ask, forge, texts
from tests.releases.reporting.audit_tests.test_operation_tests import past_the_ledger


def test_role_holders_are_listed_as_of_the_date(deployment: Any, again: Any, people: dict[str, Any]) -> None:
    from environments.operations.access.grant import confirm, request_role

    before = now()
    with again.acting_as("administrator"):
        grant = request_role(
            people["tester"].pk, role="operator", reason="夜間", environment_id=deployment.environment_id
        )
    with again.acting_as("second_administrator"):
        confirm(grant.pk)
    assert not any("夜間" in line for line in texts(ask("role-holders", until=before)))
    (found,) = [line for line in texts(ask("role-holders")) if "夜間" in line]
    assert found.startswith("Tester | Operator | Production")
    assert ask("role-holders").examined == len(people)


def test_a_former_superuser_is_named(deployment: Any, database: str, people: dict[str, Any]) -> None:
    past_the_ledger(database, "ALTER TABLE environments_account DROP CONSTRAINT account_no_superuser")
    forge(people["tester"], is_superuser=True)
    found = texts(ask("superusers"))
    assert len(found) == 2 and all("Tester" in line for line in found)
    forge(people["tester"], is_superuser=False)
    (still,) = texts(ask("superusers"))
    assert "The account was a superuser from then on." in still
    assert texts(ask("superusers", since=now())) == []


def test_a_superuser_made_outside_the_ledger_is_named(deployment: Any, database: str) -> None:
    past_the_ledger(
        database,
        "ALTER TABLE environments_account DROP CONSTRAINT account_no_superuser",
        "ALTER TABLE environments_account DISABLE TRIGGER ALL",
        "UPDATE environments_account SET is_superuser = true WHERE username = 'operator'",
    )
    assert texts(ask("superusers")) == ["Operator | None | The account is a superuser now."]


def test_a_person_who_may_approve_and_start_is_named(deployment: Any, again: Any, people: dict[str, Any]) -> None:
    from environments.operations.access.grant import confirm, request_role

    staging = Environment.objects.get(slug="staging")
    for where, expected in ((staging.pk, 0), (deployment.environment_id, 1)):
        with again.acting_as("administrator"):
            grant = request_role(people["committee_b"].pk, role="operator", reason="x", environment_id=where)
        with again.acting_as("second_administrator"):
            confirm(grant.pk)
        assert len(ask("approve-and-start").rows) == expected
    assert texts(ask("approve-and-start")) == ["Committee B | Production | Release committee, Operator"]


def test_two_accounts_of_one_person_that_may_approve_and_start_are_named(
    deployment: Any, people: dict[str, Any]
) -> None:
    """As they were one at the end of the period, whatever their numbers are now."""
    forge(people["committee_a"], employee_id="E-1")
    forge(people["operator"], employee_id="ｅ-1")
    while_one = now()
    forge(people["operator"], employee_id="E-2")
    assert texts(ask("approve-and-start")) == []
    (found,) = texts(ask("approve-and-start", until=while_one))
    assert found in (
        "Committee A | Production | Release committee, Operator",
        "Operator | Production | Release committee, Operator",
    )


def test_a_delegate_of_an_approver_who_may_start_is_named(deployment: Any, again: Any, people: dict[str, Any]) -> None:
    """A delegate approves, and does nothing else for the represented person."""
    from environments.operations.delegation import request

    for absent, delegate in (("committee_a", "second_operator"), ("operator", "committee_b")):
        with again.acting_as(absent):
            made = request.request_delegation(
                delegator_id=people[absent].pk,
                delegate_id=people[delegate].pk,
                starts_at=now(),
                until=now() + timedelta(days=1),
                reason="休暇",
            )
        with again.acting_as("administrator"):
            request.confirm(made.pk)
    assert texts(ask("approve-and-start")) == [
        "Second Operator | Production | Release committee, for Committee A, Operator"
    ]
