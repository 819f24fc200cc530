"""Choosing the window: a start outside is refused with the next one named; rescheduling changes every date."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import connection

from audit.clock import now
from audit.refusals import GateNotPassed, InvalidInput, NotPermitted, NotPossible
from releases.gates.window import opening
from releases.models import ApprovalRequest, FinalCheck
from releases.operations.approval.decide import approve, reject
from releases.operations.approval.submit import submit
from releases.operations.release.plan import plan
from releases.operations.release.reschedule import reschedule, set_scheduled_start
from releases.operations.window.request import request_window
from tests.releases.gates.asking import alter

TOKYO = ZoneInfo("Asia/Tokyo")


def next_regular(world: Any) -> datetime:
    """Return the start of the next third Wednesday's window, after the extra window of today."""
    answer = opening(world.application, world.environments["production"], now() + timedelta(hours=7))
    assert answer.next_start is not None
    return answer.next_start


def test_a_start_outside_a_window_is_refused_with_the_next_one(world: Any) -> None:
    start = next_regular(world)
    with world.acting_as("manager"):
        release = plan(application_id=world.application.pk, version="1.3.0", title="x")
        with pytest.raises(GateNotPassed) as closed:
            set_scheduled_start(release.pk, start=start - timedelta(seconds=1))
    assert f"{start.astimezone(TOKYO):%d}" in closed.value.reasons[0] and "01:00" in closed.value.reasons[0]
    assert world.fresh(release).scheduled_start_at is None and not release.milestones.exists()


def test_the_regular_window_sets_every_date(world: Any) -> None:
    """The third Wednesday, 01:00 to 05:00, with T-14, T-7, T-3, T-1 and T-0."""
    start = next_regular(world)
    local = start.astimezone(TOKYO)
    assert (local.weekday(), local.hour) == (2, 1) and 15 <= local.day <= 21
    with world.acting_as("manager"):
        release = plan(application_id=world.application.pk, version="1.3.0", title="x")
        set_scheduled_start(release.pk, start=start)
    release = world.fresh(release)
    assert release.scheduled_end_at - release.scheduled_start_at == timedelta(hours=4)
    days = {"lock_scope": 14, "complete_testing": 7, "mark_approved": 3, "complete_final_check": 1, "start": 0}
    assert {m.guards for m in release.milestones.all()} == set(days)
    for milestone in release.milestones.all():
        if milestone.due_immediately:
            assert milestone.due_at <= now(), "what lies in the past is due at once"
        else:
            due = milestone.due_at.astimezone(TOKYO).date()
            assert local.date() - due == timedelta(days=days[milestone.guards]), milestone.guards


def test_a_time_in_the_past_is_refused(world: Any) -> None:
    with world.acting_as("manager"):
        release = plan(application_id=world.application.pk, version="1.3.0", title="x")
        with pytest.raises(InvalidInput, match="past"):
            set_scheduled_start(release.pk, start=now() - timedelta(days=2))


def test_a_submitted_release_is_rescheduled(world: Any) -> None:
    release, _request = world.submitted()
    with world.acting_as("manager"), pytest.raises(NotPossible, match="Reschedule the release instead"):
        set_scheduled_start(release.pk, start=next_regular(world))
    for name in ("operator", "committee_a", "developer"):
        with world.acting_as(name), pytest.raises(NotPermitted):
            reschedule(release.pk, start=next_regular(world), reason="x")


def test_rescheduling_ends_the_request_the_deployment_and_the_final_check(world: Any) -> None:
    deployment = world.scheduled()
    release, start = deployment.release, next_regular(world)
    with world.acting_as("manager"):
        with pytest.raises(GateNotPassed, match="Next window"):
            reschedule(release.pk, start=start - timedelta(hours=1), reason="fair")
        assert world.fresh(deployment).state == "scheduled", "a refused postponement ends nothing"
        reschedule(release.pk, start=start, reason="the fair is on")
    release = world.fresh(release)
    assert (release.state, release.scheduled_start_at) == ("testing_completed", start)
    assert world.fresh(deployment).state == "cancelled"
    approval_request = ApprovalRequest.objects.get(release=release)
    assert (approval_request.state, approval_request.invalidated_by) == ("invalidated", "window")
    assert not FinalCheck.objects.filter(release=release, invalidated_at=None).exists()
    assert (
        not release.milestones.filter(guards__in=["mark_approved", "complete_final_check"])
        .exclude(done_at=None)
        .exists()
    )
    assert release.checklist.exclude(signed_at=None).count() == 6, "what rests on unchanged facts stays signed"


