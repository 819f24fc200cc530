"""rollback:start and rollback:retry: the steps of the rollback are created and started."""

from django.utils.translation import gettext as _

from audit.clock import now
from audit.operation import operation
from audit.refusals import GateNotPassed, InvalidInput, NotPossible
from environments import access
from releases import dispatch
from releases.models import DecisionRequest, Deployment, MonitoringPeriod, Rollback, Step
from releases.operations.deployment.enqueue import create_steps
from releases.operations.deployment.open_steps import open_steps
from releases.operations.rollback.confirm_late import why_not_approved
from releases.queries.rollback_candidates import refusal
from releases.queries.step_waves import next_steps


def not_possible(deployment: Deployment) -> str:
    """Return why a rollback may not begin now; empty when it may."""
    if deployment.steps.filter(state="running").exists():
        return _("A step of the deployment has not ended yet.")
    return refusal(deployment, begins=True)


def start_rollback(rollback_id: int) -> int:
    """Start an authorised rollback; returns the first step's id. Never stopped by window, freeze or gate."""
    unlocked = Rollback.objects.get(pk=rollback_id)
    with operation("rollback:start", (Rollback, rollback_id), (Deployment, unlocked.deployment_id)) as op:
        rollback, deployment = op.get(Rollback), op.get(Deployment)
        reason = not_possible(deployment)
        if reason:
            raise NotPossible(reason)
        rollback.start()
        # It may have become late since it was authorised.
        if why := why_not_approved(rollback):
            raise GateNotPassed(why)
        rollback.started_at = now()
        deployment.start_rollback()
        DecisionRequest.close_open(deployment, "rollback:start", None, now())
        deployment.blockers = []
        deployment.cancel_rest(now())
        for monitoring in MonitoringPeriod.objects.filter(deployment=deployment, ended_at=None):
            monitoring.ended_at, monitoring.result, monitoring.next_at = now(), "rolled_back", None
            monitoring.save()
        created = create_steps(deployment, ("rollback", "rollback_verification"))
        first = created[0]
        own = [step for step in created if step.phase == first.phase]
        open_steps(op, deployment, next_steps(own) if first.wave else [first])
    return first.pk


def retry(rollback_id: int, *, reason: str) -> Rollback:
    """Retry the failed step of the rollback."""
    unlocked = Rollback.objects.get(pk=rollback_id)
    failed = Step.objects.filter(
        deployment_id=unlocked.deployment_id,
        phase__in=["rollback", "rollback_verification"],
        state__in=["failed", "outcome_unknown"],
    ).first()
    if failed is None:
        raise InvalidInput(_("No step of the rollback has failed."))
    with operation(
        "rollback:retry",
        (Rollback, rollback_id),
        (Deployment, unlocked.deployment_id),
        (Step, failed.pk),
        reason=reason,
        sign=True,
    ) as op:
        rollback, deployment, step = op.get(Rollback), op.get(Deployment), op.get(Step)
        access.require("roll_back", deployment.environment)
        rollback.retry()
        # One person's statement about the manual completion was about the step as it stood; after this, two state it
        # again.
        rollback.facts = {key: value for key, value in rollback.facts.items() if key != "manual_completions"}
        if deployment.state == "rollback_failed":
            deployment.retry_rollback()
        elif deployment.state != "rolled_back":
            text = _("The deployment is “%(state)s”. Complete its rollback manually instead of retrying it.")
            raise NotPossible(text % {"state": deployment.get_state_display()})
        else:
            rollback.save()
            op.states[Rollback, rollback_id] = rollback.state
            rollback.start_verification()
        step.retry()
        step.failure = ""
        op.signature()
        dispatch.wake_on_commit(deployment.environment.slug, "run_step", step_id=step.pk)
    return rollback
