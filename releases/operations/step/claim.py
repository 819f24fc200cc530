"""step:claim: one worker takes one step under a new fencing token; the first claim of a deployment is its start.

The worker that ends a step takes the next one in the same commit (`claim_next`), under an operation of its own.
"""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any

from django.conf import settings
from django.db.models import Q

from audit.clock import now
from audit.operation import NothingToDo, Operation, operation, retry_on_deadlock
from audit.refusals import GateNotPassed
from environments.targets.words import gettext as _
from releases.gates import emergency_stop, evaluation
from releases.models import ApprovalRequest, DeployedVersion, Deployment, MonitoringPeriod, Release, Step, StepAttempt
from releases.operations.deployment.enqueue import AHEAD, require_starter, steps_of
from releases.operations.deployment.open_steps import open_steps
from releases.operations.follow_up.create import create_at_start
from releases.operations.release.prepare import done_milestone
from releases.operations.step.hold import hold_late
from releases.queries.monitoring import baseline
from releases.queries.release_artefact import wanted
from releases.queries.step_waves import BACK, blocked, halted, next_steps, phase_of, strategy_of

# Read before the operation opens: none of the start's checks depends on their own columns alone.
READ = ("application", "scheduled_by", "procedure")
# After so many attempts in a row that ended their worker, a person is asked instead of a further attempt.
ATTEMPTS = 3
RUNS_IN = {
    "deployment": "running",
    "verification": "verifying",
    "rollback": "rolling_back",
    "rollback_verification": "rolled_back",
}


class Exhausted(Exception):
    """The step has ended its worker ATTEMPTS times in a row: a person decides before a worker takes it again."""

    def __init__(self, step: Step) -> None:
        super().__init__(f"step {step.pk}: {ATTEMPTS} attempts in a row ended their worker")
        self.step = step


@dataclass(frozen=True)
class Claim:
    """A claimed step: its row, the fencing token, and whether an earlier attempt must be probed first."""

    step: Step
    fencing_token: int
    taken_over: bool

    @classmethod
    def of(cls, step: Step, *, taken_over: bool = False) -> "Claim":
        """Return the claim; each fencing token is an attempt, and the first one has none before it."""
        return cls(step, step.fencing_token, taken_over or step.fencing_token > 1)


@retry_on_deadlock
def claim(step_id: int, *, worker: str) -> Claim | None:
    """Take a step that is ready, or whose lease has ended; commit the intent. None: drop the message.

    For the start of a deployment whose scheduled start is all but there, it waits until then. Raises GateNotPassed when
    this is the deployment's start and a gate has stopped passing since it was queued; Exhausted, with the step as it
    was left, when its attempts so far have ended their workers.
    """
    unlocked = Step.objects.select_related(*(f"deployment__{name}" for name in READ)).filter(pk=step_id).first()
    if unlocked is None or unlocked.state not in ("ready", "running"):
        return None
    if unlocked.state == "ready" and unlocked.deployment.state == "running" and hold_late(step_id, now()):
        return None
    starts = unlocked.deployment.state == "queued"
    targets: list[tuple[type, int]] = [(Step, step_id), (Deployment, unlocked.deployment_id)]
    if starts:
        targets.append((Release, unlocked.deployment.release_id))
        if unlocked.deployment.approval_request_id is not None:
            targets.append((ApprovalRequest, unlocked.deployment.approval_request_id))
        read = Release.objects.select_related("procedure").get(pk=unlocked.deployment.release_id)
        # A return to scheduled meanwhile has deleted the steps.
        if _waited_until(unlocked.deployment.due_at) and not Step.objects.filter(pk=step_id).exists():
            return None
    with operation("step:claim", *targets) as op:
        step, deployment = op.get(Step), op.get(Deployment)
        _attach_related(unlocked.deployment, deployment, *READ)
        moment = op.at
        taken_over = step.state == "running"
        if step.phase in ("deployment", "verification") and (
            why := emergency_stop.closed(deployment.environment, deployment.application_id)
        ):
            if deployment.state == "queued":
                raise GateNotPassed(why)
            raise NothingToDo
        if taken_over and (step.lease_until is None or step.lease_until > moment):
            raise NothingToDo
        if not taken_over and (step.state != "ready" or not _is_its_turn(step, deployment)):
            raise NothingToDo
        if deployment.state == "queued":
            if not starts or (deployment.due_at is not None and op.at < deployment.due_at):
                raise NothingToDo
            _attach_related(read, op.get(Release), "procedure")
            _start(op, deployment)
            if step.wave:
                open_steps(op, deployment, next_steps(phase_of(deployment, step.phase)))
        elif deployment.state != RUNS_IN[step.phase]:
            raise NothingToDo
        if taken_over:
            if lost_in_a_row(step) >= ATTEMPTS:
                raise Exhausted(unlocked)
            step.reclaim()
            StepAttempt.objects.filter(step=step, fencing_token=step.fencing_token, ended_at=None).update(
                ended_at=moment, outcome="worker_lost"
            )
        else:
            step.claim()
            step.started_at = moment
        step.deployment = deployment
        _take(op, step, worker, taken_over=taken_over)
    return None if op.dropped else Claim.of(step, taken_over=taken_over)


