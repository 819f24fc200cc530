"""Ways round approval for people inside: their own texts, lateness, old rules, other people."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from audit.actor import acting
from audit.clock import now
from audit.operation import operation
from audit.refusals import InvalidInput, NotPermitted, OperationRefused
from environments.models import Account, ChangeWindow
from environments.operations.account import edit as editing
from releases.gates import authorship
from releases.metric_sources.collection import USUAL
from releases.models import ApprovalRequest, DeployedVersion, FollowUp, MonitoringPeriod, Procedure, Release
from releases.operations.application.set_allowed_signers import set_allowed_signers
from releases.operations.approval import decide
from releases.operations.approval.submit import submit
from releases.operations.evidence.upload import upload
from releases.operations.follow_up.complete import complete
from releases.operations.meeting import record
from releases.operations.monitoring.end import record_result
from releases.operations.procedure.put_into_effect import load, submit as apply_for, withdraw_request
from releases.operations.release import end_approval, prepare, reschedule
from releases.operations.release.copy import copy
from releases.operations.release.sign_final_check import sign
from releases.operations.release.withdraw_request import withdraw_request as withdraw_release_request
from releases.operations.target.set_settings import set_metric_sources
from releases.operations.team.assign import assign
from releases.operations.waiver import decide as waivers
from releases.operations.waiver.request import request_waiver
from releases.operations.window.request import request_window
from tests.bypasses.test_approval_bypasses import another, approved, fewer, say_yes, scheduled, submitted
from tests.conftest import seconded
from tests.releases.gates.asking import COMMAND, alter, ask, make, walk
from tests.scenarios.stock import Stock

TOKYO = ZoneInfo("Asia/Tokyo")


def late(release: Release, guards: str, days: int = 1) -> Any:
    """Let the milestone that guards an edge be past."""
    return alter(release.milestones.get(guards=guards), due_immediately=False, due_at=now() - timedelta(days=days))


def test_an_author_of_a_commit_whose_address_was_taken_away_does_not_approve(stock: Stock) -> None:
    _release, approval_request = submitted(stock)
    people = stock.world.people
    author = Account.objects.get(username="committee_b")
    alter(people["developer"], git_addresses=[])
    alter(author, git_addresses=["developer@datasets.example"])
    with stock.world.acting_as("committee_b"), pytest.raises(NotPermitted, match="commits"):
        decide.approve(approval_request.pk, digest=approval_request.digest)
    with stock.world.acting_as("administrator"):
        asked = editing.edit(author.pk, display_name=author.display_name, git_addresses=(), reason="tidy")
    seconded(asked, stock.world.acting_as, "second_administrator")
    # The former owner of the address stays the author; and as it has no owner now, others do not approve either.
    with stock.world.acting_as("committee_b"), pytest.raises(NotPermitted, match="commits"):
        decide.approve(approval_request.pk, digest=approval_request.digest)
    with stock.world.acting_as("committee_a"), pytest.raises(OperationRefused, match="developer@datasets.example"):
        decide.approve(approval_request.pk, digest=approval_request.digest)


def test_approval_and_final_check_that_come_late_are_waived_by_two_or_not_given(stock: Stock) -> None:
    world = stock.world
    release = stock.take()
    for guards in ("mark_approved", "complete_final_check"):
        late(release, guards, days=-1)
    with world.acting_as("manager"):
        approval_request = submit(release.pk)
    late(release, "mark_approved")
    with world.acting_as("committee_a"):
        decide.approve(approval_request.pk, digest=approval_request.digest)
    with (
        world.acting_as("committee_b"),
        pytest.raises(OperationRefused, match="is overdue. Move the release to a later change window"),
    ):
        decide.approve(approval_request.pk, digest=approval_request.digest)
    waive(stock, release, "mark_approved")
    with world.acting_as("committee_b"):
        decide.approve(approval_request.pk, digest=approval_request.digest)
    assert FollowUp.objects.filter(release=release, key="waiver").count() == 1
    late(release, "complete_final_check")
    with (
        world.acting_as("operator"),
        pytest.raises(OperationRefused, match="is overdue. Move the release to a later change window"),
    ):
        sign(release.pk)
    waive(stock, release, "complete_final_check")
    with world.acting_as("operator"):
        sign(release.pk)


def waive(stock: Stock, release: Release, guards: str) -> None:
    """Let two people waive a late milestone."""
    world = stock.world
    key = release.milestones.get(guards=guards).key
    production = world.environments["production"].pk
    with world.acting_as("manager"):
        row = request_waiver(
            release.pk, environment_id=production, gate=f"milestone:{key}", until=soon(), reason="late"
        )
    with world.acting_as("project_manager"):
        waivers.approve(row.pk)


def soon() -> Any:
    """Return an end in a few minutes."""
    return now() + timedelta(minutes=5)


def test_waived_lateness_is_a_follow_up_wherever_and_however_short(stock: Stock) -> None:
    world, release = stock.world, stock.world.planned()
    key = late(release, "lock_scope").key
    with world.acting_as("manager"):
        with pytest.raises(InvalidInput, match="protected environment"):
            request_waiver(
                release.pk,
                environment_id=world.environments["development"].pk,
                gate=f"milestone:{key}",
                until=soon(),
                reason="late",
            )
        with pytest.raises(OperationRefused, match="is overdue. Move the release to a later change window"):
            prepare.lock_scope(release.pk)
    waive(stock, release, "lock_scope")
    with world.acting_as("manager"):
        prepare.lock_scope(release.pk)
    assert FollowUp.objects.get(release=release, key="waiver").about


def test_moving_to_the_same_hour_makes_nothing_punctual(stock: Stock) -> None:
    world, release = stock.world, stock.world.planned()
    late(release, "lock_scope")
    with world.acting_as("manager"):
        reschedule.set_scheduled_start(release.pk, start=Release.objects.get(pk=release.pk).scheduled_start_at)
        with pytest.raises(OperationRefused, match="is overdue. Move the release to a later change window"):
            prepare.lock_scope(release.pk)


def test_moving_away_and_back_makes_nothing_punctual(stock: Stock) -> None:
    world, release = stock.world, stock.world.planned()
    near = Release.objects.get(pk=release.pk).scheduled_start_at
    late(release, "lock_scope")
    days = (now().astimezone(TOKYO) + timedelta(days=count) for count in range(30, 70))
    third = next(day for day in days if day.weekday() == 2 and 15 <= day.day <= 21)
    with world.acting_as("manager"):
        reschedule.set_scheduled_start(release.pk, start=third.replace(hour=1, minute=0, second=0, microsecond=0))
        assert release.milestones.get(guards="lock_scope").due_at > now(), "at a later window it is not late"
        reschedule.set_scheduled_start(release.pk, start=near)
        with pytest.raises(OperationRefused, match="is overdue. Move the release to a later change window"):
            prepare.lock_scope(release.pk)


def test_the_author_of_a_text_does_not_approve_its_copy(stock: Stock) -> None:
    release = stock.world.planned()
    with stock.world.acting_as("manager"):
        made = copy(release.pk, version="1.3.1")
    assert release.author.person_key in authorship.excluded(made)


def test_the_author_of_a_procedure_does_not_approve_it_when_another_person_submits(stock: Stock) -> None:
    with stock.world.acting_as("author_on_committee"):
        draft = load(another("1.8.0"), reason="mine")
    with stock.world.acting_as("manager"):
        approval_request = apply_for(draft.pk, reason="x")
    with stock.world.acting_as("author_on_committee"), pytest.raises(NotPermitted):
        decide.approve(approval_request.pk, digest=approval_request.digest)


def test_a_request_under_old_rules_does_not_undo_new_ones(stock: Stock) -> None:
    with stock.world.acting_as("manager"):
        lax = load(another("1.8.0", approval_rules=fewer(1)), reason="lax")
        first = apply_for(lax.pk, reason="x")
        strict = load(another("1.9.0", approval_rules=fewer(3)), reason="strict")
        second = apply_for(strict.pk, reason="x")
    say_yes(stock, second)
    assert Procedure.objects.get(state="in_effect").version == "1.9.0"
    assert ApprovalRequest.objects.get(pk=first.pk).state == "invalidated"
    assert Procedure.objects.get(pk=lax.pk).state == "draft"
    with pytest.raises(OperationRefused):
        say_yes(stock, first)


def test_a_rejected_procedure_is_rejected_for_good_and_a_withdrawn_one_is_not(stock: Stock) -> None:
    with stock.world.acting_as("manager"):
        draft = load(another("1.8.0"), reason="x")
        apply_for(draft.pk, reason="x")
        withdraw_request(draft.pk, reason="a word")
        approval_request = apply_for(draft.pk, reason="x")
    with stock.world.acting_as("committee_a"):
        decide.reject(approval_request.pk, digest=approval_request.digest, comment="never")
    assert Procedure.objects.get(pk=draft.pk).state == "discarded"
    with stock.world.acting_as("manager"), pytest.raises(OperationRefused):
        apply_for(draft.pk, reason="again")


def test_whose_signatures_count_is_part_of_what_is_approved(stock: Stock) -> None:
    release, _request = approved(stock)
    with stock.world.acting_as("manager"):
        set_allowed_signers(stock.world.application.pk, signers="mole@x ssh-ed25519 AAAA", reason="x")
    answer = ask(stock.world, release, "approval")
    assert answer.result == "not_passed" and "allowed signers" in answer.reason


def test_an_outdated_version_is_not_submitted(stock: Stock) -> None:
    world, release = stock.world, stock.take()
    above = make(
        Release,
        application=world.application,
        version="1.9.0",
        title="x",
        author=world.people["operator"],
        tag="v1.9.0",
        commit=world.built.commits["v1.2.0"],
        tree=world.built.trees["v1.2.0"],
    )
    walk(above, "mark_imported")
    make(
        DeployedVersion,
        application=world.application,
        environment=world.environments["production"],
        release=above,
        configuration=world.configurations["production"],
        code=above.tree,
        configuration_digest="c" * 64,
        since=now(),
        basis="registered",
    )
    with world.acting_as("manager"), pytest.raises(OperationRefused, match="1.9.0"):
        submit(release.pk)


def test_a_condition_ends_with_the_approval_that_asked_for_it(stock: Stock) -> None:
    release, approval_request = submitted(stock)
    with stock.world.acting_as("committee_a"):
        decide.approve_with_condition(approval_request.pk, digest=approval_request.digest, condition="tell the users")
    with stock.world.acting_as("manager"):
        prepare.cancel(release.pk, reason="not needed")
    condition = FollowUp.objects.get(release=release)
    assert condition.completed_at is not None and condition.completed_by is None
    assert ask(stock.world, stock.take(), "follow_ups").result == "passed"


def test_an_involved_person_does_not_confirm_a_condition_or_a_review(stock: Stock) -> None:
    release, approval_request = submitted(stock)
    with stock.world.acting_as("committee_a"):
        decide.approve_with_condition(approval_request.pk, digest=approval_request.digest, condition="x")
    with acting(COMMAND), operation("test:edit", (Release, release.pk)) as op:
        op.get(Release).editors.add(stock.world.people["committee_b"])
    with stock.world.acting_as("committee_b"), pytest.raises(NotPermitted, match="part in this release"):
        complete(FollowUp.objects.get(release=release).pk, note="done")
    review = make(
        FollowUp,
        application=stock.world.application,
        release=release,
        key="retrospective_review",
        label_ja="a",
        label_en="a",
        due_at=now(),
    )
    with stock.world.acting_as(release.author.username), pytest.raises(NotPermitted, match="author"):
        complete(review.pk, note="fine")


def test_an_approval_rests_on_no_meeting_that_said_no(stock: Stock) -> None:
    release, approval_request = submitted(stock)
    attendees = (stock.world.people["committee_a"].pk,)
    with stock.world.acting_as("manager"):
        held = record.record(held_at=now() - timedelta(hours=1), attendees=attendees, minutes="no")
        record.decide(held.pk, release_id=release.pk, decision="reject")
    with (
        stock.world.acting_as("committee_a"),
        pytest.raises(OperationRefused, match="That meeting did not decide in favour of this release"),
    ):
        decide.approve(approval_request.pk, digest=approval_request.digest, meeting_id=held.pk)


def test_after_the_final_check_joining_the_team_oneself_is_refused(stock: Stock) -> None:
    release, _request, _deployment = scheduled(stock)
    manager = stock.world.people["manager"].pk
    with stock.world.acting_as("manager"), pytest.raises(NotPermitted, match="another person"):
        assign(release.pk, team_role="rollback_decision_maker", account_id=manager, telephone="1")
    for verbs in (("start",), ("start_monitoring",)):
        walk(Release.objects.get(pk=release.pk), *verbs)
        with stock.world.acting_as("manager"), pytest.raises(NotPermitted, match="another person"):
            assign(release.pk, team_role="rollback_decision_maker", account_id=manager, telephone="1")


def test_the_scheduler_of_a_deployment_neither_sets_nor_decides_its_monitoring(stock: Stock) -> None:
    _release, _request, deployment = scheduled(stock)
    walk(deployment, "enqueue", "start", "start_verification", "start_monitoring")
    monitoring = make(
        MonitoringPeriod,
        deployment=deployment,
        interval_seconds=60,
        duration_seconds=3600,
        started_at=now(),
        triggers=[],
    )
    target, starter = stock.world.targets["production"].pk, deployment.scheduled_by.username
    sources = [dict(row) for row in USUAL]
    with stock.world.acting_as(starter), pytest.raises(NotPermitted, match="another person"):
        set_metric_sources(target, sources=sources, reason="another page")
    alter(monitoring, result="inconclusive")
    with stock.world.acting_as(starter), pytest.raises(NotPermitted, match="another person"):
        record_result(monitoring.pk, result="passed", reason="trust me")
    with stock.world.acting_as("second_operator"):
        record_result(monitoring.pk, result="passed", reason="the dashboards were looked at")
    assert stock.world.fresh(deployment).state == "succeeded"


def test_a_request_for_a_window_that_is_over_ends(stock: Stock) -> None:
    production = stock.world.environments["production"].pk
    with stock.world.acting_as("manager"):
        row = request_window(production, name="x", starts_at=now(), ends_at=now() + timedelta(seconds=0.2), reason="x")
    while now() < row.valid_until:
        time.sleep(0.05)
    with acting(COMMAND):
        end_approval.invalidate_stale()
    assert ApprovalRequest.objects.get(pk=row.pk).state == "expired"
    assert ChangeWindow.objects.get(pk=row.window_id).cancelled_at is not None


def test_a_request_that_came_meanwhile_is_not_ended_for_the_one_before(
    stock: Stock, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = stock.world
    release, _request = submitted(stock)
    alter(release, ticket="T-1")
    real, later = end_approval.operation, []

    def late_operation(*arguments: Any, **options: Any) -> Any:
        if not later:
            later.append(0)
            with world.acting_as("manager"):
                withdraw_release_request(release.pk)
                later[0] = submit(release.pk).pk
        return real(*arguments, **options)

    monkeypatch.setattr(end_approval, "operation", late_operation)
    with acting(COMMAND):
        end_approval.invalidate_stale()
    assert ApprovalRequest.objects.get(pk=later[0]).state == "in_review"


def test_an_emergency_does_not_start_before_its_scheduled_start(stock: Stock) -> None:
    release = stock.take()
    alter(
        release,
        kind="emergency",
        scheduled_start_at=now() + timedelta(hours=10),
        scheduled_end_at=now() + timedelta(hours=34),
    )
    assert ask(stock.world, release, "change_window").result == "not_passed"


def test_a_review_is_not_by_an_author_written_in_other_characters(stock: Stock) -> None:
    world = stock.world
    with (
        world.acting_as("ci"),
        pytest.raises(OperationRefused, match="wrote a part of this change and cannot review it"),
    ):
        upload(
            world.application.pk,
            environment_id=world.environments["staging"].pk,
            kind="review",
            commit=world.built.commits["v1.3.0"],
            files=[("", json.dumps({"reviewer": "Ｄeveloper", "decision": "approved"}).encode())],
        )


def test_the_signature_at_the_end_is_shown_in_the_readers_words(stock: Stock, browsers: Callable[[str], Any]) -> None:
    release, approval_request = submitted(stock)
    say_yes(stock, approval_request)
    page = browsers("manager").get(
        f"/admin/operation/release/sign_final_check/{release.pk}/", headers={"accept-language": "ja"}
    )
    assert "release_team_complete" not in page.content.decode() and "tag_unchanged" not in page.content.decode()
