"""Runs the steps of a deployment one after the other: claim, probe after a lost attempt, effect, outcome."""

import dataclasses
import logging
import os
import socket
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from django.db import Error, close_old_connections
from pydantic import ValidationError

from audit.clock import now
from audit.refusals import GateNotPassed
from audit.trace import hide, tracing
from environments.models import DeploymentTarget
from environments.targets.base import (
    Fenced,
    ForgottenAttempt,
    NotProven,
    Overdue,
    Probe,
    StepContext,
    StepFailed,
    StillRunning,
    StopRequested,
)
from environments.targets.masking import clean, passwords_in
from environments.targets.measured import measure
from environments.targets.runner import secrets_of
from environments.targets.words import gettext as _
from releases import check_types, dispatch, step_types, telemetry
from releases.check_types.base import CheckContext, Result
from releases.models import Step
from releases.operations.deployment.decide import succeed_if_verified
from releases.operations.deployment.enqueue import return_to_scheduled
from releases.operations.poll.retry_limit import with_retry_limit
from releases.operations.step.claim import ATTEMPTS, Claim, Exhausted, claim
from releases.operations.step.outcome import (
    fail,
    mark_unknown,
    record_success,
    request_manual,
    stop,
    wait,
    wait_for_target,
)
from releases.queries.every_target import without_steps
from releases.queries.target_spec import spec_of
from releases.queries.target_validity import overlap
from releases.worker.as_laid import demand_as_laid
from releases.worker.context import RunFacts, context_of, facts_of, target_of, with_tree
from releases.worker.ending import PROBE_SECONDS, state_of
from releases.worker.lease import Lease
from releases.worker.still_serving import demand_still_serving
from releases.worker.timeouts import MARGIN_SECONDS, TimedOut, interrupt_after

log = logging.getLogger(__name__)
DEADLINE_FACTOR = 10
LEAST_DEADLINE = 60
# How many characters of the last attempt's output are shown to the person who decides.
LAST_WORDS = 1000


class Leaving:
    """Whether this process was asked to end: it ends its present step, and the next one is another worker's."""

    requested = False


def worker_name() -> str:
    """Return the name of this process in claims: host:pid."""
    return f"{socket.gethostname()}:{os.getpid()}"


def run_from(step_id: int) -> None:
    """Run a step and those that follow it, until none is left or another worker holds it."""
    run_id = Step.objects.filter(pk=step_id).values_list("deployment_id", flat=True).first()
    taken = with_retry_limit("claim", f"releases.Step:{step_id}", partial(_taken, step_id), deployment_id=run_id)
    facts: RunFacts | None = None
    while taken is not None:
        present = taken
        with _recorded(present):
            log.info("attempt %s of step %s: %s", taken.fencing_token, taken.step.ordinal, taken.step.step_type)
            try:
                if facts is None or facts.target_id != taken.step.target_id:
                    facts = _facts(taken)
                taken = attempt(taken, facts) if facts is not None else None
            except Fenced as fenced:
                log.warning("%s", fenced)
                return
            except StillRunning as running:
                # The poll tries again when the target's lock is free.
                log.warning("%s", running)
                wait_for_target(present.step, fencing_token=present.fencing_token)
                return
            except Exception as fault:
                _keep_last_words(present, fault, facts)
                raise


@contextmanager
def _recorded(taken: Claim) -> Iterator[None]:
    """Name an attempt in each line of the log, and record its span once it has ended."""
    step, fencing_token = taken.step, taken.fencing_token
    known = {"release": str(step.deployment.release_id), "deployment": str(step.deployment_id)}
    with tracing(**known, step=str(step.ordinal), **telemetry.ids_of_attempt(step, fencing_token)):
        try:
            yield
        finally:
            telemetry.record_attempt(step, fencing_token)


def _taken(step_id: int) -> Claim | None:
    """Claim a step; None where there is nothing to do, a gate does not pass any more, or a person is asked instead."""
    try:
        return claim(step_id, worker=worker_name())
    except GateNotPassed as closed:
        deployment = Step.objects.select_related("deployment").get(pk=step_id).deployment
        return_to_scheduled(deployment.pk, tuple(str(reason) for reason in closed.reasons))
    except Exhausted as exhausted:
        _ask_after_losses(exhausted.step)
    return None


def _ask_after_losses(step: Step) -> None:
    """Let a person decide about a step whose attempts ended their workers, with the last output of the last one."""
    said = "".join(step.output.filter(fencing_token=step.fencing_token).order_by("pk").values_list("text", flat=True))
    message = _(
        "The worker of this step ended %(number)d times without an outcome, so Ringi does not retry the step "
        "automatically."
    )
    mark_unknown(
        step,
        fencing_token=step.fencing_token,
        message=f"{message % {'number': ATTEMPTS}}\n{said[-LAST_WORDS:]}".rstrip(),
    )
    telemetry.record_attempt(step, step.fencing_token)


