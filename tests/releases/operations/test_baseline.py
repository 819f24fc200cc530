"""The baseline of a ratio: the mean of the measurements before a deployment, or a percentile, as the procedure says."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from audit.clock import now
from releases.models import Deployment, Measurement, MonitoringPeriod, Procedure
from releases.queries.monitoring import baseline, typical
from tests.releases.gates.asking import alter, make


@pytest.mark.parametrize(("by", "value"), [("mean", 6.0), ("p50", 5.5), ("p90", 9.6), ("p99", 14.46)])
def test_the_baseline_is_the_mean_or_a_percentile(by: str, value: float) -> None:
    assert typical([1.0, 2, 3, 4, 5, 6, 7, 8, 9, 15], by) == pytest.approx(value)
    assert typical([7.0], by) == 7.0


def test_the_procedure_selects_the_baseline(world: Any) -> None:
    release, place = world.planned(), world.environments["production"]
    procedure = Procedure.objects.get(state="in_effect")
    deployment = make(
        Deployment,
        release=release,
        application=world.application,
        environment=place,
        procedure=procedure,
        requested_by=world.people["operator"],
    )
    moment = now()
    monitoring = make(
        MonitoringPeriod,
        deployment=deployment,
        purpose="baseline",
        interval_seconds=60,
        duration_seconds=600,
        triggers=[],
        started_at=moment - timedelta(minutes=10),
        next_at=None,
    )
    for number, value in enumerate([1.0, 1.0, 1.0, 1.0, 6.0]):
        at = moment - timedelta(minutes=5 - number)
        make(Measurement, period=monitoring, due_at=at, at=at, up=True, values={"response_time": {"value": value}})
    found = baseline(deployment, moment, None)
    assert (found["by"], found["metrics"]) == ("mean", {"response_time": {"value": 2.0, "count": 5}})
    content = procedure.document.model_dump(mode="json")
    content["monitoring"]["baseline_statistic"] = "p50"
    alter(procedure, content=content)
    found = baseline(Deployment.objects.get(pk=deployment.pk), moment, None)
    assert (found["by"], found["metrics"]) == ("p50", {"response_time": {"value": 1.0, "count": 5}})
