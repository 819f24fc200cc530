"""The approval gate: granted, about exactly this, unused, and not expired."""

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


def test_only_a_granted_round_opens_it(world: Any) -> None:
    release, approval_request = world.submitted()
    assert ask(world, release, "approval").result == "not_passed"
    for name in ("committee_a", "committee_b"):
        assert ask(world, release, "approval").result == "not_passed", "an open round is no consent"
        with world.acting_as(name):
            approve(approval_request.pk, digest=approval_request.digest)
    answer = ask(world, release, "approval")
    assert (answer.result, answer.reason) == ("passed", approval_request.digest[:12])


def test_any_difference_closes_it_and_is_named(world: Any) -> None:
    """Case 1: an approval is about one content; every key of it counts."""
    release, approval_request = world.granted()
    for key, fields in COVERED.items():
        kept = {name: getattr(release, name) for name in fields}
        changed = alter(release, **{name: value() if callable(value) else value for name, value in fields.items()})
        answer = ask(world, changed, "approval")
        assert answer.result == "not_passed" and f"“{clause_labels()[key]}”" in answer.reason, key
        alter(release, **kept)
        assert ask(world, release, "approval").result == "passed", key


def test_a_change_added_or_what_is_in_force_changed_closes_it(world: Any) -> None:
    from releases.models import ChangeEntry, DeployedVersion

    from .asking import make

    release, _round = world.granted()
    make(DeployedVersion, application=world.application, environment=world.environments["production"], code="0" * 40,
         since=now(), basis="registered")  # fmt: skip
    assert "“currently deployed version”" in ask(world, release, "approval").reason
    with acting(COMMAND), operation("test:clear"):
        DeployedVersion.objects.all().delete()
    make(ChangeEntry, release=release, kind="fix", text="one more thing", author=world.people["developer"])
    assert "“changes”" in ask(world, release, "approval").reason


def test_a_used_or_expired_approval_is_none(world: Any) -> None:
    release, approval_request = world.granted()
    answer = ask(world, release, "approval", at=approval_request.valid_until + timedelta(seconds=1))
    assert answer.result == "not_passed" and "expired" in answer.reason
    with acting(COMMAND), operation("test:use", (ApprovalRequest, approval_request.pk)) as op:
        op.get(ApprovalRequest).use()
    answer = ask(world, release, "approval")
    assert answer.result == "not_passed" and "used" in answer.reason


def test_the_digest_is_of_the_canonical_form(world: Any) -> None:
    release = world.planned()
    content = document(Release.objects.get(pk=release.pk), world.environments["production"])
    assert digest(content) == digest(dict(reversed(content.items())))
    assert digest(content) != digest(content | {"version": "1.3.1"})
    assert difference(content, content) == ""
    assert difference(content, content | {"on_timeout": "keep"}) == "on_timeout"
    assert difference(content | {"gone": 1}, content) == "gone"


def test_granted_alone_opens_nothing(world: Any) -> None:
    """With one of two approvals an update of the state lets it be neither scheduled nor started."""
    release, approval_request = world.submitted()
    with world.acting_as("committee_a"):
        approve(approval_request.pk, digest=approval_request.digest)
    with acting(COMMAND), operation("test:update"):
        for state in ("approved", "final_check_completed"):
            Release.objects.filter(pk=release.pk).update(state=state)
        ApprovalRequest.objects.filter(pk=approval_request.pk).update(state="approved")
    answer = ask(world, release, "approval")
    assert answer.result == "not_passed" and "Too few approvals count. Missing: Committee member (1)." in answer.reason
    with world.acting_as("operator"):
        deployment = request(release.pk, environment_id=world.environments["production"].pk)
        with pytest.raises(GateNotPassed, match="Too few approvals count"):
            schedule(deployment.pk)
    alter(approval_request, rules=[{**approval_request.rules[0], "number": 1}])
    assert "asks for other approvals than the procedure" in ask(world, release, "approval").reason


