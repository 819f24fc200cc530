"""Development deployments with step plans of their own, for the measurements of steps, wake-ups and memory."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from releases.models import Deployment, Release
from tests.releases.conftest import World

NOTHING = {"argv": ["/bin/true"]}


def plan(count: int, kind: str = "command", parameters: dict[str, Any] | None = None) -> dict[str, list[Any]]:
    """Return a plan of `count` steps that do nothing and one such check-phase step."""
    row = {
        "step_type": kind,
        "parameters": NOTHING if parameters is None else parameters,
        "label_ja": "何もしない",
        "label_en": "Nothing",
        "required": True,
        "estimate_seconds": 1,
    }
    return {"deployment": [row] * count, "verification": [row], "rollback": [], "rollback_verification": []}


def release(world: World) -> Release:
    """Return a release that may be deployed to development."""
    from releases.operations.release.prepare import lock_scope

    made = world.planned()
    with world.acting_as("manager"):
        lock_scope(made.pk)
    world.evidence(made.version)
    return world.fresh(made)


def replan(world: World, made: Release, planned: dict[str, list[Any]]) -> Release:
    """Give the release another plan, through the operation."""
    from audit.operation import operation

    with world.acting_as("manager"), operation("bench:plan", (Release, made.pk)) as op:
        op.get(Release).step_plan = planned
    return world.fresh(made)


def scheduled(world: World, made: Release, at: datetime | None = None) -> Deployment:
    """Request a deployment to development and schedule it."""
    from releases.operations.deployment.request import request
    from releases.operations.deployment.schedule import schedule

    with world.acting_as("developer"):
        deployment = request(made.pk, environment_id=world.environments["development"].pk)
        return schedule(deployment.pk, at=at)
