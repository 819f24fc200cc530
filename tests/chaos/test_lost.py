"""Losses of other parts: wake-ups, the whole queue, a worker's time, the scheduler, the database's memory."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from audit.actor import Actor, acting
from releases import dispatch
from tests.chaos.running import LEASE, POLL_INTERVAL, Point, Running, alone, command, step, until

Begin = Callable[[list[dict[str, Any]]], Running]
QUEUE, AT_WORK = "rq:queue:production", "rq:wip:production"
ONCE = ["first began", "first ended", "second began", "second ended", "third began", "third ended"]


def _three(point: Point | None = None) -> list[dict[str, Any]]:
    return [command("first"), command("second", point=point and point.folder), command("third")]


def _all_once(running: Running) -> None:
    assert running.tally() == ONCE
    effects = [(line["effect"], line["fencing_token"]) for line in running.journal()]
    assert effects == [("command:started", 1), ("command:done", 1)] * 3
    assert [len(running.attempts(ordinal)) for ordinal in (1, 2, 3)] == [1, 1, 1]


def _queue_empties(running: Running, but: int = 0) -> None:
    """Wait until nothing is on the queue and no more than `but` jobs are at work."""
    redis = running.redis
    until("the queue to be empty", lambda: not redis.llen(QUEUE) and redis.zcard(AT_WORK) <= but)


@pytest.mark.smoke
@pytest.mark.timeout(90)
def test_doubled_and_reordered_wake_ups_run_each_step_once(scheduled_deployment: Begin, point: Point) -> None:
    from releases.models import Step

    running = scheduled_deployment(_three(point))
    running.scheduler()
    running.comes_to("queued")
    rows = Step.objects.filter(deployment_id=running.deployment_id).order_by("-ordinal")
    steps = list(rows.values_list("pk", flat=True))

    def wake_all() -> None:
        for pk in [*steps, *reversed(steps)]:
            dispatch.wake("production", "run_step", step_id=pk)

    wake_all()
    workers = [running.worker() for _ in range(2)]
    point.announced()
    wake_all()
    _queue_empties(running, but=1)  # one worker is in the second step, the other has dropped all the rest
    point.let_go()
    running.comes_to("verifying")
    wake_all()
    _queue_empties(running)
    _all_once(running)
    assert [worker.poll() for worker in workers] == [None, None]


@pytest.mark.smoke
@pytest.mark.timeout(90)
def test_a_wake_up_lost_with_the_queue_is_sent_again_within_ten_polls(scheduled_deployment: Begin) -> None:
    running = scheduled_deployment(_three())
    running.scheduler()
    until("the run to be on the queue", lambda: running.redis.llen(QUEUE))
    running.redis.flushdb()
    began = time.monotonic()
    until("the run to be on the queue again", lambda: running.redis.llen(QUEUE))
    assert time.monotonic() - began < 10 * POLL_INTERVAL
    running.worker()
    running.comes_to("verifying")
    _all_once(running)


@pytest.mark.timeout(90)
@pytest.mark.parametrize("killed", [False, True], ids=["worker lives", "worker dies too"])
def test_a_queue_emptied_during_a_step_loses_nothing(killed: bool, scheduled_deployment: Begin, point: Point) -> None:
    running = scheduled_deployment(
        [command("first"), command("second", repeatable=True, point=point.folder), command("third")]
    )
    running.scheduler()
    worker = running.worker()
    point.announced()
    running.redis.flushdb()
    if killed:
        os.kill(running.owner(2), signal.SIGKILL)
        running.worker()
        running.comes_to("verifying")
        assert running.tally() == [*ONCE[:3], *ONCE[2:]]
        return
    point.let_go()
    running.comes_to("verifying")
    _all_once(running)
    dispatch.wake("production", "run_step", step_id=running.step(3).pk)
    _queue_empties(running)
    assert worker.poll() is None
    _all_once(running)


@pytest.mark.smoke
@pytest.mark.timeout(90)
def test_a_worker_that_slept_through_two_leases_is_refused_by_the_target(
    scheduled_deployment: Begin, point: Point
) -> None:
    running = scheduled_deployment([command("first", repeatable=True), command("second"), command("third")])
    running.scheduler()
    sleeper = running.worker("open .ringi/lock *", point)
    assert point.announced() == sleeper.pid
    os.kill(sleeper.pid, signal.SIGSTOP)
    point.let_go()
    until("two leases to end", lambda: not _leased(running, 1, 2 * LEASE))
    running.worker()
    running.comes_to("verifying")
    before = _facts(running)
    os.kill(sleeper.pid, signal.SIGCONT)
    until("the sleeper to notice", lambda: running.step(1).key in running.log(sleeper))
    assert _facts(running) == before
    assert running.tally() == ONCE
    assert {line["fencing_token"] for line in running.journal(ordinal=1)} == {running.step(1).fencing_token}
    assert running.step(1).fencing_token > 1
    assert running.attempts(1)[0].outcome == "worker_lost"


@pytest.mark.timeout(90)
def test_an_outcome_that_comes_two_leases_late_is_refused_by_the_row(scheduled_deployment: Begin, point: Point) -> None:
    running = scheduled_deployment([command("first"), step("configuration_update"), command("third")])
    running.scheduler()
    sleeper = running.worker("append .ringi/journal.jsonl configuration_update.py", point)
    assert point.announced() == sleeper.pid
    os.kill(sleeper.pid, signal.SIGSTOP)
    running.worker()
    until("the step to be taken over", lambda: running.step(2).fencing_token >= 3)
    assert running.step(2).state == "running"  # the sleeper holds the target's lock: no other worker may touch it
    point.let_go()
    os.kill(sleeper.pid, signal.SIGCONT)
    running.comes_to("verifying")
    first, *_between, last = running.attempts(2)
    assert (first.outcome, last.outcome, last.probe) == ("worker_lost", "succeeded", "done")
    assert len(running.journal("configuration_update:written")) == 1
    assert running.step(2).output.filter(fencing_token=1).count() == 0


@pytest.mark.smoke
@pytest.mark.timeout(90)
def test_a_window_without_a_scheduler_ends_in_one_missed_and_no_start(scheduled_deployment: Begin) -> None:
    from audit.clock import now
    from audit.models import Outbox
    from audit.operation import operation
    from releases.models import Deployment
    from releases.worker.poll import poll_once

    running = scheduled_deployment(_three())
    running.worker()
    with acting(Actor(account_id=None, name="tests", kind="worker", channel="worker")):
        with operation("deployment:delay", (Deployment, running.deployment_id)) as op:  # the hours pass
            op.get(Deployment).scheduled_end_at = now() - timedelta(seconds=1)
        scheduler = running.scheduler()
        running.comes_to("missed")
        scheduler.kill()
        scheduler.wait()
        for _ in range(3):
            poll_once(now())
    _queue_empties(running)
    assert running.state() == "missed"
    assert Outbox.objects.filter(event="deployment:mark_missed").count() == 1
    assert running.tally() == running.journal() == []
    assert Outbox.objects.filter(event="step:claim").count() == 0


@pytest.mark.timeout(200)
def test_a_crash_of_postgresql_during_a_step_loses_nothing(tmp_path: Path) -> None:
    """In a process of its own, with servers of its own: the crash takes every connection away."""
    alone("postgres_case.py", tmp_path / "servers")


def _leased(running: Running, ordinal: int, more: float) -> bool:
    """Tell whether a step's lease ended less than `more` seconds ago, by the database's clock."""
    from audit.clock import now

    until_ = running.step(ordinal).lease_until
    return until_ is not None and bool(until_ + timedelta(seconds=more) > now())


def _facts(running: Running) -> list[tuple[Any, ...]]:
    """Return everything that is known of the deployment's steps, attempts and output."""
    from releases.models import Step, StepAttempt, StepOutput

    steps = Step.objects.filter(deployment_id=running.deployment_id).order_by("pk")
    attempts = StepAttempt.objects.filter(step__in=steps).order_by("pk")
    output = StepOutput.objects.filter(step__in=steps).order_by("pk")
    return [*steps.values_list(), *attempts.values_list(), *output.values_list(), *map(tuple, running.tally())]