def lost_in_a_row(step: Step) -> int:
    """Return how many of a step's last attempts ended their worker, whatever the cause, the present one among them.

    The lease of the present one has ended. An attempt with an outcome, or one that found the target still at work, ends
    the count.
    """
    last = step.attempts.order_by("-fencing_token").values_list("outcome", flat=True)[:ATTEMPTS]
    return sum(1 for _outcome in takewhile(lambda outcome: outcome in ("", "worker_lost"), last))


def _is_its_turn(step: Step, deployment: Deployment) -> bool:
    if step.wave:
        return _is_its_turn_in_waves(step, deployment)
    before = step.ordinal - 1
    if step.phase not in ("deployment", "verification") or not before:
        return True
    return deployment.steps.filter(ordinal__lte=before, state__in=Step.FINISHED).count() == before


def _is_its_turn_in_waves(step: Step, deployment: Deployment) -> bool:
    """Tell whether all before it are finished on its target, and in earlier waves on all that are not left behind.

    While further steps are held back, only one that a person has let go on begins. A rollback is retried as a whole.
    """
    steps = phase_of(deployment, step.phase)
    held_back = step.phase not in BACK and halted(steps, strategy_of(deployment).max_failures)
    if held_back and not step.decision:
        return False
    out = {other.target_id for other in blocked(steps)} - {step.target_id}
    before = [
        other
        for other in steps
        if other.wave < step.wave
        and other.target_id not in out
        or other.target_id == step.target_id
        and other.ordinal < step.ordinal
    ]
    return all(other.state in Step.FINISHED for other in before)


def _waited_until(hour: datetime | None) -> bool:
    """Wait for what is left of AHEAD, by the database's clock; tell whether there was anything to wait for."""
    waited = False
    while hour is not None and timedelta(0) < (left := hour - now()) <= AHEAD:
        time.sleep(left.total_seconds())
        waited = True
    return waited


def claim_next(op: Operation, step: Step, *, worker: str) -> bool:
    """Take the step after the one that ends in this open operation, which locks their deployment, in the same commit.

    False, and nothing is changed, while its deployment is elsewhere or its production is stopped.
    """
    deployment = step.deployment
    if deployment.state != RUNS_IN[step.phase]:
        return False
    if step.phase in ("deployment", "verification") and emergency_stop.closed(
        deployment.environment, deployment.application_id
    ):
        return False
    then = op.continue_with("step:claim", step)
    step.claim_next()
    step.ready_at = step.started_at = op.at
    _take(then, step, worker, taken_over=False)
    return True


