"""Waivers: two people, for a time, in the digest, with a follow-up; and never for the committee (P2, P3)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from audit.actor import acting
from audit.refusals import GateNotPassed, InvalidInput, NotPermitted, NotPossible
from releases.models import FollowUp, Waiver
from releases.operations.approval import decide as decisions
from releases.operations.follow_up.create import create_at_start
from releases.operations.release.end_approval import invalidate_stale
from releases.operations.release.prepare import lock_scope
from releases.operations.waiver import decide
from releases.operations.waiver.request import request_waiver
from tests.releases.gates.asking import COMMAND, alter, ask


def waiver_requested(
    world: Any, release: Any, gate: str = "coverage", *, hours: float = 6, by: str = "manager"
) -> Waiver:
    with world.acting_as(by):
        return request_waiver(
            release.pk,
            environment_id=world.environments["production"].pk,
            gate=gate,
            until=datetime.now(UTC) + timedelta(hours=hours),
            reason="the tool is down",
        )


def test_a_waived_gate_passes_with_a_second_person_and_is_shown_as_waived(world: Any) -> None:
    release = world.planned()
    waiver = waiver_requested(world, release)
    assert ask(world, release, "coverage").result == "unknown", "a proposal is no waiver"
    with world.acting_as("project_manager"):
        decide.approve(waiver.pk)
    answer = ask(world, release, "coverage")
    assert (answer.result, answer.passes) == ("waived", True)
    assert "the tool is down" in answer.reason
    assert ask(world, release, "coverage", at=datetime.now(UTC) + timedelta(hours=7)).result == "unknown", "its end"
    assert ask(world, release, "review").result == "unknown", "one gate, not all"
    assert ask(world, release, "review", environment="staging").result == "unknown", "one environment, not all"


def test_a_waiver_takes_two_people_and_neither_is_the_author(world: Any) -> None:
    release = world.planned(author="manager")
    waiver = waiver_requested(world, release, by="manager")
    with world.acting_as("manager"), pytest.raises(NotPermitted):
        decide.approve(waiver.pk)
    with world.acting_as("operator"), pytest.raises(NotPermitted):
        decide.approve(waiver.pk)
    with world.acting_as("project_manager"):
        decide.approve(waiver.pk)


@pytest.mark.parametrize("gate", ["approval", "change_window", "tag", "follow_ups", "no such gate"])
def test_some_gates_are_never_waived(world: Any, gate: str) -> None:
    with pytest.raises(InvalidInput):
        waiver_requested(world, world.planned(), gate)


def test_a_waiver_of_the_approval_gate_has_no_effect(world: Any) -> None:
    release = world.planned()
    waiver = waiver_requested(world, release)
    with world.acting_as("project_manager"):
        decide.approve(waiver.pk)
    alter(waiver, gate="approval")
    assert ask(world, release, "approval").result == "not_passed"


def test_a_rejected_or_revoked_waiver_does_not_count(world: Any) -> None:
    release = world.planned()
    first = waiver_requested(world, release)
    with world.acting_as("project_manager"):
        decide.reject(first.pk, reason="wait for the tool")
        with pytest.raises(NotPossible):
            decide.approve(first.pk)
    second = waiver_requested(world, release)
    with world.acting_as("project_manager"):
        decide.approve(second.pk)
    with world.acting_as("manager"):
        decide.revoke(second.pk, reason="the tool is back")
    assert ask(world, release, "coverage").result == "unknown"


def test_a_waiver_after_the_approval_invalidates_it_and_names_the_key(world: Any) -> None:
    release, approval_request = world.approved()
    waiver = waiver_requested(world, release)
    with acting(COMMAND):
        assert invalidate_stale() == []
    with world.acting_as("project_manager"):
        decide.approve(waiver.pk)
    with acting(COMMAND):
        assert invalidate_stale() == [release.pk]
    assert (world.fresh(approval_request).state, world.fresh(approval_request).invalidated_by) == (
        "invalidated",
        "waivers",
    )


def test_the_requester_of_a_waiver_does_not_approve(world: Any) -> None:
    release = world.tested(author="manager")
    waiver = waiver_requested(world, release, by="author_on_committee")
    with world.acting_as("project_manager"):
        decide.approve(waiver.pk)
    from releases.operations.approval.submit import submit

    with world.acting_as("manager"):
        approval_request = submit(release.pk)
    with world.acting_as("author_on_committee"), pytest.raises(NotPermitted, match="waiver"):
        decisions.approve(approval_request.pk, digest=approval_request.digest)


def test_a_follow_up_for_a_waiver_is_due_from_the_start_of_the_deployment(world: Any) -> None:
    release = world.planned()
    waiver = waiver_requested(world, release)
    with world.acting_as("project_manager"):
        decide.approve(waiver.pk)
    assert not FollowUp.objects.exists()
    from audit.operation import operation
    from releases.models import Release

    for _again in range(2):
        with world.acting_as("operator"), operation("test:start", (Release, release.pk)) as op:
            create_at_start(op.get(Release), world.environments["production"], datetime.now(UTC))
    (debt,) = FollowUp.objects.all()
    assert (debt.key, debt.about, debt.blocks) == ("waiver", "coverage", "next")
    assert debt.due_at > datetime.now(UTC) + timedelta(days=4)
    assert world.fresh(waiver).follow_up == debt


def test_a_late_milestone_needs_a_waiver(world: Any) -> None:
    release = world.planned()
    milestone = release.milestones.get(key="scope_locked")
    alter(milestone, due_immediately=False, due_at=datetime.now(UTC) - timedelta(hours=1))
    with world.acting_as("manager"), pytest.raises(GateNotPassed, match="” is overdue"):
        lock_scope(release.pk)
    waiver = waiver_requested(world, release, "milestone:scope_locked")
    with world.acting_as("project_manager"):
        decide.approve(waiver.pk)
    with world.acting_as("manager"):
        lock_scope(release.pk)
    assert world.fresh(milestone).done_at is not None
