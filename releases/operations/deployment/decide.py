"""What people decide while a run waits: retry, skip, confirm done, give up; and stop, succeed."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.utils.translation import gettext as _

from audit.clock import now
from audit.operation import Operation, operation
from audit.refusals import GateNotPassed, InvalidInput, NotPermitted, NotPossible
from environments import access
from environments.models import Account
from releases import dispatch
from releases.gates import emergency_stop, freeze, window
from releases.gates.base import GateContext, Known
from releases.gates.durations import durations
from releases.models import Deployment, Step
from releases.operations.decision_request.ask import close
from releases.operations.rollback.decide import end_alarm_of_failure
from releases.operations.step.outcome import cancel_rest
from releases.operations.step.time_left import GO_ON


def retry(step_id: int, *, reason: str) -> Step:
    """Let a failed or doubtful step run again."""
    with _decision("step:retry", step_id, reason) as op:
        step, deployment = op.get(Step), op.get(Deployment)
        step.retry()
        step.failure = ""
        _require_time(deployment, step)
        _resume(step, deployment)
        dispatch.wake_on_commit(deployment.environment.slug, "run_step", step_id=step.pk)
    return step


def start_anyway(step_id: int, *, reason: str) -> Step:
    """Begin a step before which the run was held: the rollback may no longer fit into the window, the way out must."""
    with _decision(GO_ON, step_id, reason) as op:
        step, deployment = op.get(Step), op.get(Deployment)
        step.start_anyway()
        step.failure = ""
        _require_time(deployment, step, back=False)
        _resume(step, deployment)
        dispatch.wake_on_commit(deployment.environment.slug, "run_step", step_id=step.pk)
    return step


def skip(step_id: int, *, reason: str) -> Step:
    """Go on without a step; never without a required one."""
    with _decision("step:skip", step_id, reason) as op:
        step = op.get(Step)
        if step.required:
            raise NotPossible(_("A required step cannot be skipped."))
        step.skip()
        step.ended_at = now()
        resume_after(op, step)
    return step


def mark_succeeded(step_id: int, *, reason: str) -> Step:
    """Say that the effect of a doubtful step was seen on the target."""
    with _decision("step:mark_succeeded", step_id, reason) as op:
        step = op.get(Step)
        if step.step_type == "manual":
            raise NotPossible(_("This step must be confirmed by the person or role that the step names."))
        step.mark_succeeded()
        step.ended_at = now()
        resume_after(op, step)
    return step


def fail(deployment_id: int, *, reason: str) -> Deployment:
    """End a waiting run; what remains is to go back or to settle."""
    with operation("deployment:fail", (Deployment, deployment_id), reason=reason, sign=True) as op:
        deployment = op.get(Deployment)
        account = _decider(deployment, reason)
        deployment.fail()
        op.notify_as("deployment:fail")
        close(deployment, "deployment:fail", account)
        cancel_rest(deployment)
    return deployment


def stop(deployment_id: int, *, reason: str) -> Deployment:
    """Stop a run: the running step is told to end, and nothing new begins."""
    with operation("deployment:stop", (Deployment, deployment_id), reason=reason) as op:
        deployment = op.get(Deployment)
        stop_within_operation(op, deployment, access.require("stop", deployment.environment))
    return deployment


def stop_within_operation(op: Operation, deployment: Deployment, account: Account | None = None) -> None:
    """Stop a run inside an open operation (account: whose word that is); where no step of it runs it is stopped at once."""
    deployment.stop()
    close(deployment, "deployment:stop", account)
    # A pause is held by no worker: nothing would have to end, and nobody is there to tell.
    for pause in deployment.steps.filter(state="running", owner=""):
        pause.stop()
        pause.ended_at, pause.lease_until = now(), None
        pause.save()
    if deployment.steps.filter(state="running").exists():
        return
    deployment.save()
    deployment.mark_stopped()
    cancel_rest(deployment)
    op.states[Deployment, deployment.pk] = "stopping"


def succeed(deployment_id: int) -> Deployment:
    """End a verified run of an environment that asks for no watch; the worker's verb."""
    with operation("deployment:succeed", (Deployment, deployment_id)) as op:
        deployment = op.get(Deployment)
        deployment.succeed()
        deployment.ended_at = now()
    return deployment