def _attach_related[Row: (Deployment, Release)](read: Row, locked: Row, *names: str) -> None:
    """Give a locked row its related rows, as read before; relations that changed meanwhile are read on access."""
    for name in names:
        if getattr(read, f"{name}_id") == getattr(locked, f"{name}_id"):
            setattr(locked, name, getattr(read, name))


def _take(op: Operation, step: Step, worker: str, *, taken_over: bool) -> None:
    step.fencing_token += 1
    step.owner = worker
    # From now on, however long the operation waited for rows.
    step.lease_until = op.now() + timedelta(seconds=settings.LEASE_DURATION)
    op.to_insert.append(
        StepAttempt(step=step, fencing_token=step.fencing_token, key=step.key, worker=worker, started_at=op.at)
    )
    op.details.update(fencing_token=step.fencing_token, worker=worker, taken_over=taken_over)


def _start(op: Operation, deployment: Deployment) -> None:
    release = deployment.release = op.get(Release)
    environment = deployment.environment
    evaluation.require(release, environment)
    require_starter(deployment)
    _require_steps_as_planned(deployment, release)
    if release.state not in release.MAY_RUN[environment.tier]:
        raise GateNotPassed(_("The release is “%(state)s” now.") % {"state": release.get_state_display()})
    deployment.start()
    op.notify_as("deployment:start")
    moment = deployment.started_at = op.at
    pointer = DeployedVersion.established(deployment.application, environment)
    deployment.previous = {
        "deployed_version": recorded(pointer),
        "wanted": wanted(release),
        "wanted_tree": release.tree,
        "wanted_configuration": release.configurations.get(environment.slug),
    }
    deployment.baseline = baseline(deployment, moment, pointer)
    if deployment.approval_request_id is not None:
        approval_request = op.get(ApprovalRequest)
        if approval_request.state == "approved":  # a later environment of the same approval finds it used
            approval_request.use()
            approval_request.ended_at = moment
    follow_ups = create_at_start(release, environment, moment)
    if follow_ups:
        op.details["follow_ups"] = [str(debt) for debt in follow_ups]
    own = Q(deployment=deployment, purpose=MonitoringPeriod.Purpose.BASELINE)
    until_now = MonitoringPeriod.objects.select_for_update(of=("self",), no_key=True)
    for monitoring in until_now.filter(own | Q(_baseline_before(deployment), paused_at=None), ended_at=None).order_by(
        "pk"
    ):
        if monitoring.deployment_id == deployment.pk:
            monitoring.ended_at, monitoring.result = moment, "measured"
        else:
            monitoring.paused_at, monitoring.no_data_at = moment, None
        monitoring.next_at = None
        monitoring.save()
    if environment.tier == "production" and release.state == "final_check_completed":
        release.start()
        done_milestone(release, "start", None)


def _require_steps_as_planned(deployment: Deployment, release: Release) -> None:
    planned = [
        (laid.row["step_type"], laid.row["parameters"], laid.target.pk, laid.wave)
        for laid in steps_of(deployment, ("deployment", "verification"))
    ]
    there = deployment.steps.order_by("ordinal").values_list("step_type", "parameters", "target", "wave")
    if planned != list(there):
        raise GateNotPassed(_("The steps differ from the approved step plan."))


def _baseline_before(deployment: Deployment) -> Q:
    there = Deployment.objects.filter(application=deployment.application, environment=deployment.environment)
    return Q(deployment__in=there.filter(state="monitoring")) | Q(deployment__in=there, rollback__state="monitoring")


def recorded(pointer: DeployedVersion | None) -> dict[str, Any]:
    """Return what a deployed version records, as the rollback will need it; empty when nothing is deployed."""
    if pointer is None or pointer.release is None:
        return {}
    release, artefact = pointer.release, pointer.artefact
    built = {"artefact": artefact.facts} if artefact is not None else {}
    return built | {
        "release": release.pk,
        "version": release.version,
        "tag": release.tag,
        "commit": release.commit,
        "tree": release.tree,
        "configuration": pointer.configuration_id,
        "code": pointer.code,
        "configuration_digest": pointer.configuration_digest,
    }
