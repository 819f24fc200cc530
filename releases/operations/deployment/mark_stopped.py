"""deployment:mark_stopped: the end of a stop whose worker is gone and cannot report it."""

from typing import Any

from audit.clock import now
from audit.operation import operation
from releases.models import Deployment, Step


def mark_stopped(deployment_id: int) -> None:
    """Record that no step of a stopping deployment runs any more."""
    running = Step.objects.filter(deployment_id=deployment_id, state="running").values_list("pk", flat=True)
    targets: list[tuple[Any, int]] = [(Deployment, deployment_id), *((Step, pk) for pk in running)]
    with operation("deployment:mark_stopped", *targets) as op:
        deployment = op.get(Deployment)
        for pk in running:
            step = op.get(Step, pk)
            step.stop()
            step.ended_at, step.lease_until = now(), None
        deployment.mark_stopped()
        deployment.cancel_rest(now())