def extra(world: Any, who: str = "manager", **fields: Any) -> ApprovalRequest:
    given = {
        "application_id": world.application.pk,
        "name": "second extra",
        "starts_at": now() + timedelta(days=1),
        "ends_at": now() + timedelta(days=1, hours=4),
        "reason": "a customer waits",
    }
    with world.acting_as(who):
        return request_window(world.environments["production"].pk, **given | fields)


def test_an_extra_window_opens_with_the_second_approval_only(world: Any) -> None:
    approval_request = extra(world)
    middle = now() + timedelta(days=1, hours=1)
    for name, opens in (("committee_a", False), ("committee_b", True)):
        with world.acting_as(name):
            approve(approval_request.pk, digest=approval_request.digest)
        answer = opening(world.application, world.environments["production"], middle)
        assert answer.open == opens


def test_the_requester_of_a_window_does_not_approve_it(world: Any) -> None:
    approval_request = extra(world, "author_on_committee")
    with world.acting_as("author_on_committee"), pytest.raises(NotPermitted, match="submitted it"):
        approve(approval_request.pk, digest=approval_request.digest)


def test_a_rejected_window_stays_closed(world: Any) -> None:
    approval_request = extra(world)
    with world.acting_as("committee_a"):
        reject(approval_request.pk, digest=approval_request.digest, comment="too soon")
    with world.acting_as("committee_b"), pytest.raises(NotPossible):
        approve(approval_request.pk, digest=approval_request.digest)
    answer = opening(world.application, world.environments["production"], now() + timedelta(days=1, hours=1))
    assert answer.window is None or answer.window.name != "second extra"


def test_a_window_without_reason_or_with_reversed_times_is_refused(world: Any) -> None:
    with pytest.raises(InvalidInput):
        extra(world, reason=" ")
    with pytest.raises(InvalidInput):
        extra(world, ends_at=now() + timedelta(hours=23))
    for name in ("operator", "developer", "committee_a", "auditor"):
        with pytest.raises(NotPermitted):
            extra(world, name)


@pytest.mark.parametrize("later", [0, 30])
def test_a_second_request_for_the_same_window_is_refused_and_names_the_first(world: Any, later: int) -> None:
    """Also where it starts at another minute of the window."""
    first, _request = world.submitted()
    start = world.fresh(first).scheduled_start_at
    second = world.tested("1.4.0")
    alter(second, scheduled_start_at=start + timedelta(minutes=later), scheduled_end_at=first.scheduled_end_at)
    with world.acting_as("manager"), pytest.raises(GateNotPassed, match=r"1\.3\.0"):
        submit(second.pk)


def test_of_two_requests_for_one_window_at_once_one_is_refused(world: Any) -> None:
    first, second = world.tested(), world.tested("1.4.0")
    first = world.fresh(first)
    alter(second, scheduled_start_at=first.scheduled_start_at, scheduled_end_at=first.scheduled_end_at)
    ready, results = threading.Barrier(2), list[str]()

    def ask(release: Any) -> None:
        try:
            with world.acting_as("manager"):
                ready.wait(20)
                submit(release.pk)
                results.append("done")
        except GateNotPassed as refused:
            results.append(str(refused))
        finally:
            connection.close()

    threads = [threading.Thread(target=ask, args=(release,)) for release in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(results) == 2 and results.count("done") == 1, results
    assert ApprovalRequest.objects.filter(state="in_review").count() == 1
