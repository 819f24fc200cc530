"""An emergency from criterion to follow-up: no window, always the committee, skipped checks due later (P2)."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from audit.actor import acting
from audit.operation import label
from environments.models import ChangeFreeze, ChangeWindow
from releases.gates.base import procedure_of
from releases.gates.evaluation import WAIVABLE, blockers
from releases.models import FollowUp
from releases.operations.approval.decide import approve, approve_with_condition
from releases.operations.approval.submit import submit
from releases.operations.deployment.enqueue import enqueue
from releases.operations.deployment.request import request
from releases.operations.deployment.schedule import schedule
from releases.operations.follow_up.complete import complete
from releases.operations.release.plan import add_change, edit, plan, set_configuration
from releases.operations.release.prepare import complete_testing, lock_scope
from releases.operations.release.refresh_from_git import refresh_from_git
from releases.operations.release.reschedule import set_scheduled_start
from releases.operations.release.select_commit import select_commit
from releases.operations.release.sign_final_check import sign
from releases.operations.step.claim import claim
from releases.operations.team.assign import assign
from releases.operations.waiver import decide as waivers
from releases.operations.waiver.request import request_waiver
from tests.releases.gates.asking import COMMAND, alter, ask, git, make, mark_deployed, own_repository
from tests.releases.operations.notifying import forget, join, make_notifications, only, outcomes
from tests.releases.operations.test_planning import booked


def hotfix(world: Any, folder: Path) -> None:
    """Put a fix on hotfix/1.2.1, tagged and signed, and on no other branch."""
    repository = own_repository(world, folder)
    key = folder / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    public = key.with_suffix(".pub").read_text().strip()
    signers = f"{world.application.allowed_signers}\ndeveloper@datasets.example {public}\n"
    world.application = alter(world.application, allowed_signers=signers)
    base = world.built.commits["v1.2.0"]
    commit = git(repository, "commit-tree", f"{base}^{{tree}}", "-p", base, "-m", "Close the hole")
    git(repository, "branch", "hotfix/1.2.1", commit)
    words = ["-c", "gpg.format=ssh", "-c", f"user.signingkey={key}", "tag", "-s", "v1.2.1", commit]
    git(repository, *words, "-m", "1.2.1", "-m", f"{datetime.now(UTC):%Y-%m-%d}", "-m", "- Close the hole")


def filled(world: Any) -> Any:
    """Plan the emergency with all texts that an approval request needs."""
    with world.acting_as("manager"):
        release = plan(
            application_id=world.application.pk,
            version="1.2.1",
            title="Close the hole",
            kind="emergency",
            criterion="security_vulnerability",
        )
    with world.acting_as("developer"):
        add_change(release.pk, kind="fix", text="The hole is closed")
    with world.acting_as("manager"):
        edit(release.pk, fields=dict.fromkeys(release.APPLICATION_FIELDS, "as written") | {"risk": "high"})
        select_commit(release.pk, branch="hotfix/1.2.1")
        for configuration in world.configurations.values():
            set_configuration(release.pk, configuration_id=configuration.pk)
        set_scheduled_start(release.pk, start=datetime.now(UTC))
    return world.fresh(release)


def waive_everything(world: Any, release: Any) -> list[str]:
    """Waive each waivable gate of production; return their keys."""
    keys = [
        g.key
        for g in procedure_of(release).gates_for(release.destinations[0])
        if g.type in WAIVABLE and g.type != "release_team"
    ]
    for key in keys:
        with world.acting_as("manager"):
            row = request_waiver(
                release.pk,
                environment_id=world.environments["production"].pk,
                gate=key,
                until=datetime.now(UTC) + timedelta(hours=20),
                reason="the hole is used already",
            )
        with world.acting_as("project_manager"):
            waivers.approve(row.pk)
    return keys


def staff(world: Any, release: Any) -> None:
    roles = {"implementer": "operator", "verifier": "second_operator", "release_lead": "manager"}
    for role, who in (roles | {"rollback_decision_maker": "second_operator"}).items():
        with world.acting_as("manager"):
            assign(release.pk, team_role=role, account_id=world.people[who].pk, telephone="+81-3-0000-0000")


def test_an_emergency_needs_the_committee_but_no_window_and_skipped_checks_are_due_later(
    world: Any, tmp_path: Path
) -> None:
    production = world.environments["production"]
    hotfix(world, tmp_path)
    mark_deployed(world, "1.2.0")
    regular = world.planned("1.3.0")
    for window in ChangeWindow.objects.filter(environment=production):
        alter(window, cancelled_at=datetime.now(UTC))
    freeze = make(
        ChangeFreeze,
        name="quarter's end",
        environment=production,
        starts_at=datetime.now(UTC) - timedelta(hours=1),
        ends_at=datetime.now(UTC) + timedelta(days=3),
        reason="closing",
    )
    release = filled(world)
    assert [m.due_immediately for m in release.milestones.exclude(guards="start")] == [True] * 4
    with world.acting_as("manager"):
        lock_scope(release.pk)
    waived = waive_everything(world, world.fresh(release))
    staff(world, release)
    with world.acting_as("manager"):
        refresh_from_git(release.pk)
        complete_testing(release.pk)
        approval_request = submit(release.pk)
    assert "approval" in {a.gate for a in blockers(world.fresh(release), production)}
    with world.acting_as("committee_a"):
        approve_with_condition(approval_request.pk, digest=approval_request.digest, condition="call the desk")
    assert world.fresh(release).state == "in_review"
    with world.acting_as("committee_b"):
        approve(approval_request.pk, digest=approval_request.digest)
    granted = world.fresh(approval_request)
    assert timedelta(hours=23) < granted.valid_until - datetime.now(UTC) <= timedelta(hours=24)
    for name in ("manager", "operator"):
        with world.acting_as(name):
            sign(release.pk)
    alter(freeze, full=True)
    assert ask(world, release, "change_freeze").result == "not_passed"
    alter(freeze, full=False)
    (waiting,) = blockers(world.fresh(release), production)
    assert waiting.gate == "approval" and "call the desk" in waiting.reason, "an emergency waits for it as well"
    with world.acting_as("committee_a"):
        complete(FollowUp.objects.get(key="condition").pk, note="called")
    assert blockers(world.fresh(release), production) == []
    first = booked(world, regular, datetime.now(UTC) + timedelta(minutes=1))
    only(("deployment:cancel", "development_team", "admin"))
    join("development_team", world.people["developer"])
    forget()
    with world.acting_as("operator"):
        deployment = request_and_schedule(world, release)
    assert world.fresh(first).state == "cancelled"
    (notification,) = make_notifications()
    assert notification.object == label(first) and outcomes(notification) == {("Developer", "admin"): "sent"}
    assert "The deployment was cancelled for an emergency release: Datasets 1.2.1" in notification.texts["en"]["body"]
    assert not FollowUp.objects.filter(completed_at=None).exists()
    with acting(COMMAND):
        enqueue(deployment.pk)
        taken = claim(deployment.steps.get(ordinal=1).pk, worker="w")
    assert (
        taken is not None
        and world.fresh(deployment).state == "running"
        and world.fresh(approval_request).state == "used"
    )
    debts = {(o.key, o.about) for o in FollowUp.objects.filter(completed_at=None)}
    assert debts == {("retrospective_review", ""), ("full_review", ""), *(("waiver", key) for key in waived)}

    alter(freeze, lifted_at=datetime.now(UTC))
    world.open_window()
    assert ask(world, regular, "follow_ups").result == "passed", "nothing is overdue yet"
    review = alter(FollowUp.objects.get(key="retrospective_review"), due_at=datetime.now(UTC) - timedelta(seconds=1))
    answer = ask(world, regular, "follow_ups")
    assert answer.result == "not_passed" and "1.2.1" in answer.reason and answer.anchor == "follow-ups"
    with world.acting_as("committee_a"):
        complete(review.pk, note="minutes of Thursday")
    assert ask(world, regular, "follow_ups").result == "passed"


def request_and_schedule(world: Any, release: Any) -> Any:
    deployment = request(release.pk, environment_id=world.environments["production"].pk)
    schedule(deployment.pk)
    return world.fresh(deployment)


def test_a_regular_release_does_not_go_to_production_from_a_hotfix_branch(world: Any, tmp_path: Path) -> None:
    hotfix(world, tmp_path)
    release = filled(world)
    with world.acting_as("manager"):
        refresh_from_git(release.pk)
    assert ask(world, release, "branch").result == "passed"
    assert ask(world, alter(release, kind="regular"), "branch").result == "not_passed"
