"""Waivers: two people, for a time, in the digest, owed afterwards; and never the committee (P2, P3)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from audit.actor import acting
from audit.refusals import GateClosed, Invalid, NotYou, WrongState
from releases.actions.consent import decide as consent
from releases.actions.consent.lapse import lapse_stale
from releases.actions.obligation.incur import incur_at_start
from releases.actions.release.prepare import fix_content
from releases.actions.waiver import decide
from releases.actions.waiver.propose import propose
from releases.models import FollowUp, Waiver
from tests.releases.gates.asking import COMMAND, alter, ask


def proposed(world: Any, release: Any, gate: str = "coverage", *, hours: float = 6, by: str = "manager") -> Waiver:
    with world.acting_as(by):
        return propose(
            release.pk,
            environment_id=world.environments["production"].pk,
            gate=gate,
            until=datetime.now(UTC) + timedelta(hours=hours),
            reason="the tool is down",
        )


def test_a_second_person_lets_a_closed_gate_pass_and_the_page_can_tell_it_from_a_pass(world: Any) -> None:
    release = world.planned()
    waiver = proposed(world, release)
    assert ask(world, release, "coverage").verdict == "unknown", "a proposal is no waiver"
    with world.acting_as("project_manager"):
        decide.approve(waiver.pk)
    answer = ask(world, release, "coverage")
    assert (answer.verdict, answer.passes) == ("waived", True)
    assert "the tool is down" in answer.reason
    assert ask(world, release, "coverage", at=datetime.now(UTC) + timedelta(hours=7)).verdict == "unknown", "its end"
    assert ask(world, release, "review").verdict == "unknown", "one gate, not all"
    assert ask(world, release, "review", environment="staging").verdict == "unknown", "one environment, not all"


def test_it_takes_two_people_and_neither_is_the_author(world: Any) -> None:
    release = world.planned(author="manager")
    waiver = proposed(world, release, by="manager")
    with world.acting_as("manager"), pytest.raises(NotYou):
        decide.approve(waiver.pk)
    with world.acting_as("operator"), pytest.raises(NotYou):
        decide.approve(waiver.pk)
    with world.acting_as("project_manager"):
        decide.approve(waiver.pk)


@pytest.mark.parametrize("gate", ["consent", "window", "tag", "obligations", "no such gate"])
def test_some_gates_are_never_waived(world: Any, gate: str) -> None:
    with pytest.raises(Invalid):
        proposed(world, world.planned(), gate)


def test_a_row_that_names_the_consent_gate_opens_nothing(world: Any) -> None:
    release = world.planned()
    waiver = proposed(world, release)
    with world.acting_as("project_manager"):
        decide.approve(waiver.pk)
    alter(waiver, gate="consent")
    assert ask(world, release, "consent").verdict == "fail"


def test_refused_or_withdrawn_it_counts_no_more(world: Any) -> None:
    release = world.planned()
    first = proposed(world, release)
    with world.acting_as("project_manager"):
        decide.refuse(first.pk, reason="wait for the tool")
        with pytest.raises(WrongState):
            decide.approve(first.pk)
    second = proposed(world, release)
    with world.acting_as("project_manager"):
        decide.approve(second.pk)
    with world.acting_as("manager"):
        decide.withdraw(second.pk, reason="the tool is back")
    assert ask(world, release, "coverage").verdict == "unknown"


def test_a_waiver_after_the_consent_voids_it_and_names_the_key(world: Any) -> None:
    release, round_ = world.granted()
    waiver = proposed(world, release)
    with acting(COMMAND):
        assert lapse_stale() == []
    with world.acting_as("project_manager"):
        decide.approve(waiver.pk)
    with acting(COMMAND):
        assert lapse_stale() == [release.pk]
    assert (world.fresh(round_).state, world.fresh(round_).invalidated_by) == ("invalidated", "waivers")


def test_who_waived_does_not_approve(world: Any) -> None:
    release = world.tested(author="manager")
    waiver = proposed(world, release, by="author_on_committee")
    with world.acting_as("project_manager"):
        decide.approve(waiver.pk)
    from releases.actions.release.submit import submit

    with world.acting_as("manager"):
        round_ = submit(release.pk)
    with world.acting_as("author_on_committee"), pytest.raises(NotYou, match="waiver"):
        consent.approve(round_.pk, digest=round_.digest)


def test_what_was_waived_is_owed_once_the_run_starts(world: Any) -> None:
    release = world.planned()
    waiver = proposed(world, release)
    with world.acting_as("project_manager"):
        decide.approve(waiver.pk)
    assert not FollowUp.objects.exists()
    from audit.change import change
    from releases.models import Release

    for _again in range(2):
        with world.acting_as("operator"), change("test:start", (Release, release.pk)) as act:
            incur_at_start(act.get(Release), world.environments["production"], datetime.now(UTC))
    (debt,) = FollowUp.objects.all()
    assert (debt.key, debt.about, debt.blocks) == ("waiver", "coverage", "next")
    assert debt.due_at > datetime.now(UTC) + timedelta(days=4)
    assert world.fresh(waiver).follow_up == debt


def test_late_is_only_allowed_with_a_waiver(world: Any) -> None:
    release = world.planned()
    milestone = release.milestones.get(key="scope_locked")
    alter(milestone, due_immediately=False, due_at=datetime.now(UTC) - timedelta(hours=1))
    with world.acting_as("manager"), pytest.raises(GateClosed, match="” is overdue"):
        fix_content(release.pk)
    waiver = proposed(world, release, "milestone:scope_locked")
    with world.acting_as("project_manager"):
        decide.approve(waiver.pk)
    with world.acting_as("manager"):
        fix_content(release.pk)
    assert world.fresh(milestone).done_at is not None
