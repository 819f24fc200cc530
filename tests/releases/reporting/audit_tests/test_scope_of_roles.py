"""Roles count for an application and an environment; the saved tests and the evidence pack ask for those."""

from __future__ import annotations

from typing import Any

import pytest

from audit.clock import now
from environments.access_as_of import AccessAsOf
from environments.models import AccessGrant, Application
from releases.models import ApprovalDecision, ApprovalRequest
from releases.reporting.evidence_pack.collected import collect
from tests.releases.reporting.audit_tests.asking import ask, forge, make, texts


@pytest.fixture
def other(deployment: Any) -> Application:
    """Another application than that of the deployment."""
    application = deployment.application
    columns = {
        field.attname: getattr(application, field.attname)
        for field in application._meta.concrete_fields
        if field.name not in ("id", "slug", "created_at")
    }
    made: Application = make(Application, slug="other", **columns)
    return made


def test_an_approver_whose_role_was_for_another_application_is_named(deployment: Any, other: Application) -> None:
    decision = ApprovalDecision.objects.get(
        approval_request=deployment.approval_request, account__username="committee_a"
    )
    grant = AccessGrant.objects.get(account=decision.account)
    forge(grant, application=other)
    assert texts(ask("approver-without-role")) == []
    forge(decision, at=now())
    (found,) = texts(ask("approver-without-role"))
    assert "Committee A" in found and "The approver held none of the roles." in found
    forge(grant, application=deployment.application)
    forge(decision, at=now())
    assert texts(ask("approver-without-role")) == []


def test_an_approver_whose_role_was_for_one_environment_decides_nothing_about_all(deployment: Any) -> None:
    """A procedure concerns every environment and every application."""
    earlier = deployment.approval_request
    about_all = make(
        ApprovalRequest,
        subject="procedure",
        procedure=deployment.procedure,
        document={},
        digest="0" * 64,
        rules=earlier.rules,
        requested_by=earlier.requested_by,
    )
    account = earlier.decisions.get(account__username="committee_a").account
    fields = {"decision": "approve", "roles": ["committee"], "digest": "0" * 64, "signature": {}}
    decision = make(ApprovalDecision, approval_request=about_all, account=account, at=now(), **fields)
    assert texts(ask("approver-without-role")) == []
    forge(AccessGrant.objects.get(account=account), environment=deployment.environment)
    forge(decision, at=now())
    (found,) = texts(ask("approver-without-role"))
    assert str(decision.account) in found and "The approver held none of the roles." in found


def test_an_approver_whose_role_was_not_for_a_later_environment_is_named(deployment: Any) -> None:
    decision = ApprovalDecision.objects.get(
        approval_request=deployment.approval_request, account__username="committee_a"
    )
    grant = AccessGrant.objects.get(account=decision.account)
    forge(grant, environment=deployment.environment)
    document = deployment.approval_request.document
    forge(decision, at=now())
    assert texts(ask("approver-without-role")) == []
    forge(deployment.approval_request, document=document | {"later_environments": [{"environment": "staging"}]})
    (found,) = texts(ask("approver-without-role"))
    assert "Committee A" in found


def test_an_evidence_pack_names_the_roles_for_its_application(deployment: Any, other: Application) -> None:
    decision = ApprovalDecision.objects.get(
        approval_request=deployment.approval_request, account__username="committee_a"
    )
    forge(AccessGrant.objects.get(account=decision.account), application=other)
    forge(decision, at=now())
    (one,) = [person for person in collect(deployment.release_id).people if person["name"] == "Committee A"]
    assert one["roles"] == []
    assert "committee" in AccessAsOf().roles(decision.account_id, decision.at, other.pk)
