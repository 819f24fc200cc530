"""Whether the way out may still begin a step: 切戻し判断時刻, the last moment from which the way back fits (P1, R4)."""

from datetime import datetime, timedelta

from django.utils.translation import get_language

from audit.change import Act, change
from environments import calendar
from releases.actions.question import ask
from releases.gates.durations import durations
from releases.models import Deployment, Release, Step
from releases.steps.words import gettext_noop

GO_ON = "step:start_anyway"


def too_late(step: Step, deployment: Deployment, moment: datetime) -> str:
    """Return why a step is not begun without a person's word: as such steps last it ends when the way back no longer fits.

    Empty when it may begin: also when a person has said so, outside the way out, in environments without protection, and
    in an emergency.
    """
    if step.phase != Step.Phase.DEPLOYMENT or deployment.window_end is None or not deployment.environment.protected:
        return ""
    safe = ask.last_return(deployment)
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


def hold(act: Act, deployment: Deployment, step: Step, why: str) -> None:
    """Let a run wait before a step, inside an open door, and ask its roster."""
    step.hold()
    step.failure = why
    deployment.await_decision()
    ask.put(act, deployment, step)
    act.tell("deployment:await_decision")
    deployment.blockers = [why]


def hold_late(step_id: int, moment: datetime) -> bool:
    """Hold a step that is ready and that nobody has begun in time; tell whether it was held."""
    peek = Step.objects.select_related("deployment__release", "deployment__environment").get(pk=step_id)
    if not too_late(peek, peek.deployment, moment):
        return False
    with change("step:hold", (Step, step_id), (Deployment, peek.deployment_id)) as act:
        step, deployment = act.get(Step), act.get(Deployment)
        if step.state != "ready" or deployment.state != "running":
            return False
        hold(act, deployment, step, too_late(step, deployment, moment))
    return True
