"""Monitoring outlives its worker, its scheduler and the queue: rates and triggers go on from the last measurement."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from audit.actor import Actor, acting
from audit.operation import operation
from config.development.processes import identity
from tests.chaos.running import Running, children, queues_url, until
from tests.releases.conftest import World
from tests.releases.metric_sources.pages import Page, Site, site

INTERVAL = 4.0
BAD = {
    "key": "error_rate",
    "critical": True,
    "metric": "error_rate",
    "comparison": "absolute",
    "limit": "0.4",
    "k": 4,
    "n": 5,
    "required": True,
}


@pytest.fixture
def failing() -> Iterator[Site]:
    """A service of whose requests half fail, at each look ten more."""
    with site() as running:
        running.pages["/metrics"] = [
            Page(f'http_requests_total{{status="200"}} {5 * n}\nhttp_requests_total{{status="500"}} {5 * n}\n')
            for n in range(1, 200)
        ]
        yield running


def _kill(*processes: Any) -> None:
    for process in processes:
        for pid in (*children(process.pid), process.pid):
            if identity(pid):
                os.kill(pid, signal.SIGKILL)
        process.wait()


@pytest.mark.timeout(180)
def test_monitoring_goes_on_after_everything_was_killed_and_the_queue_emptied(
    world: World, database: str, tmp_path: Path, settings: Any, failing: Site
) -> None:
    from audit.clock import now
    from environments.models import DeploymentTarget
    from releases.models import Measurement, MonitoringPeriod, Rollback

    settings.RQ_QUEUES = {name: {**row, "URL": queues_url()} for name, row in settings.RQ_QUEUES.items()}
    deployment = world.verified_deployment(world.planned(), "development")
    with acting(Actor(account_id=None, name="tests", kind="worker", channel="worker")), operation("test:monitor") as op:
        target = DeploymentTarget.objects.get(pk=world.targets["development"].pk)
        target.options = {"metrics_url": f"{failing.base}/metrics"}
        target.save()
        monitoring = MonitoringPeriod.objects.create(
            deployment=deployment,
            interval_seconds=INTERVAL,
            duration_seconds=3600,
            triggers=[BAD],
            started_at=now() + timedelta(seconds=1),
            next_at=now() + timedelta(seconds=1),
        )
        op.about(monitoring)
    running = Running(database, deployment, Path(world.targets["development"].root), tmp_path)
    try:
        running.redis.flushdb()
        first = [running.process("scheduler"), running.process("worker", "measurements")]
        until("three measurements", lambda: Measurement.objects.count() >= 3)
        _kill(*first)
        running.redis.flushdb()
        kept = Measurement.objects.count()
        running.process("scheduler")
        running.process("worker", "measurements")
        until("three more", lambda: Measurement.objects.count() >= kept + 3)
    finally:
        running.end()
    measurements = list(Measurement.objects.order_by("due_at"))
    assert len({one.due_at for one in measurements}) == len(measurements), "no place is filled twice"
    results = [one.values["error_rate"]["result"] for one in measurements]
    assert results == ["no_data", *["failed"] * (len(measurements) - 1)], "no rate was lost with the processes"
    gaps = [(b.due_at - a.due_at).total_seconds() for a, b in zip(measurements, measurements[1:], strict=False)]
    assert all(gap == pytest.approx(INTERVAL, abs=0.01) for gap in gaps[: kept - 1])
    assert not Rollback.objects.exists(), "a deployment that has ended is not rolled back"
