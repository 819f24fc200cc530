"""step:retry, step:start_anyway, step:skip, step:mark_succeeded: a person lets a waiting deployment go on."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.utils.translation import gettext as _

from audit.clock import now
from audit.operation import Operation, operation
from audit.refusals import GateNotPassed, NotPossible
from releases import dispatch
from releases.gates import emergency_stop, freeze, window
from releases.gates.base import GateContext, Known
from releases.gates.durations import durations
from releases.models import DecisionRequest, Deployment, Step
from releases.operations.decision_request import escalate
from releases.operations.deployment.decide import require_decider
from releases.operations.deployment.open_steps import open_steps
from releases.operations.rollback.decide import end_alarm_of_failure
from releases.operations.step.hold import GO_ON
from releases.queries.step_waves import blocked, halted, next_steps, phase_of, strategy_of


def retry(step_id: int, *, reason: str) -> Step:
    """Retry a step that failed or whose outcome is unknown."""
    with _decision("step:retry", step_id, reason) as op:
        step, deployment = op.get(Step), op.get(Deployment)
        step.retry()
        step.failure, step.reported = "", {}
        _require_time(deployment, step)
        _resume(step, deployment)
        _open_beside(op, step)
        dispatch.wake_on_commit(deployment.environment.slug, "run_step", step_id=step.pk)
    return step


def start_anyway(step_id: int, *, reason: str) -> Step:
    """Start a step that was on hold: the rollback may no longer fit into the window, the deployment must."""
    with _decision(GO_ON, step_id, reason) as op:
        step, deployment = op.get(Step), op.get(Deployment)
        step.start_anyway()
        step.failure = ""
        _require_time(deployment, step, back=False)
        _resume(step, deployment)
        _open_beside(op, step)
        dispatch.wake_on_commit(deployment.environment.slug, "run_step", step_id=step.pk)
    return step


def skip(step_id: int, *, reason: str) -> Step:
    """Skip a step; never a required one."""
    with _decision("step:skip", step_id, reason) as op:
        step = op.get(Step)
        if step.required:
            raise NotPossible(_("A required step cannot be skipped."))
        step.skip()
        step.ended_at = now()
        resume_after(op, step)
    return step


def mark_succeeded(step_id: int, *, reason: str) -> Step:
    """Mark a step whose outcome is unknown as succeeded: its effect was seen on the target."""
    with _decision("step:mark_succeeded", step_id, reason) as op:
        step = op.get(Step)
        if step.step_type == "manual":
            raise NotPossible(_("This step must be confirmed by the person or role that the step names."))
        step.mark_succeeded()
        step.ended_at = now()
        resume_after(op, step)
    return step


@contextmanager
def _decision(event: str, step_id: int, reason: str) -> Iterator[Operation]:
    step = Step.objects.get(pk=step_id)
    with operation(event, (Step, step_id), (Deployment, step.deployment_id), reason=reason, sign=True) as op:
        account = require_decider(op.get(Deployment), reason)
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
        DecisionRequest.close_open(held.deployment, event, account, now())
        if held.wave and held.deployment.state == "awaiting_decision":
            # Another target waits for a decision as well.
            escalate.create(op, held.deployment, blocked(phase_of(held.deployment, held.phase, held))[0])


def _resume(step: Step, deployment: Deployment) -> None:
    if reason := emergency_stop.closed(deployment.environment, deployment.application_id):
        raise GateNotPassed(reason)
    if step.phase == Step.Phase.DEPLOYMENT:
        deployment.resume()
    else:
        deployment.resume_verification()
    deployment.blockers = []


def _require_time(deployment: Deployment, first: Step, *, back: bool = True) -> None:
    """Raise GateNotPassed when a step of the deployment would begin outside the windows, in a freeze, or too late.

    Too late (`back`): the rollback must fit before the window closes as well. Checked where the procedure or an own
    rule or freeze asks for it; checks and rollback are never held up.
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


def _open_beside(op: Operation, step: Step) -> None:
    """Open, beside a step that a person lets go on, what was held back on the other targets."""
    deployment = op.get(Deployment)
    steps = phase_of(deployment, step.phase, step) if step.wave else []
    if steps and not halted(steps, strategy_of(deployment).max_failures):
        open_steps(op, deployment, next_steps(steps))


def _resume_waves(op: Operation, step: Step, deployment: Deployment) -> None:
    """The same as `resume_after` for a deployment to several targets; it waits on while another one is blocked."""
    steps = phase_of(deployment, step.phase, step)
    opened = [] if halted(steps, strategy_of(deployment).max_failures) else next_steps(steps)
    if not opened and blocked(steps):
        return
    _resume(step, deployment)
    if opened:
        _require_time(deployment, opened[0], back=not deployment.environment.protected)
    elif step.phase == Step.Phase.DEPLOYMENT:
        deployment.save()
        op.states[Deployment, deployment.pk] = deployment.state
        deployment.start_verification()
        opened = next_steps(phase_of(deployment, Step.Phase.VERIFICATION))
    open_steps(op, deployment, opened)


def resume_after(op: Operation, step: Step) -> None:
    """Let a waiting deployment go on after a step that a person's decision has ended, inside an open operation."""
    deployment = op.get(Deployment)
    if step.wave:
        _resume_waves(op, step, deployment)
        return
    _resume(step, deployment)
    following = deployment.steps.filter(ordinal=step.ordinal + 1).first()
    if following is not None:
        # Where the rollback would no longer fit after it, the deployment is held before it, and its team is asked.
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
