"""step:succeed, fail, doubt, stop, ask, pause, wait_for_target: the outcome of an attempt, and what the run does next. Fenced by the fencing token."""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection

from audit.change import Act, again, change
from audit.clock import now
from audit.statements import columns_of, read
from releases.actions.deployment.verified import enter_force
from releases.actions.question import ask
from releases.actions.rollback.decide import raise_after_failure
from releases.actions.rollback.restored import back_checked, restored
from releases.actions.step.claim import follow
from releases.actions.step.time_left import hold, too_late
from releases.models import Deployment, Release, Rollback, Step
from releases.steps.base import Fenced
from releases.steps.words import gettext_noop

# Between two steps each millisecond counts, and building these anew took longer than running them.
ENDED = """
UPDATE releases_stepattempt SET ended_at = %s, outcome = %s, output_digest = %s, probe = %s
WHERE step_id = %s AND fencing_token = %s
"""
SAID = """
INSERT INTO releases_stepoutput (step_id, fencing_token, at, text) SELECT step_id, fencing_token, ended_at, %s FROM ended
"""
NEXT = f"""
SELECT {columns_of(Step, "next")}
FROM ended LEFT JOIN releases_step next ON next.deployment_id = %s AND next.phase = %s AND next.ordinal = %s
"""
ENDED_AND_NEXT = f"WITH ended AS ({ENDED} RETURNING *) {NEXT}"
ENDED_SAID_AND_NEXT = f"WITH ended AS ({ENDED} RETURNING *), said AS ({SAID}) {NEXT}"


