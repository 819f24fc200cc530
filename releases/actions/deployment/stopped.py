"""deployment:mark_stopped: what a stop ends in when the worker that should have told it is gone."""

from typing import Any

from audit.change import change
from audit.clock import now
from releases.actions.step.finish import drop_rest
from releases.models import Deployment, Step


def stopped(deployment_id: int) -> None:
    """Record that nothing of a stopping run runs any more."""
    running = Step.objects.filter(deployment_id=deployment_id, state="running").values_list("pk", flat=True)
    targets: list[tuple[Any, int]] = [(Deployment, deployment_id), *((Step, pk) for pk in running)]
    with change("deployment:mark_stopped", *targets) as act:
        deployment = act.get(Deployment)
        for pk in running:
            step = act.get(Step, pk)
            step.stop()
            step.ended_at, step.lease_until = now(), None
        deployment.mark_stopped()
        drop_rest(deployment)