def _keep_last_words(taken: Claim, fault: Exception, facts: RunFacts | None) -> None:
    """Add what ended an attempt without an outcome to its output, for the readers of the step."""
    text = clean(f"\n{type(fault).__name__}: {fault}\n", facts.secrets if facts is not None else ())
    with suppress(Error, Fenced):
        Lease(taken.step.pk, taken.fencing_token, longest=0).write(text)


def _facts(taken: Claim) -> RunFacts | None:
    """Return the facts of a deployment; None where this machine cannot read them, which ends the attempt before its
    effect.
    """
    try:
        facts = facts_of(taken.step)
        hide((*facts.secrets, *passwords_in([*facts.new_values.values(), *facts.old_values.values()])))
        return facts
    except Error:
        raise  # the lease ends, and the next worker that takes the step reads them
    except Exception as unread:  # noqa: BLE001  the next attempt here would meet it too; a person must look
        log.exception("step %s", taken.step.pk)
        message = str(unread) or repr(unread)
        if taken.taken_over:  # the effect of an attempt before this one has not been probed
            mark_unknown(taken.step, fencing_token=taken.fencing_token, message=message)
        else:
            fail(taken.step, fencing_token=taken.fencing_token, message=message, asks=True)
        return None


def attempt(taken: Claim, facts: RunFacts) -> Claim | None:
    """Make one attempt of a step; return the next step of its deployment, claimed. Raises Fenced, StillRunning."""
    step, fencing_token = taken.step, taken.fencing_token
    if _without_worker(step, fencing_token):
        return None
    deadline, measuring = _deadline(step), _time_to_measure(step)
    others = without_steps(step) if measuring else []
    longest = deadline + measuring * (1 + len(others))
    with Lease(step.pk, fencing_token, longest=longest + 2 * PROBE_SECONDS + 5 * MARGIN_SECONDS) as lease:
        context = context_of(step, fencing_token, lease.output, lease.heartbeat, deadline, facts)
        secrets = secrets_of(context)
        try:
            with _then_connected():
                with interrupt_after(deadline + MARGIN_SECONDS):
                    if step.begins and (why := overlap(target_of(step), context.target)):
                        raise StepFailed(why)
                    context = with_tree(step, context)
                    if step.step_type == "check":
                        result, probe = _check(step, context), ""
                    else:
                        result, probe = _make(step, context, taken.taken_over)
                demand_still_serving(step, context)
                measured = _measured(context, measuring) if measuring else None
                beside = {one.name: _measured(_at(context, step, one), measuring, data=False) for one in others}
                if measured is not None:
                    demand_as_laid(step, {target_of(step).name: measured, **beside})
            result = clean(result, secrets)
        except StopRequested:
            proof, ending = state_of(step, context)
            message = " — ".join(filter(None, [_("A person stopped the step."), ending]))
            _say(lease, message)
            stop(step, fencing_token=fencing_token, message=message, output_digest=lease.digest, probe=proof)
            return None
        except NotProven as unproven:
            message, result = clean(str(unproven), secrets), clean(unproven.facts, secrets)
            _say(lease, message)
            mark_unknown(step, fencing_token=fencing_token, message=message, output_digest=lease.digest, result=result)
            return None
        except (Overdue, TimedOut) as late:
            proof, ending = state_of(step, context)
            message = clean(" — ".join(filter(None, [str(late), ending])), secrets)
            _say(lease, message)
            # Only an effect that is certainly not made may be repeated without a person's decision.
            if proof == Probe.NOT_DONE.value:
                fail(step, fencing_token=fencing_token, message=message, output_digest=lease.digest, probe=proof)
            else:
                mark_unknown(
                    step, fencing_token=fencing_token, message=message, output_digest=lease.digest, probe=proof
                )
            return None
        except StepFailed as failed:
            message = clean(str(failed), secrets)
            _say(lease, message, clean(failed.state, secrets))
            result = clean(failed.facts, secrets)
            fail(step, fencing_token=fencing_token, message=message, output_digest=lease.digest, result=result)
            return None
        except (Fenced, StillRunning):
            raise
        except Exception as inconclusive:  # noqa: BLE001  does not say how far the effect had come; a person must look
            log.error("step %s\n%s", step.pk, clean(traceback.format_exc(), secrets))
            mark_unknown(
                step, fencing_token=fencing_token, message=clean(str(inconclusive) or repr(inconclusive), secrets)
            )
            return None
        said = lease.rest()
    try:
        following = record_success(
            step,
            fencing_token=fencing_token,
            result=result,
            output=said,
            output_digest=lease.digest,
            probe=probe,
            measured=measured,
            beside=beside,
            worker="" if Leaving.requested else step.owner,
        )
    except Fenced:
        raise
    except Exception:
        # The outcome is open, but the output is kept for the worker that takes the step next.
        with suppress(Error, Fenced):
            lease.write(said)
        raise
    facts.remember(step, result)
    if Leaving.requested and following is not None:
        dispatch.wake(step.deployment.environment.slug, "run_step", step_id=following.pk)
    if following is None and step.phase == "verification" and not step.deployment.environment.protected:
        succeed_if_verified(step.deployment_id)
    return Claim.of(following) if following is not None and following.state == "running" else None


