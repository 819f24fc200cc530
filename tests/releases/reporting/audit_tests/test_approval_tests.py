"""The findings of each saved test about approval."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.db import connection

from audit.clock import now
from environments.models import AccessGrant, Account, ConfigurationVersion, RequestedChange
from environments.operations.access.grant import revoke
from releases.models import (
    ApprovalDecision,
    ApprovalRequest,
    ChecklistItem,
    Fact,
    MonitoringPeriod,
    Release,
    Rollback,
    Waiver,
)
from releases.reporting.audit_tests.approvals import DECISIONS
from tests.releases.reporting.audit_tests.asking import ask, forge, make, texts
from tests.releases.reporting.audit_tests.test_operation_tests import past_the_ledger
from tests.releases.reporting.evidence_pack.test_removed import by_hand

# Columns that name a person who asks, writes, is concerned or acts, and decides on nothing that another asked.
NO_DECISIONS = {
    f"{model}.{column}"
    for model, columns in {
        "environments.Account": "invited_by",
        "environments.Token": "account",
        "environments.GroupRole": "requested_by",
        "environments.AccessGrant": "account",
        "environments.AccessRequest": "account",
        "environments.AccessReview": "opened_by",
        "environments.CalendarFeed": "account",
        "environments.ChangeWindow": "requested_by",
        "environments.ChangeFreeze": "created_by lift_requested_by",
        "environments.ConfigurationVersion": "created_by",
        "environments.ConfigurationCheck": "checked_by",
        "environments.Delegation": "delegator delegate requested_by",
        "environments.ExternalIdentity": "account",
        "environments.RequestedChange": "account requested_by",
        "environments.SavedView": "account",
        "releases.DeploymentProcess": "author",
        "releases.EmergencyStop": "activated_by",
        "releases.Procedure": "author",
        "releases.Artefact": "registered_by",
        "releases.Release": "author",
        "releases.ChangeEntry": "author",
        "releases.ApprovalRequest": "requested_by",
        "releases.CommitteeMeeting": "recorded_by",
        "releases.Deployment": "requested_by scheduled_by",
        "releases.Milestone": "done_by",
        "releases.TeamMember": "account",
        "releases.Step": "assignee",
        "releases.Definition": "author",
        "releases.DeployedVersion": "requested_by",
        "releases.Rollback": "raised_by",
        "releases.Document": "edited_by",
        "releases.GroupRecipient": "account",
        "releases.NotificationTemplate": "edited_by",
        "releases.Erasure": "account requested_by",
        "releases.Evidence": "uploaded_by",
        "releases.InboxItem": "account",
        "releases.SuppressedAddress": "lifted_by",
        "releases.ReleaseImport": "requested_by",
    }.items()
    for column in columns.split()
}


def decision(deployment: Any, name: str) -> ApprovalDecision:
    return ApprovalDecision.objects.get(approval_request=deployment.approval_request, account__username=name)


def test_an_approval_after_the_start_is_named(deployment: Any) -> None:
    forge(decision(deployment, "committee_b"), at=deployment.started_at + timedelta(seconds=1))
    (found,) = texts(ask("approval-after-start"))
    assert str(deployment) in found and "An approval came after the start." in found


def test_a_backdated_approval_after_the_start_is_named(deployment: Any, database: str) -> None:
    """The writer of a row chooses the time in it, but not the time of its event."""
    late = decision(deployment, "committee_b")
    columns = {
        field.attname: getattr(late, field.attname) for field in late._meta.concrete_fields if field.name != "id"
    }
    by_hand(database, f"DELETE FROM releases_approvaldecision WHERE id = {late.pk}")
    make(ApprovalDecision, **columns)
    (found,) = texts(ask("approval-after-start"))
    assert str(deployment) in found and "An approval came after the start." in found


def test_an_approval_unknown_to_the_ledger_is_named(deployment: Any, database: str) -> None:
    late = decision(deployment, "committee_b")
    past_the_ledger(
        database,
        "ALTER TABLE releases_approvaldecision DISABLE TRIGGER ALL",
        f"UPDATE releases_approvaldecision SET id = id + 1000 WHERE id = {late.pk}",
    )
    assert "An approval came after the start." in texts(ask("approval-after-start"))[0]


def test_a_start_without_enough_approvals_is_named(deployment: Any) -> None:
    """One of two members made no decision, or rejected."""
    forge(decision(deployment, "committee_b"), decision="send_back")
    (found,) = texts(ask("approval-after-start"))
    assert "The rules were not met at the start." in found


def test_a_start_without_approval_is_named(deployment: Any) -> None:
    forge(deployment, approval_request=None)
    assert "The deployment has no approval request." in texts(ask("approval-after-start"))[0]
    assert "| approval request |" in texts(ask("different-content"))[0]


def test_the_period_limits_the_examined_changes(deployment: Any) -> None:
    assert deployment.started_at is not None
    forge(decision(deployment, "committee_b"), at=deployment.started_at + timedelta(seconds=1))
    late = ask("approval-after-start", since=deployment.started_at + timedelta(seconds=1), until=now())
    early = ask("approval-after-start", since=deployment.started_at - timedelta(days=1), until=deployment.started_at)
    exact = ask("approval-after-start", since=deployment.started_at, until=now())
    assert [late.examined, early.examined, exact.examined] == [0, 0, 1]


def test_two_roles_of_one_person_are_named(deployment: Any, people: dict[str, Any]) -> None:
    forge(deployment, verified_by=people["operator"])
    assert texts(ask("segregation-of-duties")) == [f"{deployment} | Operator | starter, verifier"]


def test_two_accounts_of_one_person_are_one(deployment: Any, people: dict[str, Any]) -> None:
    """The author's second account, with the same employee id in another spelling, approved."""
    forge(people["committee_a"], employee_id="Ｅ-1")
    forge(people["author_on_committee"], employee_id="e-1")
    assert texts(ask("segregation-of-duties")) == [f"{deployment} | Author On Committee | author, approver"]


