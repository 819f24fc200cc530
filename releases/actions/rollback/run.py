"""rollback:start and rollback:retry: laying the steps of the way back and letting them go."""

from django.utils.translation import gettext as _

from audit.change import change
from audit.clock import now
from audit.refusals import GateClosed, Invalid, WrongState
from environments import access
from releases import dispatch
from releases.actions.deployment.queue import lay_steps
from releases.actions.question.ask import answered
from releases.actions.rollback.agree import unconsented
from releases.actions.rollback.possible import refusal
from releases.actions.step.finish import drop_rest
from releases.models import Deployment, MonitoringPeriod, Rollback, Step


def not_possible(deployment: Deployment) -> str:
    """Return why a way back may not begin now; empty when it may."""
    if deployment.steps.filter(state="running").exists():
        return _("A step of the deployment has not ended yet.")
    return refusal(deployment, begins=True)


def run(rollback_id: int) -> int:
    """Begin an authorised way back; returns the first step's id. Never stopped by window, freeze or gate."""
    peek = Rollback.objects.get(pk=rollback_id)
    with change("rollback:start", (Rollback, rollback_id), (Deployment, peek.deployment_id)) as act:
        rollback, deployment = act.get(Rollback), act.get(Deployment)
        reason = not_possible(deployment)
        if reason:
            raise WrongState(reason)
        rollback.start()
        # It may have become late since it was authorised.
        if why := unconsented(rollback):
            raise GateClosed(why)
        rollback.started_at = now()
        deployment.start_rollback()
        answered(deployment, "rollback:start")
        deployment.blockers = []
        drop_rest(deployment)
        for watch in MonitoringPeriod.objects.filter(deployment=deployment, ended_at=None):
            watch.ended_at, watch.result, watch.next_at = now(), "rolled_back", None
            watch.save()
        first = lay_steps(deployment, ("rollback", "rollback_verification"))[0]
        first.mark_ready()
        first.ready_at = now()
        first.save()
        dispatch.wake_on_commit(deployment.environment.slug, "run_step", step_id=first.pk)
    return first.pk


def retry(rollback_id: int, *, reason: str) -> Rollback:
    """Try the step of the way back again that failed."""
    peek = Rollback.objects.get(pk=rollback_id)
    failed = Step.objects.filter(
        deployment_id=peek.deployment_id,
        phase__in=["rollback", "rollback_verification"],
        state__in=["failed", "outcome_unknown"],
    ).first()
    if failed is None:
        raise Invalid(_("No step of the rollback has failed."))
    with change(
        "rollback:retry",
        (Rollback, rollback_id),
        (Deployment, peek.deployment_id),
        (Step, failed.pk),
        reason=reason,
        sign=True,
    ) as act:
        rollback, deployment, step = act.get(Rollback), act.get(Deployment), act.get(Step)
        access.require("roll_back", deployment.environment)
        rollback.retry()
        # What one person said of the work by hand was about the step as it stood; the next time two say it anew.
        rollback.facts = {key: value for key, value in rollback.facts.items() if key != "by_hand"}
        if deployment.state == "rollback_failed":
            deployment.retry_rollback()
        elif deployment.state != "rolled_back":
            text = _("The deployment is “%(state)s”. Complete its rollback manually instead of retrying it.")
            raise WrongState(text % {"state": deployment.get_state_display()})
        else:
            rollback.save()
            act.states[Rollback, rollback_id] = rollback.state
            rollback.start_verification()
        step.retry()
        step.failure = ""
        act.signature("retry")
        dispatch.wake_on_commit(deployment.environment.slug, "run_step", step_id=step.pk)
    return rollback
