"""From the hour that was set to the first step running, with a real scheduler and a real idle worker."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import django_rq
from rq import Worker

from audit.clock import now
from benchmarks import runs
from benchmarks.report import Report, Spread, repeated
from releases.actions.release.observe import observe
from releases.models import Deployment, StepAttempt
from tests.releases.conftest import World

RUNS = int(os.environ.get("RINGI_BENCH_RUNS", "30"))
LEAD = timedelta(seconds=2)


def until(true: Callable[[], Any], what: str, seconds: float = 60) -> None:
    """Wait until something of another process is there; a pause of 10 ms between two looks."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not come within {seconds} s")
        time.sleep(0.01)


def bench_due_to_running(world: World, report: Report, children: Any, quiet: None) -> None:
    """Set RUNS runs an hour shortly ahead, one after the other, and see when each was queued and claimed."""
    queue = django_rq.get_queue("development")
    queue.empty()
    earlier = {worker.name for worker in Worker.all(queue=queue)}
    children("manage.py", "scheduler")
    children("manage.py", "worker", "development")
    until(lambda: {worker.name for worker in Worker.all(queue=queue)} - earlier, "the worker")
    made = runs.replan(world, runs.release(world), runs.plan(1))
    total, queueing, forking, late = [], [], [], 0
    for _ in range(RUNS + 2):
        run = runs.scheduled(world, made, at=now() + LEAD)
        late += now() > run.scheduled_for
        until(lambda run=run: Deployment.objects.get(pk=run.pk).state == "succeeded", "the end of the run")
        first = run.steps.get(ordinal=1)
        began = StepAttempt.objects.get(step=first).began_at
        due, queued = run.scheduled_for, first.offered_at
        total.append((began - due).total_seconds())
        queueing.append((queued - due).total_seconds())
        forking.append((began - queued).total_seconds())
    with world.acting_as("manager"):
        looking = repeated(10, lambda: observe(made.pk), warm=1)
    spread, sweep, fork = (Spread.of(values[2:]) for values in (total, queueing, forking))
    report.add(
        "wake", "due → first step running (p50 / p99)", spread,
        limit=f"queued → claimed {fork}", ratio=spread.p50 / fork.p50, target="p50 ≤ 30, p99 ≤ 60 ms",
        met=spread.p50 <= 30 and spread.p99 <= 60, valid=spread.count == RUNS and not late,
        note=f"n={RUNS}; due → queued {sweep} (looking at the repository alone {looking.p50:.0f} ms); then RQ's"
        " fork, connecting, the gates again and the claim",
        figures={"total": spread.__dict__, "due_to_queued": sweep.__dict__, "queued_to_claimed": fork.__dict__,
                 "observe": looking.__dict__},
    )  # fmt: skip