def test_two_accounts_of_one_person_stay_one_when_an_employee_id_is_edited(
    deployment: Any, people: dict[str, Any]
) -> None:
    """Also by way of a third account, and after an erasure."""
    third = people["outsider"]
    forge(people["author_on_committee"], employee_id="e-2", kept_identities=["employee:e-1"])
    forge(third, employee_id="e-3", former_identities=["employee:e-1", "employee:e-4"])
    forge(people["committee_a"], employee_id="e-4")
    assert texts(ask("segregation-of-duties")) == [f"{deployment} | Author On Committee | author, approver"]
    forge(third, former_identities=["employee:e-4"])
    assert texts(ask("segregation-of-duties")) == []


def test_a_person_represented_by_a_delegate_has_the_role_too(deployment: Any, people: dict[str, Any]) -> None:
    forge(decision(deployment, "committee_a"), on_behalf=people["operator"])
    assert texts(ask("segregation-of-duties")) == [f"{deployment} | Operator | approver, starter"]


def test_a_commit_author_is_an_author(deployment: Any, people: dict[str, Any]) -> None:
    """Also the committer, by the address at that time, even if the address was removed since."""
    forge(deployment, verified_by=people["tester"])
    assert texts(ask("segregation-of-duties")) == []
    for kind in ("authors", "committers"):
        fact = Fact.objects.get(release=deployment.release, kind=kind)
        seen = fact.value
        forge(fact, value=["Tester@datasets.example"])
        assert texts(ask("segregation-of-duties")) == [f"{deployment} | Tester | author, verifier"], kind
        forge(fact, value=seen)
    forge(Fact.objects.get(release=deployment.release, kind="authors"), value=["tester@datasets.example"])
    forge(people["tester"], git_addresses=[])
    forge(people["operator"], git_addresses=["tester@datasets.example"])
    assert texts(ask("segregation-of-duties")) == [f"{deployment} | Tester | author, verifier"]