def test_an_approval_is_counted_anew_wherever_it_opens_something(world: Any, people: dict[str, Any]) -> None:
    """Who wrote, committed, edited, waived, lost the role or left since does not count; and is named with the reason."""
    release, approval_request = world.granted()
    account, grant = people["committee_a"], AccessGrant.objects.get(account=people["committee_a"], role="committee")
    own = account.git_addresses
    observed = Fact.objects.get(release=release, kind="committers")
    cases = [
        (account, {"git_addresses": ["developer@datasets.example"]}, {"git_addresses": own}, "the author of one of its commits"),
        (account, {"former_identities": ["developer@datasets.example"]}, {"former_identities": []}, "the author of one of its"),
        (account, {"is_active": False}, {"is_active": True}, "the account is deactivated or does not belong to a person"),
        (grant, {"revoked_at": now()}, {"revoked_at": None}, "(Committee member) has ended"),
        (grant, {"environment": world.environments["staging"]}, {"environment": None}, "(Committee member) has ended"),
        (observed, {"value": own}, {"value": observed.value}, "the committer of one of its commits"),
    ]  # fmt: skip
    for row, fields, kept, why in cases:
        alter(row, **fields)
        answer = ask(world, release, "approval")
        assert answer.result == "not_passed" and "The approval of Committee A does not count" in answer.reason, fields
        assert why in answer.reason and "Missing: Committee member (1)" in answer.reason, answer.reason
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


def test_a_role_that_ends_before_the_hour_asked_about_does_not_count_then(world: Any, people: dict[str, Any]) -> None:
    release, _round = world.granted()
    grant = AccessGrant.objects.get(account=people["committee_b"], role="committee")
    alter(grant, until=now() + timedelta(minutes=10))
    assert ask(world, release, "approval").result == "passed"
    answer = ask(world, release, "approval", at=now() + timedelta(minutes=20))
    assert answer.result == "not_passed" and "Committee B" in answer.reason and "ends before then" in answer.reason


def test_who_was_one_person_with_the_author_before_does_not_count(world: Any, people: dict[str, Any]) -> None:
    """An employee id that is given up joins the two accounts still, and so does a git address that moved on."""
    release, _round = world.granted()
    for name in ("author_on_committee", "committee_a"):
        alter(people[name], employee_id="4711")
    assert "is the author of what is approved" in ask(world, release, "approval").reason
    with world.acting_as("administrator"):
        asked = edit(people["committee_a"].pk, display_name="Committee A", reason="wrong number")
    seconded(asked, world.acting_as, "second_administrator")
    assert "is the author of what is approved" in ask(world, release, "approval").reason


def test_an_identity_that_moves_between_queue_and_claim_keeps_the_run_from_starting(
    world: Any, people: dict[str, Any]
) -> None:
    deployment = world.scheduled()
    with acting(COMMAND):
        enqueue(deployment.pk)
    alter(people["committee_a"], git_addresses=["developer@datasets.example"])
    with acting(COMMAND), pytest.raises(GateNotPassed, match="the author of one of its commits"):
        claim(deployment.steps.get(ordinal=1).pk, worker="w")
    assert (world.fresh(deployment).state, world.fresh(deployment.approval_request).state) == ("queued", "approved")


def test_who_approved_first_is_counted_again_when_the_last_one_approves(world: Any, people: dict[str, Any]) -> None:
    _release, approval_request = world.submitted()
    with world.acting_as("committee_a"):
        approve(approval_request.pk, digest=approval_request.digest)
    alter(people["committee_a"], git_addresses=["developer@datasets.example"])
    with world.acting_as("committee_b"):
        approve(approval_request.pk, digest=approval_request.digest)
    assert world.fresh(approval_request).state == "in_review"


def test_worse_evidence_after_the_approval_closes_it(world: Any) -> None:
    """What fails, and what says less than what the approvers saw; as good or better closes nothing."""
    given(world, "coverage", coverage(95, 100))
    release, _round = world.granted()
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
