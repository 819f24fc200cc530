"""Opens steps to any worker, inside an open operation."""

from collections.abc import Iterable

from audit.operation import Operation
from releases import dispatch
from releases.models import Deployment, Step


def open_steps(op: Operation, deployment: Deployment, steps: Iterable[Step]) -> None:
    """Mark steps as ready and wake a worker for each."""
    for step in steps:
        step.mark_ready()
        step.ready_at = op.at
        step.save()
        dispatch.wake_on_commit(deployment.environment.slug, "run_step", step_id=step.pk)
