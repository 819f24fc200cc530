"""Small deployments of real commands on real target folders, and the test's own Valkey database."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import django_rq
import pytest
import redis
from django.db import connection
from django.utils import translation

from audit.actor import Actor, acting
from audit.clock import now
from config.queue_server import Queues
from releases.models import Deployment, MonitoringPeriod, Step
from releases.operations.approval.decide import approve
from releases.operations.approval.submit import submit
from releases.operations.deployment.enqueue import enqueue
from releases.operations.deployment.request import request
from releases.operations.deployment.schedule import schedule
from releases.operations.release.sign_final_check import sign
from releases.worker.executor import run_from
from tests.releases.gates.asking import alter, make, open_to_programs, walk
from tests.releases.metric_sources.pages import Site, site

from .monitored import ERRORS, WORKER as WORKER, Monitored

TRUE = ["/bin/true"]


def row(argv: list[str], **fields: Any) -> dict[str, Any]:
    """One step of a plan that starts a command."""
    required = fields.pop("required", True)
    return {
        "step_type": "command",
        "parameters": {"argv": argv, **fields},
        "label_ja": "命令",
        "label_en": "Command",
        "required": required,
        "estimate_seconds": 1,
    }


def plan(*forward: dict[str, Any], verify: tuple[dict[str, Any], ...] = ()) -> dict[str, list[dict[str, Any]]]:
    """A whole plan: deployment steps, checks (default one that passes), and one rollback step with one check."""
    return {
        "deployment": list(forward),
        "verification": list(verify or (row(TRUE),)),
        "rollback": [row(TRUE)],
        "rollback_verification": [row(TRUE)],
    }


def at_work(step_id: int) -> threading.Thread:
    """Let a worker start a step in its own thread, which speaks English too; return the thread."""

    def work() -> None:
        try:
            with acting(WORKER), translation.override("en"):
                run_from(step_id)
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    """Speak English, whatever the installation's language is."""
    with translation.override("en"):
        yield


@pytest.fixture(autouse=True)
def valkey(settings: Any) -> Iterator[redis.Redis]:
    """A real Valkey, in a database of this process, empty."""
    number = 1 + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    url = settings.RQ_QUEUES["production"]["URL"].rsplit("/", 1)[0] + f"/{number}"
    settings.RQ_QUEUES = Queues({name: {**config, "URL": url} for name, config in settings.RQ_QUEUES.items()})
    with redis.Redis.from_url(url) as client:
        client.flushdb()
        yield client
        client.flushdb()


@pytest.fixture(autouse=True)
def short_times(settings: Any) -> None:
    """Leases short enough for a test."""
    settings.LEASE_DURATION, settings.HEARTBEAT_INTERVAL, settings.POLL_INTERVAL = 2.0, 0.1, 0.05


@pytest.fixture
def working() -> Callable[[], AbstractContextManager[Actor]]:
    """Return a function: act as a worker."""
    return lambda: acting(WORKER)


@pytest.fixture
def queued(world: Any, tmp_path: Path) -> Callable[..., Deployment]:
    """Return a function: a deployment to development with this plan, queued, its first step ready."""

    def make(*forward: dict[str, Any], **options: Any) -> Deployment:
        evidenced = world.evidenced()  # before anything else is written, so that a kept one can be copied
        open_to_programs(world.targets["development"], tmp_path)
        release = alter(evidenced, step_plan=plan(*forward, **options))
        with world.acting_as("developer"):
            deployment = request(release.pk, environment_id=world.environments["development"].pk)
            schedule(deployment.pk)
        with acting(WORKER):
            enqueue(deployment.pk)
        return world.fresh(deployment)

    return make


@pytest.fixture
def approved_deployment(world: Any, tmp_path: Path) -> Callable[..., Deployment]:
    """Return a function: a deployment to production with this plan, approved and scheduled by `operator`."""

    def make(*forward: dict[str, Any], **options: Any) -> Deployment:
        tested = world.tested()  # before anything else is written, so that a kept one can be copied
        open_to_programs(world.targets["production"], tmp_path)
        release = alter(tested, step_plan=plan(*forward, **options))
        with world.acting_as("manager"):
            approval_request = submit(release.pk)
        for name in ("committee_a", "committee_b"):
            with world.acting_as(name):
                approve(approval_request.pk, digest=approval_request.digest)
        for name in ("manager", "operator"):
            with world.acting_as(name):
                sign(release.pk)
        with world.acting_as("operator"):
            deployment = request(release.pk, environment_id=world.environments["production"].pk)
            schedule(deployment.pk)
        return world.fresh(deployment)

    return make


def first(deployment: Deployment) -> Step:
    """The first step of a deployment."""
    return deployment.steps.get(ordinal=1)


def states(deployment: Deployment) -> list[str]:
    """The states of a deployment's steps, in order."""
    return list(Step.objects.filter(deployment=deployment).order_by("ordinal").values_list("state", flat=True))


def jobs(queue_name: str) -> list[tuple[str, dict[str, Any]]]:
    """The jobs on a queue: function and arguments."""
    return [(job.func_name, job.kwargs) for job in django_rq.get_queue(queue_name).jobs]


def expire(step: Step) -> None:
    """End a lease, as if its holder's heartbeat had stopped; the column is no audited fact."""
    from datetime import timedelta

    from audit.clock import now

    assert Step.objects.filter(pk=step.pk).update(lease_until=now() - timedelta(milliseconds=1)) == 1


@pytest.fixture
def service() -> Iterator[Site]:
    with site() as running:
        yield running


@pytest.fixture
def monitored(world: Any, queued: Callable[..., Deployment], service: Site) -> Monitored:
    """Return a function: monitoring of a verified deployment of a service."""

    def begin(*triggers: dict[str, Any], seconds: float = 600, **fields: Any) -> MonitoringPeriod:
        deployment = queued(row(TRUE))
        target = world.targets["development"]
        alter(target, options={"metrics_url": f"{service.base}/metrics"})
        walk(deployment, "start", "start_verification", "start_monitoring")
        return make(
            MonitoringPeriod,
            deployment=deployment,
            interval_seconds=60,
            duration_seconds=seconds,
            triggers=list(triggers or (ERRORS,)),
            started_at=now(),
            next_at=now(),
            **fields,
        )

    return begin
