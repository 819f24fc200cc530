"""Whether a step may still begin: the rollback decision time is the last from which the rollback fits (P1, R4)."""

from datetime import datetime, timedelta

from django.utils.translation import get_language

from audit.operation import Operation, operation
from environments import calendar
from environments.targets.words import gettext_noop
from releases.gates.durations import durations
from releases.models import Deployment, Release, Step
from releases.operations.decision_request import escalate
from releases.queries.decision_request import last_rollback_start
from releases.queries.step_waves import others_run

GO_ON = "step:start_anyway"


def too_late(step: Step, deployment: Deployment, moment: datetime) -> str:
    """Return why a step is not begun without a person's decision: it would end when the rollback no longer fits.

    Its length is estimated from such steps. Empty when it may begin: also when a person has decided so, outside the
    phase `deployment`, in environments without protection, and in an emergency.
    """
    if (
        step.phase != Step.Phase.DEPLOYMENT
        or deployment.scheduled_end_at is None
        or not deployment.environment.protected
    ):
        return ""
    safe = last_rollback_start(deployment)
    emergency, said = deployment.release.kind == Release.Kind.EMERGENCY, step.decision.get("verb") == GO_ON
    if safe is None or emergency or said:
        return ""
    lasts = durations(deployment.release, deployment.environment_id)
    if moment + timedelta(seconds=lasts.of(step)) <= safe:
        return ""
    text = gettext_noop(
        "The step would end after %(when)s, the rollback decision time. From then on a rollback no longer fits "
        "into the change window."
    )
    return text % {"when": calendar.print_time(safe, deployment.environment.zone, get_language() or "ja")}


def hold(op: Operation, deployment: Deployment, step: Step, why: str) -> None:
    """Put a step on hold, inside an open operation, let the deployment wait, and ask its team."""
    step.hold()
    step.failure = why
    await_decision(op, deployment, step, why)


def await_decision(op: Operation, deployment: Deployment, step: Step, why: str) -> None:
    """Let a deployment wait for a decision about a step, inside an open operation, and ask its team."""
    deployment.await_decision()
    escalate.create(op, deployment, step)
    op.notify_as("deployment:await_decision")
    deployment.blockers = [why]


def hold_late(step_id: int, moment: datetime) -> bool:
    """Hold a step that is ready and that no worker has begun in time; tell whether it was held."""
    unlocked = Step.objects.select_related("deployment__release", "deployment__environment").get(pk=step_id)
    if not too_late(unlocked, unlocked.deployment, moment):
        return False
    with operation("step:hold", (Step, step_id), (Deployment, unlocked.deployment_id)) as op:
        step, deployment = op.get(Step), op.get(Deployment)
        if step.state != "ready" or deployment.state != "running":
            return False
        why = too_late(step, deployment, moment)
        if others_run(step):
            step.hold()
            step.failure = why  # its team is asked once nothing runs
        else:
            hold(op, deployment, step, why)
    return True
