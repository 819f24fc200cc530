"""The approval gate: approved, for exactly this content, unused, and not expired."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from audit.actor import acting
from audit.clock import now
from audit.operation import operation
from audit.refusals import GateNotPassed
from environments.models import AccessGrant
from environments.operations.account.edit import edit
from releases.gates.content import clause_labels, difference, digest, document
from releases.models import ApprovalRequest, Fact, Release
from releases.operations.approval.decide import approve
from releases.operations.deployment.enqueue import enqueue
from releases.operations.deployment.request import request
from releases.operations.deployment.schedule import schedule
from releases.operations.release.end_approval import invalidate_stale
from releases.operations.step.claim import claim
from tests.conftest import seconded

from .asking import COMMAND, alter, ask
from .test_evidence import coverage, given

COVERED = {
    "rollback_pre_authorised": {"rollback_pre_authorised": True},
    "on_timeout": {"on_timeout": "keep"},
    "version": {"version": "1.3.1"},
    "commit": {"commit": "0" * 40},
    "tree": {"tree": "0" * 40},
    "tag": {"tag": "v9"},
    "plan": {"step_plan": {"deployment": [], "verification": [], "rollback": [], "rollback_verification": []}},
    "configuration": {"configurations": {}},
    "window": {"scheduled_end_at": now},
}


def test_only_an_approved_request_passes(world: Any) -> None:
    release, approval_request = world.submitted()
    assert ask(world, release, "approval").result == "not_passed"
    for name in ("committee_a", "committee_b"):
        assert ask(world, release, "approval").result == "not_passed", "an open request is no approval"
        with world.acting_as(name):
            approve(approval_request.pk, digest=approval_request.digest)
    answer = ask(world, release, "approval")
    assert (answer.result, answer.reason) == ("passed", approval_request.digest[:12])


def test_any_difference_fails_the_gate_and_is_named(world: Any) -> None:
    """Case 1: an approval is for one content; every key of it counts."""
    release, approval_request = world.approved()
    for key, fields in COVERED.items():
        kept = {name: getattr(release, name) for name in fields}
        changed = alter(release, **{name: value() if callable(value) else value for name, value in fields.items()})
        answer = ask(world, changed, "approval")
        assert answer.result == "not_passed" and f"“{clause_labels()[key]}”" in answer.reason, key
        alter(release, **kept)
        assert ask(world, release, "approval").result == "passed", key


def test_an_added_change_or_another_deployed_version_fails_the_gate(world: Any) -> None:
    from releases.models import ChangeEntry, DeployedVersion

    from .asking import make

    release, _request = world.approved()
    make(
        DeployedVersion,
        application=world.application,
        environment=world.environments["production"],
        code="0" * 40,
        since=now(),
        basis="registered",
    )
    assert "“currently deployed version”" in ask(world, release, "approval").reason
    with acting(COMMAND), operation("test:clear"):
        DeployedVersion.objects.all().delete()
    make(ChangeEntry, release=release, kind="fix", text="one more thing", author=world.people["developer"])
    assert "“changes”" in ask(world, release, "approval").reason


def test_a_used_or_expired_approval_does_not_pass(world: Any) -> None:
    release, approval_request = world.approved()
    answer = ask(world, release, "approval", at=approval_request.valid_until + timedelta(seconds=1))
    assert answer.result == "not_passed" and "expired" in answer.reason
    with acting(COMMAND), operation("test:use", (ApprovalRequest, approval_request.pk)) as op:
        op.get(ApprovalRequest).use()
    answer = ask(world, release, "approval")
    assert answer.result == "not_passed" and "used" in answer.reason


def test_the_digest_uses_the_canonical_form(world: Any) -> None:
    release = world.planned()
    content = document(Release.objects.get(pk=release.pk), world.environments["production"])
    assert digest(content) == digest(dict(reversed(content.items())))
    assert digest(content) != digest(content | {"version": "1.3.1"})
    assert difference(content, content) == ""
    assert difference(content, content | {"on_timeout": "keep"}) == "on_timeout"
    assert difference(content | {"gone": 1}, content) == "gone"


def test_the_approved_state_alone_is_not_enough(world: Any) -> None:
    """With one of two approvals, an update of the state lets the release be neither scheduled nor started."""
    release, approval_request = world.submitted()
    with world.acting_as("committee_a"):
        approve(approval_request.pk, digest=approval_request.digest)
    with acting(COMMAND), operation("test:update"):
        for state in ("approved", "final_check_completed"):
            Release.objects.filter(pk=release.pk).update(state=state)
        ApprovalRequest.objects.filter(pk=approval_request.pk).update(state="approved")
    answer = ask(world, release, "approval")
    assert answer.result == "not_passed" and "Too few approvals count. Missing: Release committee (1)." in answer.reason
    with world.acting_as("operator"):
        deployment = request(release.pk, environment_id=world.environments["production"].pk)
        with pytest.raises(GateNotPassed, match="Too few approvals count"):
            schedule(deployment.pk)
    alter(approval_request, rules=[{**approval_request.rules[0], "number": 1}])
    assert "asks for other approvals than the procedure" in ask(world, release, "approval").reason


def test_an_approval_is_counted_again_at_each_gate(world: Any, people: dict[str, Any]) -> None:
    """People who wrote, edited, waived, lost the role or left since do not count; each is named with the reason."""
    release, approval_request = world.approved()
    account, grant = people["committee_a"], AccessGrant.objects.get(account=people["committee_a"], role="committee")
    own = account.git_addresses
    observed = Fact.objects.get(release=release, kind="committers")
    cases = [
        (
            account,
            {"git_addresses": ["developer@datasets.example"]},
            {"git_addresses": own},
            "the author of one of its commits",
        ),
        (
            account,
            {"former_identities": ["developer@datasets.example"]},
            {"former_identities": []},
            "the author of one of its",
        ),
        (
            account,
            {"is_active": False},
            {"is_active": True},
            "the account is deactivated or does not belong to a person",
        ),
        (grant, {"revoked_at": now()}, {"revoked_at": None}, "(Release committee) has ended"),
        (grant, {"environment": world.environments["staging"]}, {"environment": None}, "(Release committee) has ended"),
        (observed, {"value": own}, {"value": observed.value}, "the committer of one of its commits"),
    ]
    for row, fields, kept, why in cases:
        alter(row, **fields)
        answer = ask(world, release, "approval")
        assert answer.result == "not_passed" and "The approval of Committee A does not count" in answer.reason, fields
        assert why in answer.reason and "Missing: Release committee (1)" in answer.reason, answer.reason
        alter(row, **kept)
        assert ask(world, release, "approval").result == "passed", fields
    with acting(COMMAND), operation("test:edit", (Release, release.pk)) as op:
        op.get(Release).editors.add(account)
    assert "a person who edited the release" in ask(world, release, "approval").reason
    with acting(COMMAND):
        assert invalidate_stale() == [release.pk]
    assert (world.fresh(approval_request).state, world.fresh(approval_request).invalidated_by) == (
        "invalidated",
        "approvals",
    )
    assert world.fresh(release).state == "testing_completed", "and can be submitted again"


def test_a_role_that_ends_before_the_scheduled_start_does_not_count(world: Any, people: dict[str, Any]) -> None:
    release, _request = world.approved()
    grant = AccessGrant.objects.get(account=people["committee_b"], role="committee")
    alter(grant, until=now() + timedelta(minutes=10))
    assert ask(world, release, "approval").result == "passed"
    answer = ask(world, release, "approval", at=now() + timedelta(minutes=20))
    assert answer.result == "not_passed" and "Committee B" in answer.reason and "ends before then" in answer.reason


def test_a_former_second_account_of_the_author_does_not_count(world: Any, people: dict[str, Any]) -> None:
    """Two accounts stay joined after the employee id is removed, and after a git address moved to another account."""
    release, _request = world.approved()
    for name in ("author_on_committee", "committee_a"):
        alter(people[name], employee_id="4711")
    assert "is the author of what is approved" in ask(world, release, "approval").reason
    with world.acting_as("administrator"):
        asked = edit(people["committee_a"].pk, display_name="Committee A", reason="wrong number")
    seconded(asked, world.acting_as, "second_administrator")
    assert "is the author of what is approved" in ask(world, release, "approval").reason


def test_an_identity_moved_between_queue_and_claim_prevents_the_start(world: Any, people: dict[str, Any]) -> None:
    deployment = world.scheduled()
    with acting(COMMAND):
        enqueue(deployment.pk)
    alter(people["committee_a"], git_addresses=["developer@datasets.example"])
    with acting(COMMAND), pytest.raises(GateNotPassed, match="the author of one of its commits"):
        claim(deployment.steps.get(ordinal=1).pk, worker="w")
    assert (world.fresh(deployment).state, world.fresh(deployment.approval_request).state) == ("queued", "approved")


def test_the_first_approver_is_counted_again_at_the_last_approval(world: Any, people: dict[str, Any]) -> None:
    _release, approval_request = world.submitted()
    with world.acting_as("committee_a"):
        approve(approval_request.pk, digest=approval_request.digest)
    alter(people["committee_a"], git_addresses=["developer@datasets.example"])
    with world.acting_as("committee_b"):
        approve(approval_request.pk, digest=approval_request.digest)
    assert world.fresh(approval_request).state == "in_review"


def test_worse_evidence_after_the_approval_fails_the_gate(world: Any) -> None:
    """A failed report, and one with less than the approvers saw, closes the gate; an equal or better one does not."""
    given(world, "coverage", coverage(95, 100))
    release, _request = world.approved()
    for content, result in (
        (coverage(95, 100), "passed"),
        (coverage(96, 100), "passed"),
        (coverage(91, 100), "not_passed"),
        (coverage(92, 100), "not_passed"),
        (coverage(95, 100), "passed"),
        (coverage(50, 100), "not_passed"),
    ):
        given(world, "coverage", content)
        answer = ask(world, release, "approval")
        assert answer.result == result, (content, answer.reason)
    assert "after the approval" in answer.reason and "50 of 100" in answer.reason
