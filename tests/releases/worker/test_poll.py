"""The scheduler's poll: due, missed, lost and stale rows are found in PostgreSQL; Valkey may forget everything."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest
import redis

from audit.actor import acting
from audit.clock import now
from audit.models import Event
from audit.operation import operation
from environments.models import ChangeFreeze
from releases.models import Deployment, MonitoringPeriod, Rollback, Step
from releases.operations.deployment.enqueue import AHEAD, enqueue
from releases.operations.step.claim import claim
from releases.worker import poll, scheduler as scheduler_module
from releases.worker.executor import run_from
from releases.worker.poll import next_due, poll_once
from releases.worker.scheduler import Scheduler
from tests.releases.gates.asking import COMMAND, alter, make, walk

from .conftest import TRUE, WORKER, expire, first, jobs, row, states


def test_a_due_deployment_is_queued_and_its_worker_woken(
    world: Any, approved_deployment: Callable[..., Deployment]
) -> None:
    deployment = approved_deployment(row(TRUE))
    with acting(WORKER):
        poll_once(now())
    assert (world.fresh(deployment).state, states(deployment)) == ("queued", ["ready", "pending"])
    assert jobs("production") == [("releases.jobs.run_step", {"step_id": first(deployment).pk})]


def test_a_deployment_before_its_start_waits(world: Any, approved_deployment: Callable[..., Deployment]) -> None:
    deployment = alter(approved_deployment(row(TRUE)), scheduled_start_at=now() + timedelta(hours=1))
    with acting(WORKER):
        poll_once(now())
    assert world.fresh(deployment).state == "scheduled"
    assert next_due(now()) == deployment.scheduled_start_at - AHEAD
    with acting(WORKER):
        poll_once(deployment.scheduled_start_at + timedelta(seconds=1))
    assert world.fresh(deployment).state == "queued"


def test_a_deployment_is_queued_just_before_its_start_and_begins_no_sooner(
    world: Any, approved_deployment: Callable[..., Deployment]
) -> None:
    deployment = alter(approved_deployment(row(TRUE)), scheduled_start_at=now() + timedelta(hours=1))
    with acting(WORKER):
        poll_once(deployment.scheduled_start_at - AHEAD)
        assert world.fresh(deployment).state == "queued"
        deployment = alter(deployment, scheduled_start_at=now() + 0.9 * AHEAD)
        taken = claim(first(deployment).pk, worker="one")
    assert taken is not None and taken.step.started_at >= deployment.scheduled_start_at


def test_a_deployment_with_a_failed_gate_at_its_start_is_not_queued_before_it(
    world: Any, approved_deployment: Callable[..., Deployment]
) -> None:
    deployment = alter(approved_deployment(row(TRUE)), scheduled_start_at=now() + timedelta(hours=1))
    begins, ends = now() + timedelta(minutes=50), now() + timedelta(hours=2)
    make(
        ChangeFreeze,
        name="audit",
        environment=deployment.environment,
        starts_at=begins,
        ends_at=ends,
        reason="of the year",
    )
    with acting(WORKER):
        poll_once(deployment.scheduled_start_at - AHEAD)
    held = world.fresh(deployment)
    assert held.state == "scheduled" and any("audit" in reason for reason in held.blockers)
    assert held.not_before == deployment.scheduled_start_at + AHEAD, "at the hour itself it may be open again"


def test_a_passed_window_is_one_miss_and_no_start(world: Any, approved_deployment: Callable[..., Deployment]) -> None:
    """The scheduler was off during the whole window."""
    deployment = approved_deployment(row(TRUE))
    after = deployment.scheduled_end_at + timedelta(seconds=1)
    with acting(WORKER):
        for _poll in range(3):
            poll_once(after)
    assert world.fresh(deployment).state == "missed" and not deployment.steps.exists()
    assert Event.objects.filter(operation="deployment:mark_missed", kind="operation").count() == 1
    assert jobs("production") == []


def test_a_queued_deployment_that_was_never_claimed_is_missed_too(
    world: Any, approved_deployment: Callable[..., Deployment]
) -> None:
    deployment = approved_deployment(row(TRUE))
    with acting(WORKER):
        enqueue(deployment.pk)
        step = first(deployment).pk
        poll_once(deployment.scheduled_end_at + timedelta(seconds=1))
        run_from(step)
    assert world.fresh(deployment).state == "missed"
    assert world.fresh(deployment.release).state == "final_check_completed", "nothing of it began"


def test_permission_is_checked_again_when_the_deployment_is_due(
    world: Any, approved_deployment: Callable[..., Deployment]
) -> None:
    """Case 9: a scheduling person who has lost the right since does not start it."""
    from environments.models import AccessGrant
    from environments.operations.access.grant import revoke

    deployment = approved_deployment(row(TRUE))
    grant = AccessGrant.objects.get(account=world.people["operator"])
    with world.acting_as("administrator"):
        revoke(grant.pk, reason="left the team")
    with acting(WORKER):
        poll_once(now())
    deployment = world.fresh(deployment)
    assert (
        deployment.state == "scheduled"
        and "The person who scheduled this deployment no longer has" in deployment.blockers[0]
    )
    assert deployment.not_before > now() + timedelta(seconds=55), "the next try is a minute later"
    with acting(WORKER):
        poll_once(now())
    assert Event.objects.filter(operation="deployment:delay", kind="operation").count() == 1


def test_a_lost_wake_up_is_given_again(queued: Callable[..., Deployment], valkey: redis.Redis) -> None:
    deployment = queued(row(TRUE))
    assert len(jobs("development")) == 1
    valkey.flushdb()
    with acting(WORKER):
        poll_once(now() + timedelta(seconds=1))
    assert jobs("development") == [("releases.jobs.run_step", {"step_id": first(deployment).pk})]


def test_a_step_with_an_expired_lease_is_offered_again(queued: Callable[..., Deployment], valkey: redis.Redis) -> None:
    deployment = queued(row(TRUE))
    valkey.flushdb()
    with acting(WORKER):
        claim(first(deployment).pk, worker="dies")
        poll_once(now())
        assert jobs("development") == [], "its lease is renewed, so no other worker is woken"
        expire(first(deployment))
        poll_once(now())
    assert jobs("development") == [("releases.jobs.run_step", {"step_id": first(deployment).pk})]


def test_the_schedule_continues_without_valkey(
    world: Any, approved_deployment: Callable[..., Deployment], settings: Any
) -> None:
    deployment = approved_deployment(row(TRUE))
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: refused at once
        url = f"redis://127.0.0.1:{closed.getsockname()[1]}/0"
        kept = settings.RQ_QUEUES
        settings.RQ_QUEUES = {name: {**config, "URL": url} for name, config in kept.items()}
        with acting(WORKER):
            poll_once(now())
        assert world.fresh(deployment).state == "queued"
        settings.RQ_QUEUES = kept
    with acting(WORKER):
        poll_once(now() + timedelta(seconds=1))
    assert len(jobs("production")) == 1


def test_a_duplicate_wake_up_runs_the_step_once(world: Any, queued: Callable[..., Deployment], tmp_path: Any) -> None:
    seen = tmp_path / "seen"
    script = f"open({str(seen)!r}, 'a').write('x')"
    deployment = queued(row(["/usr/bin/env", "python3", "-c", script]))
    step = first(deployment).pk
    with acting(WORKER):
        for _wake in range(3):
            run_from(step)
    assert seen.read_text() == "x"
    assert world.fresh(deployment).state == "succeeded"


def test_stale_approval_requests_expire(world: Any, approved_deployment: Callable[..., Deployment]) -> None:
    deployment = approved_deployment(row(TRUE))
    alter(deployment.release, on_timeout="keep")
    with acting(WORKER):
        poll_once(now() - timedelta(hours=1))
    assert world.fresh(deployment.release).state == "testing_completed"
    assert (
        world.fresh(deployment.approval_request).state,
        world.fresh(deployment.approval_request).invalidated_by,
    ) == ("invalidated", "on_timeout")
    assert world.fresh(deployment).state == "cancelled"


def test_an_unprepared_alarm_wakes_a_worker(world: Any, queued: Callable[..., Deployment]) -> None:
    deployment = queued(row(TRUE))
    walk(deployment, "start", "start_verification")
    alarm = make(Rollback, deployment=deployment, cause="error_rate", raised_at=now() - timedelta(minutes=1))
    with acting(WORKER):
        poll_once(now())
    assert ("releases.jobs.prepare_rollback", {"rollback_id": alarm.pk}) in jobs("development")


def test_a_failing_part_of_the_poll_delays_no_other(world: Any, approved_deployment: Callable[..., Deployment]) -> None:
    def breaks(moment: Any) -> None:
        raise ValueError("this part is broken")

    deployment = approved_deployment(row(TRUE))
    with acting(WORKER):
        poll_once(now(), (breaks, *poll.OFTEN))
    assert world.fresh(deployment).state == "queued"


def test_a_failing_deployment_delays_no_other(
    world: Any, queued: Callable[..., Deployment], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its plan is half written; the deployment due after it is queued nevertheless."""
    good = queued(row(TRUE))
    walk(good, "return_to_scheduled")
    bad = make(
        Deployment,
        release=good.release,
        application=good.application,
        environment=world.environments["development"],
        requested_by=world.people["developer"],
        scheduled_by=world.people["developer"],
        scheduled_start_at=now() - timedelta(hours=1),
    )
    walk(bad, "schedule")
    true_queue = poll.enqueue

    def breaks(pk: int) -> Any:
        if pk == bad.pk:
            raise KeyError("forward")
        return true_queue(pk)

    monkeypatch.setattr(poll, "enqueue", breaks)
    with acting(COMMAND), operation("test:clear", (Deployment, good.pk)):
        good.steps.all().delete()
    with acting(WORKER):
        poll_once(now())
    assert (world.fresh(bad).state, world.fresh(good).state) == ("scheduled", "queued")