@contextmanager
def _then_connected() -> Iterator[None]:
    """Record what follows on a connection that answers: the work may have lasted longer than a failover."""
    try:
        yield
    finally:
        close_old_connections()


def _without_worker(step: Step, fencing_token: int) -> bool:
    """Hand over a step that no worker does now: to the person whom it names, or to the time for which it waits."""
    if step.step_type == "check":
        return False
    try:
        kind, parameters = _planned(step_types, step.step_type, step.parameters)
    except StepFailed:
        return False  # the attempt reports it
    if task := kind.asks(parameters):
        request_manual(step, fencing_token=fencing_token, task=task, minutes=parameters.minutes)
        return True
    until = kind.waits_until(parameters, step.started_at) if not step.reported else None
    if until is None or until <= now():
        return False
    wait(step, fencing_token=fencing_token, until=until)
    return True


def _say(lease: Lease, *lines: str) -> None:
    lease.output("".join(f"\n{line}" for line in (*lines, "")).encode())
    lease.flush()


class _Unknown(Exception):
    """The effect of an attempt is unknown, or must not be made twice."""


def _make(step: Step, context: StepContext, taken_over: bool) -> tuple[dict[str, Any], str]:
    try:
        return _made(step, context, taken_over)
    except ForgottenAttempt as before:
        context.output(f"{before}\n".encode())
        return _made(step, context, True)


def _made(step: Step, context: StepContext, taken_over: bool) -> tuple[dict[str, Any], str]:
    kind, parameters = _planned(step_types, step.step_type, step.parameters)
    if taken_over:
        proof, facts = kind.probe(context, parameters)
        context.output(f"probe: {proof.value}\n".encode())
        if proof is Probe.DONE:
            return facts, proof.value
        if proof is Probe.RUNNING:
            raise StillRunning("the target is still locked by an earlier attempt")
        # A person's decision to retry counts for the attempt that follows, and for no later one.
        decided = (
            step.decision.get("verb") == "step:retry"
            and step.decision.get("fencing_token") == context.fencing_token - 1
        )
        if not decided and (proof is Probe.UNKNOWN or not kind.repeats(parameters)):
            raise _Unknown(f"probe: {proof.value}")
        return kind.run(context, parameters), proof.value
    return kind.run(context, parameters), ""


def _planned(registry: Any, name: str, values: dict[str, Any]) -> tuple[Any, Any]:
    """Return a step's type and parameters; a removed type, or one with other parameters, fails instead of looping."""
    try:
        kind = registry.by_name(name)
        return kind, kind.parameters(**values)
    except (registry.UnknownType, ValidationError) as fault:
        text = _("“%(kind)s” cannot run as it was planned: %(why)s")
        raise StepFailed(text % {"kind": name, "why": fault}) from fault


def _check(step: Step, context: StepContext) -> dict[str, Any]:
    kind, parameters = _planned(check_types, step.parameters["check"], step.parameters["parameters"])
    secrets = secrets_of(context)
    looked = CheckContext(context.target, context.configuration, secrets, deployment=context.deployment_key)
    result = kind.run(looked, parameters)
    result = dataclasses.replace(result, value=clean(result.value, secrets), output=clean(result.output, secrets))
    context.output(f"{result.result.value}: {result.value} (limit {result.limit})\n{result.output}\n".encode())
    facts = {**dataclasses.asdict(result), "result": result.result.value}
    del facts["position"]
    if result.result is not Result.PASSED:
        raise StepFailed(f"{result.result.value}: {result.value} (limit {result.limit}) {result.output[-400:]}")
    return facts


def _deadline(step: Step) -> float:
    return step.deadline_seconds or max(LEAST_DEADLINE, step.estimate_seconds * DEADLINE_FACTOR)


def _time_to_measure(step: Step) -> float:
    """Return how many seconds the target's digests may take after the last step of the checks and of the rollback.

    They are measured before maintenance ends, for as long as the deployment's backup, which reads as much. Return 0
    after another step.
    """
    if step.phase not in ("verification", "rollback"):
        return 0.0
    later = step.deployment.steps.filter(ordinal__gt=step.ordinal, phase=step.phase)
    if (later.filter(target=step.target_id) if step.wave else later).exists():
        return 0.0
    return max([float(LEAST_DEADLINE), *(_deadline(row) for row in step.deployment.steps.filter(step_type="backup"))])


def _at(context: StepContext, step: Step, target: DeploymentTarget) -> StepContext:
    wanted = step.deployment.previous.get("wanted_configuration")
    return dataclasses.replace(context, target=spec_of(target, wanted))


def _measured(context: StepContext, seconds: float, *, data: bool = True) -> dict[str, str]:
    with interrupt_after(seconds + MARGIN_SECONDS):
        return dataclasses.asdict(measure(context.target, context.configuration, seconds=seconds, data=data))
