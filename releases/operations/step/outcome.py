"""The outcome of an attempt, and what the deployment does next: step:succeed, fail, mark_unknown, stop, request_manual,
wait.

The fencing token refuses outdated workers.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from audit.clock import now
from audit.operation import Operation, operation, retry_on_deadlock
from environments.targets.base import Fenced
from environments.targets.words import gettext_noop
from releases.models import Deployment, Release, Rollback, Step, StepAttempt, StepOutput
from releases.operations.decision_request import escalate
from releases.operations.deployment.completion import (
    leave,
    restore_previous_version,
    set_deployed_version,
    start_monitoring,
)
from releases.operations.deployment.open_steps import open_steps
from releases.operations.rollback.complete_manually import draft_documents
from releases.operations.rollback.decide import raise_after_failure
from releases.operations.step.claim import RUNS_IN, claim_next
from releases.operations.step.hold import await_decision, hold, too_late
from releases.queries.every_target import differs, measured_with
from releases.queries.rollback_digests import digests
from releases.queries.step_waves import blocked, halted, next_steps, others_run, phase_of, strategy_of


@retry_on_deadlock
def record_success(
    claimed: Step,
    *,
    fencing_token: int,
    result: dict[str, Any],
    output: str = "",
    output_digest: str = "",
    probe: str = "",
    measured: dict[str, str] | None = None,
    beside: Mapping[str, dict[str, str]] | None = None,
    worker: str = "",
) -> Step | None:
    """Record that a step's effect was made, and return the next one: running for `worker`, else ready for any.

    output: the end of its output, not yet written. measured: the target's digests (code, configuration, data), given
    with the last step of a phase; beside: those of targets that have none in it. Raises Fenced.
    """
    with operation("step:succeed", *_targets(claimed)) as op:
        step, deployment = _held(op, claimed, fencing_token)
        others = beside or {}
        why = differs(deployment, step, measured, others) if measured is not None and step.wave else ""
        if why:
            step.fail()
            step.failure = why
        else:
            step.succeed()
        _ended(op, step, fencing_token, "failed" if why else "succeeded", output_digest, probe)
        if output:
            StepOutput.objects.create(step=step, fencing_token=fencing_token, text=output)
        step.result = result
        op.details.update(step_type=step.step_type, fencing_token=fencing_token)
        if measured is not None:
            found = measured_with(deployment, step, measured, others)
            deployment.measured = {**deployment.measured, step.phase: found}
        if deployment.state == "stopping":
            _stopped(deployment, step)
            return None
        if step.wave:
            deployment.release = claimed.deployment.release  # read once a deployment
            return _go_on(op, step, deployment, worker)
        following = _following(step)
        if following is None:
            following = _phase_ends(op, step, deployment)
        if following is not None:
            following.deployment = deployment
            deployment.release = claimed.deployment.release  # read once a deployment
            if why := too_late(following, deployment, op.at):
                hold(op, deployment, following, why)
                following.save()
                return None
            if not (worker and claim_next(op, following, worker=worker)):
                following.mark_ready()
                following.ready_at = op.at
                following.save()
        return following


@retry_on_deadlock
def fail(
    claimed: Step,
    *,
    fencing_token: int,
    message: str,
    output_digest: str = "",
    probe: str = "",
    result: dict[str, Any] | None = None,
    asks: bool = False,
) -> None:
    """Record that a step failed: a protected deployment waits for a decision, or is rolled back where pre-authorised.

    A deployment in another environment fails at once. Raises Fenced.

    asks: it is no fault of the step, so that a person decides whatever was approved. result: what it did before it
    failed, as facts. The message may hold lines of the log, so that only the step's own row keeps it: a reason would
    stand in the event of every row of the operation.
    """
    with operation("step:fail", *_targets(claimed)) as op:
        step, deployment = _held(op, claimed, fencing_token)
        step.fail()
        step.failure = message
        step.result = result or step.result
        _ended(op, step, fencing_token, "failed", output_digest, probe)
        if step.wave:
            _go_on(op, step, deployment, asks=asks)
            return
        _trouble(op, step, deployment)
        if deployment.state == "awaiting_decision" and not asks:
            raise_after_failure(op, deployment, step)


@retry_on_deadlock
def mark_unknown(
    claimed: Step,
    *,
    fencing_token: int,
    message: str,
    output_digest: str = "",
    probe: str = "unknown",
    result: dict[str, Any] | None = None,
) -> None:
    """Record that a step's effect is unknown, or that a person must decide it. Raises Fenced.

    result: what is known of the effect, as facts.
    """
    with operation("step:mark_unknown", *_targets(claimed)) as op:
        step, deployment = _held(op, claimed, fencing_token)
        step.mark_unknown()
        step.failure = message
        step.result = result or step.result
        _ended(op, step, fencing_token, "unknown", output_digest, probe)
        if step.wave:
            _go_on(op, step, deployment)
        else:
            _trouble(op, step, deployment)


@retry_on_deadlock
def stop(claimed: Step, *, fencing_token: int, message: str, output_digest: str = "", probe: str = "") -> None:
    """Record that a step was ended because its deployment is stopped, and the state of the target. Raises Fenced."""
    with operation("step:stop", *_targets(claimed)) as op:
        step, deployment = _held(op, claimed, fencing_token)
        if deployment.state != "stopping":
            raise Fenced(f"step {step.pk}: its run is not being stopped")
        step.stop()
        step.failure = message
        _ended(op, step, fencing_token, "stopped", output_digest, probe)
        op.details.update(step_type=step.step_type, fencing_token=fencing_token, probe=probe)
        _stopped(deployment, step)


def request_manual(claimed: Step, *, fencing_token: int, task: str, minutes: float | None = None) -> None:
    """Let the deployment wait until a person confirms a manual step; no worker holds it meanwhile. Raises Fenced."""
    with operation("step:request_manual", *_targets(claimed)) as op:
        step, deployment = _held(op, claimed, fencing_token)
        step.mark_unknown()
        step.failure = task
        _ended(op, step, fencing_token, "asked", "", "")
        op.details.update(step_type=step.step_type, fencing_token=fencing_token, task=task)
        if step.phase in ("rollback", "rollback_verification") or deployment.state == "stopping":
            _trouble(op, step, deployment)
            return
        deployment.await_decision()
        escalate.create(op, deployment, step, minutes=minutes)
        op.notify_as("deployment:await_decision")
        deployment.blockers = [task]


def wait(claimed: Step, *, fencing_token: int, until: datetime) -> None:
    """Let a step wait for a time: its lease lasts until then without an owner, so that any worker takes it up again.

    Raises Fenced.
    """
    with operation("step:wait", *_targets(claimed)) as op:
        step, deployment = _held(op, claimed, fencing_token)
        if deployment.state == "stopping":
            step.stop()
            _ended(op, step, fencing_token, "stopped", "", "")
            _stopped(deployment, step)
            return
        _ended(op, step, fencing_token, "waiting", "", "")
        step.ended_at, step.owner, step.lease_until = None, "", until
        op.details.update(step_type=step.step_type, fencing_token=fencing_token, until=until.isoformat())


def wait_for_target(claimed: Step, *, fencing_token: int) -> None:
    """End an attempt that found an earlier one still at work on the target.

    The step is taken up again when the lease that begins now has ended. Raises Fenced.
    """
    with operation("step:wait_for_target", *_targets(claimed)) as op:
        step, _deployment = _held(op, claimed, fencing_token)
        _ended(op, step, fencing_token, "still_running", "", "running")
        step.ended_at, step.lease_until = None, op.at + timedelta(seconds=settings.LEASE_DURATION)
        op.details.update(step_type=step.step_type, fencing_token=fencing_token)


def _targets(step: Step) -> list[tuple[type, int]]:
    targets: list[tuple[type, int]] = [(Step, step.pk), (Deployment, step.deployment_id)]
    if step.phase in ("rollback", "rollback_verification"):
        open_one = Rollback.objects.exclude(state__in=list(Rollback.ENDS)).get(deployment_id=step.deployment_id)
        targets += [(Rollback, open_one.pk), (Release, step.deployment.release_id)]
    return targets


def _held(op: Operation, claimed: Step, fencing_token: int) -> tuple[Step, Deployment]:
    step, deployment = op.get(Step), op.get(Deployment)
    if step.fencing_token != fencing_token or step.state != "running":
        raise Fenced(f"step {step.pk}: fencing_token {fencing_token} no longer holds it")
    # Read once a deployment: no operation changes what is used of them here.
    deployment.environment = claimed.deployment.environment
    deployment.application = claimed.deployment.application
    step.deployment = deployment
    return step, deployment


def _ended(op: Operation, step: Step, fencing_token: int, outcome: str, output_digest: str, probe: str) -> None:
    step.ended_at = op.at
    step.lease_until = None
    attempts = StepAttempt.objects.filter(step=step, fencing_token=fencing_token)
    if not attempts.update(ended_at=op.at, outcome=outcome, output_digest=output_digest, probe=probe):
        raise Fenced(f"step {step.pk}: there is no attempt {fencing_token}")


def _stopped(deployment: Deployment, step: Step) -> None:
    """End a stop with the last step that ran."""
    if not others_run(step):
        deployment.mark_stopped()
        deployment.cancel_rest(now())


def _go_on(op: Operation, step: Step, deployment: Deployment, worker: str = "", *, asks: bool = False) -> Step | None:
    """Go on after a step of a deployment to several targets has ended; return the step that `worker` has claimed.

    What follows is opened. Once nothing runs, what is blocked waits for a person, or the phase is over.
    """
    if deployment.state == "stopping":
        _stopped(deployment, step)
    if deployment.state != RUNS_IN[step.phase]:
        return None
    steps = phase_of(deployment, step.phase, step)
    halts = halted(steps, strategy_of(deployment).max_failures)
    runs = [row for row in steps if row.state == "running" or row.state == "ready" and (not halts or row.decision)]
    opened = [] if halts else next_steps(steps)
    if opened:
        return _open(op, step, deployment, opened, worker, asks_now=not runs)
    if runs:
        return None
    if stuck := blocked(steps):
        _ask_about(op, stuck[0], deployment, asks=asks and stuck[0].pk == step.pk)
        return None
    following = _phase_ends(op, step, deployment)
    if following is None:
        return None
    return _open(op, step, deployment, next_steps(phase_of(deployment, following.phase)), worker, asks_now=True)


def _ask_about(op: Operation, stuck: Step, deployment: Deployment, *, asks: bool) -> None:
    """Let the deployment wait for a decision about a step that does not go on; asks: as `fail` takes it."""
    if stuck.state == "on_hold":
        await_decision(op, deployment, stuck, stuck.failure)
        return
    _trouble(op, stuck, deployment)
    if deployment.state == "awaiting_decision" and stuck.state == "failed" and not asks:
        raise_after_failure(op, deployment, stuck)


def _open(
    op: Operation, step: Step, deployment: Deployment, opened: list[Step], worker: str, *, asks_now: bool
) -> Step | None:
    """Open the steps whose turn it is: one for the worker, the others for any; hold those for which it is too late.

    asks_now: nothing else runs, so that a step on hold is asked about.
    """
    own = next((row for row in opened if row.target_id == step.target_id), opened[0])
    mine: Step | None = None
    held: list[Step] = []
    others: list[Step] = []
    for row in opened:
        row.deployment = deployment
        if why := too_late(row, deployment, op.at):
            row.hold()
            row.failure = why
            row.save()
            held.append(row)
        elif row is own and worker and claim_next(op, row, worker=worker):
            mine = row
        else:
            others.append(row)
    open_steps(op, deployment, others)
    if held and asks_now and mine is None and not others:
        _ask_about(op, held[0], deployment, asks=True)
    return mine


def _following(step: Step) -> Step | None:
    """Return the next step of the same phase."""
    later = Step.objects.filter(deployment=step.deployment_id, phase=step.phase, ordinal=step.ordinal + 1)
    return later.order_by("pk").first()


def _phase_ends(op: Operation, step: Step, deployment: Deployment) -> Step | None:
    if step.phase == Step.Phase.DEPLOYMENT:
        deployment.start_verification()
        return deployment.steps.filter(phase="verification").first()
    if step.phase == Step.Phase.VERIFICATION:
        if not deployment.environment.protected:
            deployment.start_monitoring()
            set_deployed_version(deployment, "verified")
        return None
    rollback = op.get(Rollback)
    if step.phase == Step.Phase.ROLLBACK:
        return complete(op, rollback, deployment, op.get(Release))
    complete_verification(rollback, deployment)
    return None


def _trouble(op: Operation, step: Step, deployment: Deployment) -> None:
    if step.phase in ("rollback", "rollback_verification"):
        op.get(Rollback).fail()
        op.notify_as("rollback:fail")
        if deployment.state == "rolling_back":
            deployment.fail_rollback()
        return
    if deployment.state == "stopping":
        _stopped(deployment, step)
    elif deployment.environment.protected:
        deployment.await_decision()
        escalate.create(op, deployment, step)
        op.notify_as("deployment:await_decision")
        deployment.blockers = [gettext_noop("A step waits for a decision.")]
    else:
        deployment.fail()
        op.notify_as("deployment:fail")
        deployment.ended_at = now()
        deployment.cancel_rest(now())


def complete(op: Operation, rollback: Rollback, deployment: Deployment, release: Release) -> Step | None:
    """Compare measured and expected digests; equal: everything is restored. Unequal: the rollback failed."""
    found = digests(deployment)
    rollback.facts = {**rollback.facts, "digests": found}
    wanted = found.get("expected", found["before"])
    different = [key for key in ("code", "configuration", "data") if wanted[key] != found["after"].get(key)]
    for name, own in deployment.measured.get("rollback", {}).get("targets", {}).items():
        different += [f"{name}: {key}" for key in ("code", "configuration") if wanted[key] != own.get(key)]
    if different:
        rollback.fail()
        deployment.fail_rollback()
        op.notify_as("rollback:fail")
        rollback.facts["different"] = different
        deployment.blockers = [gettext_noop("Not restored: %(what)s") % {"what": ", ".join(different)}]
        return None
    rollback.start_verification()
    op.notify_as("rollback:complete")
    rollback.restored_at = now()
    deployment.complete_rollback()
    deployment.ended_at = now()
    restore_previous_version(deployment, found["after"])
    leave(release, deployment, restored=True)
    draft_documents(rollback)
    return deployment.steps.filter(phase="rollback_verification", state="pending").order_by("ordinal").first()


def complete_verification(rollback: Rollback, deployment: Deployment) -> None:
    """Complete the rollback's checks: monitor again, or, where nothing was deployed before, go on to the report."""
    if deployment.previous.get("deployed_version"):
        rollback.start_monitoring()
        start_monitoring(deployment, rollback)
    else:
        rollback.start_reporting()