def test_one_of_two_schedulers_operates(
    world: Any, approved_deployment: Callable[..., Deployment], database: str, settings: Any
) -> None:
    deployment = approved_deployment(row(TRUE))
    settings.POLL_INTERVAL = 0.01
    with psycopg.connect(database, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(hashtext('ringi_scheduler'))")
        with acting(WORKER):
            Scheduler()._hold()
        assert world.fresh(deployment).state == "scheduled", "the other one holds the lock"


def test_the_scheduler_starts_a_due_deployment_between_two_polls(
    world: Any, approved_deployment: Callable[..., Deployment], settings: Any
) -> None:
    """It sleeps until the scheduled start itself, not until the next poll."""
    import time

    from django.db import connection

    deployment = alter(approved_deployment(row(TRUE)), scheduled_start_at=now() + timedelta(seconds=0.6))
    settings.POLL_INTERVAL = 60.0
    scheduler = Scheduler()

    def work() -> None:
        try:
            with acting(WORKER):
                scheduler._hold()
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    until = time.monotonic() + 20
    while world.fresh(deployment).state == "scheduled" and time.monotonic() < until:
        time.sleep(0.02)
    queued_at = now()
    scheduler.end()
    with connection.cursor() as cursor:
        cursor.execute("NOTIFY ringi_due")
    thread.join(20)
    assert not thread.is_alive() and os.getpid()
    assert world.fresh(deployment).state == "queued"
    assert queued_at - deployment.scheduled_start_at < timedelta(seconds=5)


def test_an_overdue_row_is_retried_at_the_next_poll_and_hides_no_later_one(
    world: Any, approved_deployment: Callable[..., Deployment], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No poll can process this monitoring: the scheduler sleeps until the deployment due after it, and no shorter."""
    deployment = alter(approved_deployment(row(TRUE)), scheduled_start_at=now() + timedelta(seconds=1.5))
    make(
        MonitoringPeriod,
        deployment=deployment,
        interval_seconds=60,
        duration_seconds=60,
        result="inconclusive",
        started_at=now() - timedelta(hours=1),
        next_at=now() - timedelta(minutes=1),
    )
    settings.POLL_INTERVAL = 60.0
    scheduler, approval_requests, last_of_a_round = Scheduler(), [], scheduler_module.next_due

    def counted(after: Any) -> Any:
        approval_requests.append(after)
        if world.fresh(deployment).state == "queued":
            scheduler.end()
            settings.POLL_INTERVAL = 0.01
        return last_of_a_round(after)

    monkeypatch.setattr(scheduler_module, "next_due", counted)
    with acting(WORKER):
        scheduler._hold()
    assert world.fresh(deployment).state == "queued"
    assert len(approval_requests) <= 3, (
        "one before it, one at its time, and one more where the first wait ended a little early"
    )


@pytest.mark.parametrize("broken", ["development", "staging"])
def test_a_step_whose_worker_cannot_be_woken_delays_no_other(
    world: Any, queued: Callable[..., Deployment], settings: Any, valkey: redis.Redis, broken: str
) -> None:
    deployment = queued(row(TRUE))
    other = make(
        Deployment,
        release=deployment.release,
        application=deployment.application,
        environment=world.environments["staging"],
        requested_by=world.people["developer"],
        scheduled_by=world.people["developer"],
    )
    walk(other, "schedule", "enqueue")
    fields = {"step_type": "command", "parameters": {"argv": TRUE}, "label_ja": "命令", "label_en": "Command"}
    step = walk(make(Step, deployment=other, ordinal=1, phase="deployment", **fields), "mark_ready")
    alter(step, ready_at=now())
    valkey.flushdb()
    config = {**settings.RQ_QUEUES[broken], "SERIALIZER": "nowhere.Serializer"}
    settings.RQ_QUEUES = {**settings.RQ_QUEUES, broken: config}
    with acting(WORKER):
        poll_once(now() + timedelta(seconds=1))
    whole = deployment if broken == "staging" else other
    assert jobs(whole.environment.slug) == [("releases.jobs.run_step", {"step_id": first(whole).pk})]


def test_a_deployment_whose_worker_died_before_its_end_is_ended(
    world: Any, queued: Callable[..., Deployment], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last outcome is committed, and no process ends the deployment of a lower tier."""
    deployment = queued(row(TRUE))

    def gone(_deployment: int) -> None:
        raise SystemExit

    with acting(WORKER):
        with monkeypatch.context() as patched:
            patched.setattr("releases.worker.executor.succeed_if_verified", gone)
            with pytest.raises(SystemExit):
                run_from(first(deployment).pk)
        poll_once(deployment.steps.latest("ended_at").ended_at)
        assert world.fresh(deployment).state == "monitoring", "its worker may just be about to say so"
        poll_once(now() + timedelta(minutes=1))
    assert world.fresh(deployment).state == "succeeded" and world.fresh(deployment).ended_at is not None
