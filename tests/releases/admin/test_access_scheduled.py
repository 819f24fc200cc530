"""Case 9: the right of the person who scheduled a deployment is checked at the start too."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from audit.actor import Actor, acting
from audit.clock import now
from audit.operation import operation
from audit.refusals import GateNotPassed
from environments.models import AccessGrant
from environments.operations.access.grant import revoke
from environments.operations.account.deactivate import deactivate
from releases.operations.deployment.enqueue import enqueue, require_starter
from tests.releases.conftest import sample_repository, world, world_template

__all__ = ["sample_repository", "world", "world_template"]
SCHEDULER = Actor(account_id=None, name="scheduler", kind="worker", channel="scheduler")


def taken_away(world: Any, way: str) -> None:
    """Take the right of the person who scheduled it: end the grant, let it expire, or deactivate the account."""
    grant = AccessGrant.objects.get(account=world.people["operator"], role="operator")
    if way == "over":
        with acting(SCHEDULER), operation("test:age", (AccessGrant, grant.pk)) as op:
            op.get(AccessGrant).until = now() - timedelta(seconds=1)
        return
    with world.acting_as("administrator"):
        if way == "withdrawn":
            revoke(grant.pk, reason="moved")
        else:
            deactivate(world.people["operator"].pk, reason="left")


@pytest.mark.parametrize("way", ["withdrawn", "over", "closed"])
def test_a_deployment_is_not_queued_when_its_scheduler_lost_the_right(
    world: Any, way: str, acting_as: Callable[..., Any]
) -> None:
    deployment = world.scheduled()
    require_starter(deployment)
    taken_away(world, way)
    with acting(SCHEDULER), pytest.raises(GateNotPassed, match="no longer has permission"):
        enqueue(deployment.pk)
    assert world.fresh(deployment).state == "scheduled" and not deployment.steps.exists()