@again
def finish(
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

    output: the end of what it said, not yet written. measured: the target's digests (code, configuration, data), given
    with the last step of a phase. Raises Fenced.
    """
    with change("step:succeed", *_targets(claimed)) as act:
        step, deployment = _held(act, claimed, fencing_token)
        step.succeed()
        following = _ended_and_next(act, step, fencing_token, output, output_digest, probe)
        step.result = result
        act.details.update(kind=step.step_type, fencing_token=fencing_token)
        if measured is not None:
            deployment.measured = {**deployment.measured, step.phase: measured}
        if deployment.state == "stopping":
            deployment.mark_stopped()
            drop_rest(deployment)
            return None
        if following is None:
            following = _phase_ends(act, step, deployment)
        if following is not None:
            following.deployment = deployment
            deployment.release = claimed.deployment.release  # read once a run
            if why := too_late(following, deployment, act.at):
                hold(act, deployment, following, why)
                following.save()
                return None
            if not (worker and follow(act, following, worker=worker)):
                following.mark_ready()
                following.ready_at = act.at
                following.save()
        return following


@again
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
    """Record that a step failed: a protected run waits for a decision, or is rolled back where that was approved; another
    fails at once. Raises Fenced.

    asks: it is no fault of the step, so that a person decides whatever was approved. result: what it did before it failed, as facts. The message may hold lines of the log, so that only the step's own
    row keeps it: a reason would stand in the event of every row of the act.
    """
    with change("step:fail", *_targets(claimed)) as act:
        step, deployment = _held(act, claimed, fencing_token)
        step.fail()
        step.failure = message
        step.result = result or step.result
        _ended(act, step, fencing_token, "failed", output_digest, probe)
        _trouble(act, step, deployment)
        if deployment.state == "awaiting_decision" and not asks:
            raise_after_failure(act, deployment, step)


@again
def doubt(
    claimed: Step,
    *,
    fencing_token: int,
    message: str,
    output_digest: str = "",
    probe: str = "unknown",
    result: dict[str, Any] | None = None,
) -> None:
    """Record that nobody can tell whether a step's effect was made, or that a person must say it. Raises Fenced.
    result: what is known of the effect, as facts.
    """
    with change("step:mark_unknown", *_targets(claimed)) as act:
        step, deployment = _held(act, claimed, fencing_token)
        step.mark_unknown()
        step.failure = message
        step.result = result or step.result
        _ended(act, step, fencing_token, "unknown", output_digest, probe)
        _trouble(act, step, deployment)


@again
def stop(claimed: Step, *, fencing_token: int, message: str, output_digest: str = "", probe: str = "") -> None:
    """Record that a step was ended because its run is stopped, and in what state it left the target. Raises Fenced."""
    with change("step:stop", *_targets(claimed)) as act:
        step, deployment = _held(act, claimed, fencing_token)
        if deployment.state != "stopping":
            raise Fenced(f"step {step.pk}: its run is not being stopped")
        step.stop()
        step.failure = message
        _ended(act, step, fencing_token, "stopped", output_digest, probe)
        act.details.update(kind=step.step_type, fencing_token=fencing_token, probe=probe)
        deployment.mark_stopped()
        drop_rest(deployment)


def ask_person(claimed: Step, *, fencing_token: int, task: str, minutes: float | None = None) -> None:
    """Let the run wait until a person says that a step was done; no worker holds it meanwhile. Raises Fenced.

    task: what is to be done and who confirms it. minutes: how long there is for it, at least the procedure's.
    """
    with change("step:request_manual", *_targets(claimed)) as act:
        step, deployment = _held(act, claimed, fencing_token)
        step.mark_unknown()
        step.failure = task
        _ended(act, step, fencing_token, "asked", "", "")
        act.details.update(kind=step.step_type, fencing_token=fencing_token, task=task)
        if step.phase in ("rollback", "rollback_verification") or deployment.state == "stopping":
            _trouble(act, step, deployment)
            return
        deployment.await_decision()
        ask.put(act, deployment, step, minutes=minutes)
        act.tell("deployment:await_decision")
        deployment.blockers = [task]


def pause(claimed: Step, *, fencing_token: int, until: datetime) -> None:
    """Let a step wait for a time: its lease lasts until then and nobody holds it, so that any worker takes it up
    again. Raises Fenced.
    """
    with change("step:wait", *_targets(claimed)) as act:
        step, deployment = _held(act, claimed, fencing_token)
        if deployment.state == "stopping":
            step.stop()
            _ended(act, step, fencing_token, "stopped", "", "")
            deployment.mark_stopped()
            drop_rest(deployment)
            return
        _ended(act, step, fencing_token, "waits", "", "")
        step.ended_at, step.owner, step.lease_until = None, "", until
        act.details.update(kind=step.step_type, fencing_token=fencing_token, until=until.isoformat())


def wait_for_target(claimed: Step, *, fencing_token: int) -> None:
    """End an attempt that found an earlier one still at work on the target; the step is taken up again when the lease
    that begins now has ended. Raises Fenced.
    """
    with change("step:wait_for_target", *_targets(claimed)) as act:
        step, _deployment = _held(act, claimed, fencing_token)
        _ended(act, step, fencing_token, "still_running", "", "running")
        step.ended_at, step.lease_until = None, act.at + timedelta(seconds=settings.LEASE)
        act.details.update(kind=step.step_type, fencing_token=fencing_token)


def drop_rest(deployment: Deployment) -> None:
    """Drop the steps that will not run and give up those in doubt, inside an open door."""
    for step in deployment.steps.filter(state__in=["pending", "ready", "on_hold", "outcome_unknown"]):
        if step.state == "outcome_unknown":
            step.mark_failed()
        else:
            step.cancel()
        step.ended_at = now()
        step.save()


def _targets(step: Step) -> list[tuple[type, int]]:
    targets: list[tuple[type, int]] = [(Step, step.pk), (Deployment, step.deployment_id)]
    if step.phase in ("rollback", "rollback_verification"):
        open_one = Rollback.objects.exclude(state__in=list(Rollback.ENDS)).get(deployment_id=step.deployment_id)
        targets += [(Rollback, open_one.pk), (Release, step.deployment.release_id)]
    return targets


def _held(act: Act, claimed: Step, fencing_token: int) -> tuple[Step, Deployment]:
    step, deployment = act.get(Step), act.get(Deployment)
    if step.fencing_token != fencing_token or step.state != "running":
        raise Fenced(f"step {step.pk}: fencing_token {fencing_token} no longer holds it")
    deployment.environment = claimed.deployment.environment  # read once a run: what is asked of it here no act changes
    step.deployment = deployment
    return step, deployment


def _ended(act: Act, step: Step, fencing_token: int, outcome: str, output_digest: str, probe: str) -> None:
    step.ended_at = act.at
    step.lease_until = None
    with connection.cursor() as cursor:
        cursor.execute(ENDED, [act.at, outcome, output_digest, probe, step.pk, fencing_token])
        if cursor.rowcount != 1:
            raise Fenced(f"step {step.pk}: there is no attempt {fencing_token}")


def _ended_and_next(
    act: Act, step: Step, fencing_token: int, output: str, output_digest: str, probe: str
) -> Step | None:
    """End an attempt that was done; return the next step of its phase, in one trip to the database."""
    step.ended_at = act.at
    step.lease_until = None
    values = [act.at, "succeeded", output_digest, probe, step.pk, fencing_token, *([output] if output else [])]
    statement = ENDED_SAID_AND_NEXT if output else ENDED_AND_NEXT
    following = read(Step, statement, [*values, step.deployment_id, step.phase, step.ordinal + 1])
    if following is None:
        raise Fenced(f"step {step.pk}: there is no attempt {fencing_token}")
    return following if following.pk is not None else None


def _phase_ends(act: Act, step: Step, deployment: Deployment) -> Step | None:
    if step.phase == Step.Phase.DEPLOYMENT:
        deployment.start_verification()
        return deployment.steps.filter(phase="verification").first()
    if step.phase == Step.Phase.VERIFICATION:
        if not deployment.environment.protected:
            deployment.start_monitoring()
            enter_force(deployment, "verified")
        return None
    rollback = act.get(Rollback)
    if step.phase == Step.Phase.ROLLBACK:
        return restored(act, rollback, deployment, act.get(Release))
    back_checked(rollback, deployment)
    return None


def _trouble(act: Act, step: Step, deployment: Deployment) -> None:
    if step.phase in ("rollback", "rollback_verification"):
        act.get(Rollback).fail()
        act.tell("rollback:fail")
        if deployment.state == "rolling_back":
            deployment.fail_rollback()
        return
    if deployment.state == "stopping":
        deployment.mark_stopped()
        drop_rest(deployment)
    elif deployment.environment.protected:
        deployment.await_decision()
        ask.put(act, deployment, step)
        act.tell("deployment:await_decision")
        deployment.blockers = [gettext_noop("A step waits for a decision.")]
    else:
        deployment.fail()
        act.tell("deployment:fail")
        deployment.ended_at = now()
        drop_rest(deployment)
