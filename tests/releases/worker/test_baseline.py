"""The baseline: measured before a deployment, and of the deployed version only."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from audit.actor import acting
from audit.clock import now
from releases.models import DeployedVersion, Deployment, Measurement, MonitoringPeriod

from releases.models import Rollback  # isort: skip
from releases.operations.monitoring.end import end_due
from releases.operations.monitoring.start_baseline import start_baseline
from releases.operations.step.claim import claim
from releases.queries.monitoring import baseline, needs_baseline
from releases.queries.target_spec import configuration_for
from releases.worker.poll import coming_baselines, due_monitoring
from tests.releases.gates.asking import alter, make
from tests.releases.metric_sources.pages import Site
from tests.releases.worker.test_monitoring import look, page

from .conftest import TRUE, WORKER, first, row


def test_before_a_deployment_a_source_gets_the_deployed_configuration(coming: Deployment, world: Any) -> None:
    pointer = DeployedVersion.objects.get(environment=coming.environment)
    alter(pointer, configuration=world.configurations["production"])
    with acting(WORKER):
        monitoring = start_baseline(coming.pk)
    assert monitoring is not None
    values, _secrets = configuration_for(monitoring)
    assert values == world.configurations["production"].opened()


@pytest.fixture
def coming(world: Any, approved_deployment: Callable[..., Deployment]) -> Deployment:
    """A deployment to production in half an hour, with a deployed version there."""
    deployment = approved_deployment(row(TRUE))
    make(
        DeployedVersion,
        application=deployment.application,
        environment=deployment.environment,
        release=deployment.release,
        since=now(),
        basis="test",
    )
    return alter(deployment, scheduled_start_at=now() + timedelta(minutes=30))


def test_the_target_is_measured_for_the_baseline_before_a_deployment(
    coming: Deployment, world: Any, service: Site
) -> None:
    with acting(WORKER):
        coming_baselines(now())
        coming_baselines(now())
    monitoring = MonitoringPeriod.objects.get()
    assert (monitoring.purpose, monitoring.deployment_id) == ("baseline", coming.pk)
    assert monitoring.duration_seconds == pytest.approx(1800, abs=60)
    alter(world.targets["production"], options={"metrics_url": f"{service.base}/metrics"})
    look(monitoring, service, page(100, 0), page(200, 100), page(300, 200), page(400, 300), page(500, 400))
    assert not Rollback.objects.exists(), "the deployed version is only measured"
    frozen = baseline(coming, now(), DeployedVersion.objects.get())
    assert frozen["metrics"]["response_time"] == {"value": pytest.approx(0.01), "count": 4}
    assert frozen["source"] == "prometheus_text"
    over = alter(monitoring, started_at=now() - timedelta(hours=1), next_at=now())
    with acting(WORKER):
        due_monitoring(now())
    ended = world.fresh(over)
    assert (ended.result, ended.next_at) == ("measured", None) and ended.ended_at is not None
    assert world.fresh(coming).state == "scheduled"


def test_measurements_of_a_former_version_are_no_baseline(queued: Callable[..., Deployment], world: Any) -> None:
    """A version that was rolled back ten minutes ago had errors; the restored one has few."""
    deployment, moment = queued(row(TRUE)), now()
    pointer = make(
        DeployedVersion,
        application=deployment.application,
        environment=deployment.environment,
        release=deployment.release,
        basis="restored",
        since=moment - timedelta(minutes=10),
    )
    monitoring = make(
        MonitoringPeriod,
        purpose="rollback",
        deployment=deployment,
        interval_seconds=60,
        duration_seconds=60,
        started_at=moment,
        ended_at=moment,
    )
    for minutes, rate in ((30, 0.9), (11, 0.7), (9, 0.1), (5, 0.3)):
        at = moment - timedelta(minutes=minutes)
        make(
            Measurement,
            period=monitoring,
            due_at=at,
            at=at,
            up=True,
            values={"error_rate": {"value": rate, "result": "passed"}},
        )
    with acting(WORKER):
        assert claim(first(deployment).pk, worker="w") is not None
    frozen = world.fresh(deployment).baseline
    assert frozen["metrics"]["error_rate"] == {"value": pytest.approx(0.2), "count": 2}
    assert frozen["since"] == pointer.since.isoformat()


def test_baseline_measurement_ends_when_the_deployment_begins(queued: Callable[..., Deployment], world: Any) -> None:
    deployment = queued(row(TRUE))
    monitoring = make(
        MonitoringPeriod,
        purpose="baseline",
        deployment=deployment,
        interval_seconds=60,
        duration_seconds=60,
        started_at=now(),
        next_at=now(),
    )
    with acting(WORKER):
        assert claim(first(deployment).pk, worker="w") is not None
    ended = world.fresh(monitoring)
    assert (ended.result, ended.next_at, ended.ended_at is not None) == ("measured", None, True)


def test_unneeded_measurements_are_not_taken(coming: Deployment, world: Any) -> None:
    assert (needs_baseline(now()), needs_baseline(now() - timedelta(hours=1))) == ([coming.pk], [])
    make(MonitoringPeriod, deployment=coming, interval_seconds=60, duration_seconds=60, started_at=now(), next_at=now())
    assert needs_baseline(now()) == []
    with acting(WORKER):
        assert start_baseline(coming.pk) is None


def test_baseline_measurements_do_not_count_for_the_deployment(coming: Deployment) -> None:
    with acting(WORKER):
        monitoring = start_baseline(coming.pk)
        assert monitoring is not None and end_due(monitoring.pk) == ""