def test_a_configuration_author_is_an_author(deployment: Any, people: dict[str, Any]) -> None:
    """Of the version that the deployment brought, or of one with it; not of one that was deployed before."""
    forge(deployment, verified_by=people["manager"])
    assert texts(ask("segregation-of-duties")) == [f"{deployment} | Manager | author, verifier"]
    forge(deployment, verified_by=people["tester"])
    first = ConfigurationVersion.objects.get(pk=deployment.previous["wanted_configuration"])
    place = {"application": first.application, "environment": first.environment, "values": {}, "digest": "0" * 64}
    second, third = (
        make(ConfigurationVersion, **place, number=n, created_by=people[who], reason="x")
        for n, who in ((2, "tester"), (3, "manager"))
    )
    cases = [(first.pk, [f"{deployment} | Tester | author, verifier"]), (second.pk, [])]
    for deployed_before, expected in cases:
        forge(
            deployment,
            previous=deployment.previous
            | {"wanted_configuration": third.pk, "deployed_version": {"configuration": deployed_before}},
        )
        assert texts(ask("segregation-of-duties")) == expected


def test_an_approver_without_the_role_at_that_time_is_named(
    deployment: Any, people: dict[str, Any], again: Any
) -> None:
    """The grant had been revoked before; a present role changes nothing."""
    from environments.operations.access.grant import confirm, request_role

    grant = AccessGrant.objects.get(account=people["committee_a"])
    with again.acting_as("administrator"):
        revoke(grant.pk, reason="gone")
    after = now()
    with again.acting_as("administrator"):
        back = request_role(people["committee_a"].pk, role="committee", reason="back")
    with again.acting_as("second_administrator"):
        confirm(back.pk)
    assert texts(ask("approver-without-role")) == []
    forge(decision(deployment, "committee_a"), at=after)
    (found,) = texts(ask("approver-without-role"))
    assert "Committee A" in found and "The approver held none of the roles." in found


def test_a_claimed_role_that_was_not_held_is_named(deployment: Any) -> None:
    forge(decision(deployment, "committee_a"), roles=["committee", "operator"])
    (found,) = texts(ask("approver-without-role"))
    assert "The approver did not hold all of the roles." in found


def test_an_invalid_delegate_is_named(deployment: Any, people: dict[str, Any]) -> None:
    forge(decision(deployment, "committee_a"), account=people["tester"], on_behalf=people["committee_a"])
    (found,) = texts(ask("approver-without-role"))
    assert "There was no valid delegation." in found


def test_content_other_than_the_approved_is_named(deployment: Any) -> None:
    cases = [
        (deployment, {"plan_digest": "0" * 64}, "step plan"),
        (deployment, {"previous": deployment.previous | {"wanted_tree": "0" * 40}}, "Git tree hash"),
        (deployment, {"measured": {"verification": {"code": "0" * 40}}}, "code on the deployment target"),
        (decision(deployment, "committee_a"), {"digest": "0" * 64}, "digest of an approval decision"),
        (
            deployment.approval_request,
            {"document": deployment.approval_request.document | {"version": "6.6.6"}},
            "content of the approval request",
        ),
    ]
    for row, fields, what in cases:
        before = {name: getattr(row, name) for name in fields}
        forge(row, **fields)
        assert any(f"| {what} |" in line for line in texts(ask("different-content"))), what
        forge(row, **before)
    assert texts(ask("different-content")) == []


def test_a_configuration_other_than_the_approved_is_named(deployment: Any, again: Any) -> None:
    from environments.operations.configuration.create import create

    with again.acting_as("manager"):
        other = create(
            application_id=again.application.pk,
            environment_id=deployment.environment_id,
            values={"PORT": "1"},
            secrets={},
            reason="other",
        )
    forge(deployment, previous=deployment.previous | {"wanted_configuration": other.pk})
    (found,) = texts(ask("different-content"))
    assert "| configuration |" in found


def test_a_service_account_that_decided_is_named(deployment: Any, people: dict[str, Any]) -> None:
    forge(decision(deployment, "committee_a"), account=people["ci"])
    forge(deployment, verified_by=people["ci"])
    found = texts(ask("service-account-decisions"))
    assert len(found) == 2 and all("Ci" in line for line in found)


@pytest.mark.parametrize(
    ("model", "column"),
    [
        (RequestedChange, "decided_by"),
        (MonitoringPeriod, "recorded_by"),
        (ChecklistItem, "signed_by"),
        (Waiver, "decided_by"),
    ],
)
def test_a_service_account_is_named_in_each_role(
    deployment: Any, people: dict[str, Any], model: Any, column: str
) -> None:
    if model is Waiver:
        make(
            Waiver,
            release=deployment.release,
            gate="coverage",
            environment=deployment.environment,
            reason="late",
            until=now(),
            requested_by=people["manager"],
            rejected_at=now(),
        )
    forge(model.objects.order_by("pk")[0], **{column: people["ci"]})
    (found,) = texts(ask("service-account-decisions"))
    assert "Ci" in found