@contextmanager
def _decision(event: str, step_id: int, reason: str) -> Iterator[Operation]:
    step = Step.objects.get(pk=step_id)
    with operation(event, (Step, step_id), (Deployment, step.deployment_id), reason=reason, sign=True) as op:
        account = _decider(op.get(Deployment), reason)
        held = op.get(Step)
        held.deployment = op.get(Deployment)
        held.decision = {
            "by": account.pk,
            "name": str(account),
            "verb": event,
            "reason": reason,
            "fencing_token": held.fencing_token,
        }
        op.signature(held.deployment.plan_digest)
        end_alarm_of_failure(held.deployment)
        yield op
        close(held.deployment, event, account)


def _decider(deployment: Deployment, reason: str) -> Account:
    account = access.require("decide", deployment.environment)
    if deployment.state != "awaiting_decision":
        raise NotPossible(_("This deployment is not awaiting a decision."))
    if why := why_not_permitted(account, deployment):
        raise NotPermitted(why)
    if not reason.strip():
        raise InvalidInput(_("Enter a reason."))
    return account


def why_not_permitted(account: Account, deployment: Deployment) -> str:
    """Return why a person may not decide how a run goes on; empty when he may."""
    if deployment.was_started_by(account):
        return _("You have scheduled this deployment; another person must decide.")
    return ""


def _resume(step: Step, deployment: Deployment) -> None:
    if reason := emergency_stop.closed(deployment.environment, deployment.application_id):
        raise GateNotPassed(reason)
    if step.phase == Step.Phase.DEPLOYMENT:
        deployment.resume()
    else:
        deployment.resume_verification()
    deployment.blockers = []


def _require_time(deployment: Deployment, first: Step, *, back: bool = True) -> None:
    """Raise GateNotPassed when a step of the way out would begin outside the windows, in a freeze, or too late to go back
    (back: also the rollback must fit before the window closes).

    Asked where the procedure or somebody's rule or freeze asks for it; the checks and the rollback are held up by none.
    """
    release, environment, known = deployment.release, deployment.environment, Known(deployment.release)
    asked = [gate for gate in known.asked(environment) if gate.type in ("change_freeze", "change_window")]
    if first.phase != Step.Phase.DEPLOYMENT or not asked:
        return
    decision_request = GateContext(release, environment, known.content, known.moment, known)
    frozen = [
        answer.reason
        for gate in asked
        if gate.type == "change_freeze"
        if not (answer := freeze.ask(decision_request, gate)).passes
    ]
    if frozen:
        raise GateNotPassed(*frozen)
    if all(gate.type != "change_window" for gate in asked):
        return
    left = deployment.steps.filter(ordinal__gte=first.ordinal, phase__in=["deployment", "verification"])
    lasts = durations(release, environment.pk)
    seconds = sum(lasts.of(step) for step in left)
    if back:
        seconds += lasts.needed(release.step_plan, ("rollback", "rollback_verification")).seconds
    if reason := window.closed_to(known, environment, seconds):
        raise GateNotPassed(reason)


def resume_after(op: Operation, step: Step) -> None:
    """Let a waiting run go on with what follows a step that has ended by a person's word, inside an open operation."""
    deployment = op.get(Deployment)
    _resume(step, deployment)
    following = deployment.steps.filter(ordinal=step.ordinal + 1).first()
    if following is not None:
        # Where the rollback would no longer fit after it, the run is held before it, and asks.
        _require_time(deployment, following, back=not deployment.environment.protected)
    if step.phase == Step.Phase.DEPLOYMENT and (following is None or following.phase != step.phase):
        deployment.save()
        op.states[Deployment, deployment.pk] = deployment.state
        deployment.start_verification()
    if following is None:
        return
    following.mark_ready()
    following.ready_at = now()
    following.save()
    dispatch.wake_on_commit(deployment.environment.slug, "run_step", step_id=following.pk)
