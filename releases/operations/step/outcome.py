"""The outcome of an attempt, and what the deployment does next: step:succeed, fail, mark_unknown, stop, request_manual,
wait.

The fencing token refuses outdated workers.
"""

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
from releases.operations.rollback.complete_manually import draft_documents
from releases.operations.rollback.decide import raise_after_failure
from releases.operations.step.claim import claim_next
from releases.operations.step.hold import hold, too_late
from releases.queries.rollback_digests import digests


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
    worker: str = "",
) -> Step | None:
    """Record that a step's effect was made, and return the next one: running for `worker`, else ready for any.

    output: the end of its output, not yet written. measured: the target's digests (code, configuration, data), given
    with the last step of a phase. Raises Fenced.
    """
    with operation("step:succeed", *_targets(claimed)) as op:
        step, deployment = _held(op, claimed, fencing_token)
        step.succeed()
        _ended(op, step, fencing_token, "succeeded", output_digest, probe)
        if output:
            StepOutput.objects.create(step=step, fencing_token=fencing_token, text=output)
        following = _following(step)
        step.result = result
        op.details.update(step_type=step.step_type, fencing_token=fencing_token)
        if measured is not None:
            deployment.measured = {**deployment.measured, step.phase: measured}
        if deployment.state == "stopping":
            deployment.mark_stopped()
            deployment.cancel_rest(now())
            return None
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
        deployment.mark_stopped()
        deployment.cancel_rest(now())


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
            deployment.mark_stopped()
            deployment.cancel_rest(now())
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
    deployment.environment = (
        claimed.deployment.environment
    )  # read once a deployment: no operation changes what is used of it here
    step.deployment = deployment
    return step, deployment


def _ended(op: Operation, step: Step, fencing_token: int, outcome: str, output_digest: str, probe: str) -> None:
    step.ended_at = op.at
    step.lease_until = None
    attempts = StepAttempt.objects.filter(step=step, fencing_token=fencing_token)
    if not attempts.update(ended_at=op.at, outcome=outcome, output_digest=output_digest, probe=probe):
        raise Fenced(f"step {step.pk}: there is no attempt {fencing_token}")


def _following(step: Step) -> Step | None:
    """Return the next step of the same phase."""
    return Step.objects.filter(deployment=step.deployment_id, phase=step.phase, ordinal=step.ordinal + 1).first()


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
        deployment.mark_stopped()
        deployment.cancel_rest(now())
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