def test_a_decision_counts_in_the_month_in_which_it_was_made(deployment: Any, people: dict[str, Any]) -> None:
    """A waiver, a start or an alarm of one month can be decided in the next one."""
    rollback = make(Rollback, deployment=deployment, cause="manual", raised_at=now())
    waiver = make(
        Waiver,
        release=deployment.release,
        gate="coverage",
        environment=deployment.environment,
        reason="late",
        until=now() + timedelta(days=9),
        requested_by=people["manager"],
    )
    forge(deployment, verified_by=people["manager"])
    month_ends = now()
    monitoring = MonitoringPeriod.objects.get(deployment=deployment)
    forge(deployment, verified_by=people["ci"])
    forge(rollback, authorised_by=people["ci"], assessed_by=people["ci"])
    forge(waiver, decided_by=people["ci"], rejected_at=now())
    forge(monitoring, recorded_by=people["ci"], ended_at=now())
    assert texts(ask("service-account-decisions", until=month_ends)) == []
    assert len(texts(ask("service-account-decisions", since=month_ends))) == 5


def test_every_decision_of_a_person_is_examined() -> None:
    """A new column that names a person is a decision, or stands here with the reason why it is none."""
    asked = {f"{model._meta.label}.{column}" for model, columns, _when in DECISIONS for column in columns.split()}
    models = [model for app in ("audit", "environments", "releases") for model in apps.get_app_config(app).get_models()]
    named = {
        f"{model._meta.label}.{column.name}"
        for model in models
        if not hasattr(model, "instance_type")
        for column in model._meta.concrete_fields
        if column.related_model is Account
    }
    assert named == asked | NO_DECISIONS and not asked & NO_DECISIONS


def test_an_account_that_was_a_service_when_it_decided_is_named(deployment: Any, people: dict[str, Any]) -> None:
    """The account was made a person afterwards."""
    forge(people["committee_b"], kind="service")
    while_service = now()
    forge(people["committee_b"], kind="person")
    assert texts(ask("service-account-decisions")) == []
    forge(decision(deployment, "committee_b"), at=while_service)
    assert "Committee B" in texts(ask("service-account-decisions"))[0]


def test_submitter_and_approver_at_one_address_are_named(deployment: Any) -> None:
    """All people of the tests use 127.0.0.1."""
    assert len(ask("same-address").rows) == 2
    for name, address in (("committee_a", "192.0.2.1"), ("committee_b", "192.0.2.2")):
        one = decision(deployment, name)
        forge(one, signature=one.signature | {"address": address})
    assert ask("same-address").rows == [] and ask("same-address").examined == 2


def test_the_values_of_its_query_do_not_grow_with_the_releases(deployment: Any, again: Any) -> None:
    """A query takes 65,535 of them."""

    def asked() -> list[str]:
        seen: list[str] = []
        with connection.execute_wrapper(lambda go, sql, *rest: (seen.append(sql), go(sql, *rest))[1]):
            ask("same-address")
        return seen

    one = asked()
    release = make(
        Release, application=again.application, version="9.0.0", title="more", author=again.people["manager"]
    )
    approval_request = make(
        ApprovalRequest,
        subject="regular",
        release=release,
        environment=deployment.environment,
        document={},
        digest="0" * 64,
        rules=[],
        requested_by=again.people["manager"],
    )
    make(
        ApprovalDecision,
        approval_request=approval_request,
        account=again.people["committee_a"],
        decision="approve",
        roles=["committee"],
        digest="0" * 64,
        signature={},
        at=now(),
    )
    assert asked() == one and ask("same-address").examined == 3


def test_a_request_without_rules_is_never_met(deployment: Any) -> None:
    forge(deployment.approval_request, rules=[])
    assert "The rules were not met at the start." in texts(ask("approval-after-start"))[0]
    assert ApprovalRequest.objects.get(pk=deployment.approval_request_id).rules == []
