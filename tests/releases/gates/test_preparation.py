"""Checklist, milestones, documents, roster, obligations: each closed by default and by what is missing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from audit.clock import now
from releases.actions.release.plan import plan
from releases.gates import base
from releases.models import FollowUp, Milestone, TeamMember

from .asking import alter, ask, make


def test_what_nobody_has_made_is_not_passed(world: Any) -> None:
    """An empty list is no pass: nothing was asked, nothing was proved."""
    with world.acting_as("manager"):
        release = plan(application_id=world.application.pk, version="1.3.0", title="empty")
    for gate in ("checklist", "milestones", "documents", "roster"):
        answer = ask(world, release, gate)
        assert answer.verdict == "fail" and answer.reason, gate


def test_a_prepared_release_passes_until_one_thing_is_missing(world: Any) -> None:
    release = world.tested()
    for gate in ("checklist", "documents", "roster", "promotion"):
        assert ask(world, release, gate).verdict == "pass", gate
    item = release.checklist.first()
    alter(item, signed_at=None)
    assert item.label_en in ask(world, release, "checklist").reason
    document = release.documents.get(kind="changelog")
    with world.acting_as("developer"):
        from releases.actions.document.review import write

        write(document.pk, body="edited after it was approved")
    assert ask(world, release, "documents").verdict == "fail"
    entry = TeamMember.objects.get(release=release, team_role="rollback_decision_maker")
    alter(entry, telephone="")
    assert ask(world, release, "roster").verdict == "fail"


def test_every_milestone_before_the_start_must_be_done(world: Any) -> None:
    release, _round = world.confirmed()
    assert ask(world, release, "milestones").verdict == "pass"
    for milestone in Milestone.objects.filter(release=release).exclude(guards="start"):
        done_at = milestone.done_at
        alter(milestone, done_at=None)
        assert ask(world, release, "milestones").verdict == "fail", milestone.key
        alter(milestone, done_at=done_at)


def test_many_other_debts_do_not_hide_the_one_that_blocks(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What holds the next release up is read first, whatever else was due before it."""
    monkeypatch.setattr(base, "MOST_DEBTS", 2)
    release = world.planned()
    words = {"application": world.application, "release": release, "key": "x", "label_ja": "x", "label_en": "x"}
    with world.acting_as("manager"):
        other = plan(application_id=world.application.pk, version="1.4.0", title="another")
    for hours in (9, 8, 7):
        make(FollowUp, **words | {"release": other}, blocks="start", due_at=now() - timedelta(hours=hours))
    assert ask(world, release, "obligations").verdict == "pass"
    make(FollowUp, **words | {"label_en": "the one"}, due_at=now() - timedelta(hours=1))
    answer = ask(world, release, "obligations")
    assert answer.verdict == "fail" and "the one" in answer.reason


def test_an_overdue_obligation_blocks_the_next_regular_release(world: Any) -> None:
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
    assert ask(world, release, "obligations").verdict == "pass", "not due yet"
    debt = alter(debt, due_at=now() - timedelta(seconds=1))
    answer = ask(world, release, "obligations")
    assert answer.verdict == "fail" and "review after the emergency" in answer.reason
    assert ask(world, alter(release, kind="emergency"), "obligations").verdict == "pass"
    release = alter(release, kind="regular")
    from releases.actions.obligation.settle import settle

    with world.acting_as("manager"):
        settle(debt.pk, note="reviewed on Friday")
    assert ask(world, release, "obligations").verdict == "pass"
