"""From the scheduled start to the first step running, with a real scheduler and a real idle worker."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import django_rq
from rq import Worker

from audit.clock import now
from benchmarks import deployments
from benchmarks.report import Report, Spread, repeated
from environments.targets.base import TargetSpec
from environments.targets.target import journal_lines
from releases.models import Deployment, StepAttempt
from releases.operations.deployment.enqueue import AHEAD
from releases.operations.release.refresh_from_git import refresh_from_git
from releases.queries.target_spec import spec_of
from releases.worker.context import target_of
from tests.releases.conftest import World

DEPLOYMENTS = int(os.environ.get("RINGI_BENCH_DEPLOYMENTS", "30"))
LEAD = timedelta(seconds=2)


def until(true: Callable[[], Any], what: str, seconds: float = 60) -> None:
    """Wait until something of another process is there; looked at seldom, so as not to take its time from it."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not come within {seconds} s")
        time.sleep(0.1)


def began_on_the_target(target: TargetSpec, deployment: Deployment) -> datetime:
    """Return when the target's own journal says that the first step's effect began."""
    line = next(iter(journal_lines(target, deployment=f"deployment:{deployment.pk}", effect="command:started")))
    return datetime.fromisoformat(line["at"])


def bench_due_to_running(world: World, report: Report, children: Any, quiet: None) -> None:
    """Schedule DEPLOYMENTS deployments shortly ahead, one after the other, and see when each had begun on its
    target.
    """
    queue = django_rq.get_queue("development")
    queue.empty()
    earlier = {worker.name for worker in Worker.all(queue=queue)}
    children("manage.py", "scheduler")
    children("manage.py", "worker", "development")
    until(lambda: {worker.name for worker in Worker.all(queue=queue)} - earlier, "the worker")
    made = deployments.replan(world, deployments.release(world), deployments.plan(1))
    total, claiming, ahead, late = [], [], [], 0
    for _ in range(DEPLOYMENTS + 2):
        deployment = deployments.scheduled(world, made, at=now() + LEAD)
        late += now() + AHEAD > deployment.scheduled_start_at
        until(
            lambda deployment=deployment: Deployment.objects.get(pk=deployment.pk).state == "succeeded",
            "the end of the deployment",
        )
        first = deployment.steps.get(ordinal=1)
        due, claimed = deployment.scheduled_start_at, StepAttempt.objects.get(step=first).started_at
        began = began_on_the_target(spec_of(target_of(first), None), deployment)
        total.append((began - due).total_seconds())
        claiming.append((claimed - due).total_seconds())
        ahead.append((due - first.ready_at).total_seconds())
    with world.acting_as("manager"):
        looking = repeated(10, lambda: refresh_from_git(made.pk), warm=1)
    spread, claimed, queued = (Spread.of(values[2:]) for values in (total, claiming, ahead))
    report.add(
        "wake",
        "due → first step at work on its target (p50 / p99)",
        spread,
        limit=f"due → claim begins {claimed}",
        target="≤ 15 / 25 ms",
        met=spread.p50 <= 15 and spread.p99 <= 25,
        valid=spread.count == DEPLOYMENTS and not late and min(claiming) >= 0,
        note=f"n={DEPLOYMENTS}; queued {queued} before it, its source looked at before that ({looking.p50:.0f} ms); "
        "from the hour on the gates again, the claim's commit, the target's lock",
        figures={
            "total": spread.__dict__,
            "due_to_claim": claimed.__dict__,
            "ahead": queued.__dict__,
            "observe": looking.__dict__,
        },
    )
