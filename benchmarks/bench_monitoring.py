"""Many monitoring periods at once: a real scheduler and one real measuring worker against a real page."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import django_rq
import pytest
from rq import Worker

from audit.actor import Actor, acting
from audit.clock import now
from audit.operation import operation
from benchmarks.bench_wake import until
from benchmarks.report import Report, Spread
from releases.models import Measurement, MonitoringPeriod
from releases.operations.release.plan import active_procedure
from releases.queries.monitoring import triggers_of
from tests.releases.conftest import World
from tests.releases.metric_sources.pages import Page, Site, site

PERIODS = int(os.environ.get("RINGI_BENCH_MONITORING_PERIODS", "200"))
INTERVAL = float(os.environ.get("RINGI_BENCH_MONITORING_INTERVAL", "60"))
ROUNDS = int(os.environ.get("RINGI_BENCH_MONITORING_ROUNDS", "3"))
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = """# TYPE http_requests_total counter
http_requests_total{status="200"} 1000
http_requests_total{status="500"} 3
http_request_duration_seconds_sum 12.5
http_request_duration_seconds_count 1003
resource_use_ratio 0.3
"""


@pytest.fixture
def page() -> Iterator[Site]:
    with site() as running:
        running.pages["/metrics"] = [Page(PAGE)]
        yield running


def cpu(pid: int) -> float:
    """Return the seconds of processor that a process and its ended children have used."""
    fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    return sum(int(field) for field in fields[11:15]) / TICKS


def lay(world: World, page: Site) -> list[MonitoringPeriod]:
    """Begin PERIODS monitoring periods that all fall due in the same moment, the hardest case."""
    deployment = world.verified_deployment(world.planned(), "development")
    triggers = triggers_of(active_procedure().document)
    with (
        acting(Actor(account_id=None, name="bench", kind="worker", channel="worker")),
        operation("bench:monitoring") as op,
    ):
        target = world.targets["development"]
        target.options = {"metrics_url": f"{page.base}/metrics"}
        target.save()
        begins = now() + timedelta(seconds=5)
        made = [
            MonitoringPeriod.objects.create(
                deployment=deployment,
                interval_seconds=INTERVAL,
                duration_seconds=86400,
                triggers=triggers,
                started_at=begins,
                next_at=begins,
            )
            for _ in range(PERIODS)
        ]
        op.about(deployment)
    return made


def bench_monitoring(world: World, report: Report, children: Any, page: Site, quiet: None) -> None:
    """Let all periods fall due together ROUNDS times; see how late each measurement is, and whether a round meets the
    next.
    """
    queue = django_rq.get_queue("measurements")
    queue.empty()
    earlier = {worker.name for worker in Worker.all(queue=queue)}
    scheduler, worker = children("manage.py", "scheduler"), children("manage.py", "worker", "measurements")
    until(lambda: {known.name for known in Worker.all(queue=queue)} - earlier, "the worker", 120)
    monitoring_periods = lay(world, page)
    before, began = cpu(scheduler.pid) + cpu(worker.pid), time.monotonic()
    expected = PERIODS * ROUNDS
    until(
        lambda: Measurement.objects.count() >= expected, "the last measurement", 60 + ROUNDS * INTERVAL + 5 * INTERVAL
    )
    used, passed = cpu(scheduler.pid) + cpu(worker.pid) - before, time.monotonic() - began
    late: list[list[float]] = []
    for turn in range(ROUNDS):
        due = monitoring_periods[0].started_at + timedelta(seconds=turn * INTERVAL)
        rows = Measurement.objects.filter(due_at=due).values_list("at", flat=True)
        late.append([(at - due).total_seconds() for at in rows])
    whole = all(len(row) == PERIODS for row in late)
    spread, slowest = Spread.of([value for row in late for value in row]), max(max(row, default=0.0) for row in late)
    report.add(
        "monitoring",
        f"{PERIODS} monitoring periods every {INTERVAL:g} s: due → measured (p50 / p99)",
        spread,
        limit=f"one round lasts {INTERVAL * 1000:.0f} ms",
        ratio=slowest / INTERVAL,
        target="slowest < interval",
        met=slowest < INTERVAL,
        valid=whole,
        note=f"all due in the same moment, {ROUNDS} rounds; slowest {slowest:.1f} s; "
        f"{1000 * used / expected:.1f} ms of processor a measurement, {100 * used / passed:.0f} % of a core; "
        "one worker",
        figures={
            "late": spread.__dict__,
            "slowest": slowest,
            "cpu_seconds": used,
            "seconds": passed,
            "per_round": [Spread.of(row).__dict__ for row in late if row],
        },
    )
