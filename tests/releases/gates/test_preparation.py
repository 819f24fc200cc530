"""Checklist, milestones, documents, team, follow-up actions: one missing part keeps the gate from passing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from audit.clock import now
from releases.gates import base
from releases.models import FollowUp, Milestone, TeamMember
from releases.operations.release.plan import plan

from .asking import alter, ask, make


def test_an_unmade_list_does_not_pass(world: Any) -> None:
    """An empty list does not pass: nothing was proved."""
    with world.acting_as("manager"):
        release = plan(application_id=world.application.pk, version="1.3.0", title="empty")
    for gate in ("checklist", "milestones", "documents", "release_team"):
        answer = ask(world, release, gate)
        assert answer.result == "not_passed" and answer.reason, gate


def test_a_prepared_release_passes_until_one_part_is_missing(world: Any) -> None:
    release = world.tested()
    for gate in ("checklist", "documents", "release_team", "promotion"):
        assert ask(world, release, gate).result == "passed", gate
    item = release.checklist.first()
    alter(item, signed_at=None)
    assert item.label_en in ask(world, release, "checklist").reason
    document = release.documents.get(kind="changelog")
    with world.acting_as("developer"):
        from releases.operations.document.review import write

        write(document.pk, body="edited after it was approved")
    assert ask(world, release, "documents").result == "not_passed"
    entry = TeamMember.objects.get(release=release, team_role="rollback_decision_maker")
    alter(entry, telephone="")
    assert ask(world, release, "release_team").result == "not_passed"


def test_every_milestone_before_the_start_must_be_completed(world: Any) -> None:
    release, _request = world.final_checked()
    assert ask(world, release, "milestones").result == "passed"
    for milestone in Milestone.objects.filter(release=release).exclude(guards="start"):
        done_at = milestone.done_at
        alter(milestone, done_at=None)
        assert ask(world, release, "milestones").result == "not_passed", milestone.key
        alter(milestone, done_at=done_at)


def test_many_other_follow_ups_do_not_hide_a_blocking_one(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Follow-up actions that block the next release are read first, whatever else was due before them."""
    monkeypatch.setattr(base, "MOST_FOLLOW_UPS", 2)
    release = world.planned()
    words = {"application": world.application, "release": release, "key": "x", "label_ja": "x", "label_en": "x"}
    with world.acting_as("manager"):
        other = plan(application_id=world.application.pk, version="1.4.0", title="another")
    for hours in (9, 8, 7):
        make(FollowUp, **words | {"release": other}, blocks="start", due_at=now() - timedelta(hours=hours))
    assert ask(world, release, "follow_ups").result == "passed"
    make(FollowUp, **words | {"label_en": "the one"}, due_at=now() - timedelta(hours=1))
    answer = ask(world, release, "follow_ups")
    assert answer.result == "not_passed" and "the one" in answer.reason


def test_an_overdue_follow_up_blocks_the_next_regular_release(world: Any) -> None:
    release = world.planned()
    debt = make(
        FollowUp,
        application=world.application,
        release=release,
        key="full_review",
        label_ja="review after the emergency",
        label_en="review after the emergency",
        due_at=now() + timedelta(hours=1),
    )
    assert ask(world, release, "follow_ups").result == "passed", "not due yet"
    debt = alter(debt, due_at=now() - timedelta(seconds=1))
    answer = ask(world, release, "follow_ups")
    assert answer.result == "not_passed" and "review after the emergency" in answer.reason
    assert ask(world, alter(release, kind="emergency"), "follow_ups").result == "passed"
    release = alter(release, kind="regular")
    from releases.operations.follow_up.complete import complete

    with world.acting_as("manager"):
        complete(debt.pk, note="reviewed on Friday")
    assert ask(world, release, "follow_ups").result == "passed"
