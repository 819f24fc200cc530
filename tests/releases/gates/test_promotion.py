"""No environment is skipped, and the tree verified there is the same."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from audit.clock import now
from releases.models import MonitoringPeriod
from releases.procedures.document import Procedure as Content, ProcedureFaults
from releases.procedures.load import default
from tests.releases.operations.test_own_roles import in_effect

from .asking import alter, ask, make


def soaking(**changed: Any) -> Content:
    """The default procedure, in which the earlier environments run a release for two days."""
    raw = default().model_dump(mode="json")
    raw["version"] = raw["history"][-1]["version"] = "9.0.0"
    gate = next(row for row in raw["gates"] if row["type"] == "promotion")
    gate.update({"hours": 48} | changed)
    return Content.checked(raw)


def test_each_earlier_environment_is_required(world: Any) -> None:
    release = world.planned()
    assert "Development" in ask(world, release, "promotion", environment="staging").reason
    world.verified_deployment(release, "development")
    assert ask(world, release, "promotion", environment="staging").result == "passed"
    assert "Staging" in ask(world, release, "promotion").reason
    world.verified_deployment(release, "staging")
    assert ask(world, release, "promotion").result == "passed"


def test_another_tree_does_not_count_as_verified(world: Any) -> None:
    release = world.planned()
    deployment = world.verified_deployment(release, "development")
    alter(deployment, previous={"wanted_tree": "0" * 40})
    assert ask(world, release, "promotion", environment="staging").result == "not_passed"


def test_a_rolled_back_deployment_no_longer_counts(world: Any) -> None:
    from audit.actor import acting
    from audit.operation import operation
    from releases.models import Deployment

    from .asking import COMMAND

    release = world.planned()
    deployment = world.verified_deployment(release, "development")
    with acting(COMMAND), operation("test:back", (Deployment, deployment.pk)) as op:
        op.get(Deployment).start_rollback()
    assert ask(world, release, "promotion", environment="staging").result == "not_passed"


def test_the_release_stays_in_the_earlier_environment_for_some_hours(world: Any) -> None:
    """Counted from the verification, not from the end of the monitoring, to the start that is asked about."""
    in_effect(world, soaking(), office="")
    release, at = world.planned(), now()
    deployment = alter(world.verified_deployment(release, "development"), ended_at=at)
    place = {"environment": "staging"}
    refused = ask(world, release, "promotion", at=at + timedelta(hours=47), **place)
    assert refused.result == "not_passed" and "stays in Development for 48 h" in refused.reason
    assert ask(world, release, "promotion", at=at + timedelta(hours=48), **place).result == "passed"
    _monitored(deployment, at - timedelta(hours=24))
    assert ask(world, release, "promotion", at=at + timedelta(hours=24), **place).result == "passed"
    assert ask(world, release, "promotion", at=at + timedelta(hours=23), **place).result == "not_passed"


def _monitored(deployment: Any, since: datetime) -> None:
    make(
        MonitoringPeriod,
        deployment=deployment,
        purpose=MonitoringPeriod.Purpose.DEPLOYMENT,
        interval_seconds=60,
        duration_seconds=60,
        triggers=[],
        started_at=since,
        next_at=since,
        ended_at=since,
    )


def test_hours_belong_to_a_promotion() -> None:
    with pytest.raises(ProcedureFaults, match="hours.*is written for a gate of the type promotion only"):
        soaking(type="checklist")
