"""target:measure, drift:detect, drift:end: whether a deployment target is still as it was deployed, measured every day.

What is measured of it (code, configuration file, database schema) is compared with the deployed version. A target with
a deployment that is not over is left alone.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef, Q

from audit.clock import now
from audit.operation import NothingToDo, operation
from environments import access
from environments.models import DeploymentTarget
from environments.targets.base import StepFailed
from environments.targets.masking import clean
from environments.targets.measured import measure
from releases import dispatch
from releases.models import DeployedVersion, Deployment, Drift, TargetMeasurement
from releases.models.drift import PARTS
from releases.queries.target_spec import configuration_of, spec_of

EVERY, AGAIN = timedelta(days=1), timedelta(minutes=15)
# The longest time for one measurement of a target on another host.
SECONDS = 600.0
# Slow measurements have a queue of their own: they do not delay a deployment's worker.
QUEUE = "checks"
Result, Reason = TargetMeasurement.Result, TargetMeasurement.Reason
# Reasons that pass by themselves, so that the next measurement does not wait for a day.
PASSING = (Reason.DEPLOYMENT_RUNNING, Reason.CHANGED_MEANWHILE, Reason.NOT_REACHED)


@dataclass(frozen=True)
class Compared:
    """One measurement beside the deployed version. pointer: the one when it began; None: nothing."""

    pointer: DeployedVersion | None
    result: str
    reason: str = ""
    detail: str = ""
    expected: dict[str, str] = field(default_factory=dict)
    found: dict[str, str] = field(default_factory=dict)

    @property
    def parts(self) -> list[str]:
        """Return the parts that differ."""
        return [part for part in PARTS if self.expected.get(part) != self.found.get(part)]


def ask(target_id: int) -> DeploymentTarget:
    """Have a target measured now, by the worker of the checks; the target's page shows the result."""
    with operation("target:measure", (DeploymentTarget, target_id)) as op:
        access.require("edit_target")
        target = op.get(DeploymentTarget)
        TargetMeasurement.objects.update_or_create(target=target, defaults={"next_at": now() + AGAIN})
        dispatch.wake_on_commit(QUEUE, "measure_target", target_id=target_id)
    return target


def due(moment: datetime) -> list[int]:
    """Return the targets with a deployed version to be measured now: every day, and soon after it changed."""
    active = DeployedVersion.objects.filter(application=OuterRef("application"), environment=OuterRef("environment"))
    active = active.exclude(basis=DeployedVersion.REQUESTED)
    later, soon = Q(measurement__next_at__gt=moment), Q(measurement__next_at__lte=moment + AGAIN)
    moved = Exists(active.filter(since__gt=OuterRef("measurement__at")))
    rows = DeploymentTarget.objects.filter(Exists(active)).filter(~later | (moved & ~soon))
    return list(rows.order_by("pk").values_list("pk", flat=True))


def wake(target_id: int, moment: datetime) -> None:
    """Have a target measured; without a result it is due again only after a while."""
    TargetMeasurement.objects.update_or_create(target_id=target_id, defaults={"next_at": moment + AGAIN})
    dispatch.wake(QUEUE, "measure_target", target_id=target_id)


def take(target_id: int) -> TargetMeasurement:
    """Measure a target and keep the result; a difference that begins or ends is an operation of its own."""
    target = DeploymentTarget.every.select_related("application", "environment").get(pk=target_id)
    compared = _compared(target)
    return _keep(target, _kept(target, compared) if compared.expected else compared)


def give_up(target_id: int, why: str) -> TargetMeasurement:
    """Record that a target could not be measured: the measurement was cut off."""
    return _keep(DeploymentTarget.every.get(pk=target_id), Compared(None, Result.UNKNOWN, Reason.NOT_REACHED, why))


def _keep(target: DeploymentTarget, compared: Compared) -> TargetMeasurement:
    moment = now()
    kept = {"at": moment, "result": compared.result, "reason": compared.reason, "detail": compared.detail[:300]}
    kept["next_at"] = moment + (AGAIN if compared.reason in PASSING else EVERY)
    return TargetMeasurement.objects.update_or_create(target=target, defaults=kept)[0]


def occupied(target: DeploymentTarget) -> bool:
    """Tell whether a deployment or a rollback on the target is not over."""
    place = {"application": target.application_id, "environment": target.environment_id}
    return Deployment.objects.filter(**place, state__in=Deployment.OCCUPYING).exists()


def _compared(target: DeploymentTarget) -> Compared:
    pointer = DeployedVersion.established(target.application, target.environment)
    if pointer is None or pointer.release is None:
        return Compared(None, Result.UNKNOWN, Reason.NOTHING_ACTIVE)
    if pointer.unknown:
        return Compared(None, Result.UNKNOWN, Reason.UNKNOWN_CONTENT)
    if occupied(target):
        return Compared(None, Result.UNKNOWN, Reason.DEPLOYMENT_RUNNING)
    secrets: tuple[str, ...] = ()
    try:
        values, secrets = configuration_of(pointer.configuration_id)
        measured = measure(spec_of(target), values, seconds=SECONDS, data=False)
    except (StepFailed, OSError) as fault:
        return Compared(pointer, Result.UNKNOWN, Reason.NOT_REACHED, clean(str(fault), secrets))
    expected = {"code": pointer.code, "configuration": pointer.configuration_digest, "schema": pointer.schema}
    found = {"code": measured.code, "configuration": measured.configuration, "schema": measured.schema}
    result = Result.PASSED if expected == found else Result.DRIFT
    return Compared(pointer, result, expected=expected, found=found)


def _kept(target: DeploymentTarget, compared: Compared) -> Compared:
    """Begin or end a drift as it was measured; return the outcome that counts.

    A measurement is discarded when a deployment began, or the deployed version changed, while it ran.
    """
    pointer = compared.pointer
    assert pointer is not None
    before = Drift.objects.filter(target=target, ended_at=None).first()
    drifted = compared.result == Result.DRIFT
    if before is not None and drifted and (before.expected, before.found) == (compared.expected, compared.found):
        before, drifted = None, False  # known already
    if not _as_measured(target, pointer):
        return _discarded(compared)
    if before is not None:
        with operation("drift:end", (Drift, before.pk), (DeployedVersion, pointer.pk)) as op:
            _require_as_measured(target, pointer)
            op.get(Drift).ended_at = op.now()
            op.details["parts"] = before.parts
        if op.dropped:
            return _discarded(compared)
    if drifted:
        with operation("drift:detect", (DeployedVersion, pointer.pk)) as op:
            _require_as_measured(target, pointer)
            row = Drift.objects.create(
                target=target, parts=compared.parts, expected=compared.expected, found=compared.found, found_at=op.now()
            )
            op.about(row, parts=row.parts, expected=row.expected, found=row.found)
        if op.dropped:
            return _discarded(compared)
    return compared


def _as_measured(target: DeploymentTarget, pointer: DeployedVersion) -> bool:
    """Tell whether no deployment has begun on the target, and its version is unchanged, since it was measured."""
    return (
        not occupied(target)
        and DeployedVersion.objects.filter(pk=pointer.pk, since=pointer.since, basis=pointer.basis).exists()
    )


def _require_as_measured(target: DeploymentTarget, pointer: DeployedVersion) -> None:
    if not _as_measured(target, pointer):
        raise NothingToDo


def _discarded(compared: Compared) -> Compared:
    return Compared(compared.pointer, Result.UNKNOWN, Reason.CHANGED_MEANWHILE)
