"""monitoring:end, monitoring:record_result: monitoring ends, by its measurements or by a person's result (R7, B5)."""

from typing import Any

from audit.clock import now
from audit.operation import Operation, operation
from audit.plain import is_blank
from audit.refusals import InvalidInput, NotPermitted, NotPossible
from environments import access
from environments.models import Account
from environments.targets.words import gettext as _
from releases.models import Deployment, MonitoringPeriod, Release, Rollback
from releases.operations.deployment.completion import complete_release
from releases.queries.monitoring import completeness


def end_due(monitoring_id: int) -> str:
    """End monitoring whose time is over: passed with enough measurements, else it waits for a person's result."""
    unlocked = MonitoringPeriod.objects.select_related("deployment__procedure", "deployment__release").get(
        pk=monitoring_id
    )
    if now() < unlocked.ends_at or unlocked.result:
        return unlocked.result
    if unlocked.purpose == MonitoringPeriod.Purpose.BASELINE:
        with operation("monitoring:end", (MonitoringPeriod, monitoring_id)) as op:
            measured = op.get(MonitoringPeriod)
            measured.result, measured.ended_at, measured.next_at = "measured", now(), None
        return "measured"
    needed = float(unlocked.deployment.content.monitoring.measurements_min)
    with operation("monitoring:end", *_rows(unlocked)) as op:
        monitoring = op.get(MonitoringPeriod)
        if monitoring.result:
            return monitoring.result
        shares = completeness(monitoring)
        op.details["completeness"] = {name: f"{share:.4f}" for name, share in shares.items()}
        monitoring.next_at = monitoring.next_checks_at = None
        if min(shares.values(), default=0.0) < needed:
            monitoring.result = "inconclusive"
            op.details["without_values"] = sorted(name for name, share in shares.items() if share < needed)
            op.notify_as("monitoring:report_no_data")
            return monitoring.result
        monitoring.result, monitoring.ended_at = "passed", now()
        _close(op, op.get(Deployment), op.get(Release), op.rows.get((Rollback, unlocked.rollback_id)))
        return monitoring.result


def record_result(monitoring_id: int, *, result: str, reason: str) -> MonitoringPeriod:
    """Record a person's result on monitoring that had too few measurements."""
    unlocked = MonitoringPeriod.objects.get(pk=monitoring_id)
    with operation("monitoring:record_result", *_rows(unlocked), reason=reason, sign=True) as op:
        monitoring, deployment = op.get(MonitoringPeriod), op.get(Deployment)
        account = access.require("verify", deployment.environment)
        if why := why_not_permitted(account, deployment):
            raise NotPermitted(why)
        if monitoring.result != "inconclusive":
            raise NotPossible(_("This monitoring period does not wait for a result."))
        if result != "passed" or is_blank(reason):
            raise InvalidInput(_("Record the result “passed” with a reason, or raise a rollback."))
        monitoring.result, monitoring.ended_at, monitoring.recorded_by = "passed_by_person", now(), account
        op.signature()
        _close(op, deployment, op.get(Release), op.rows.get((Rollback, unlocked.rollback_id)))
    return monitoring


def why_not_permitted(account: Account, deployment: Deployment) -> str:
    """Return why a person may not record the result of a deployment's monitoring; empty when they may."""
    if deployment.was_started_by(account):
        return _("You have scheduled this deployment; another person must judge its monitoring result.")
    return ""


def _rows(monitoring: MonitoringPeriod) -> list[tuple[Any, int]]:
    """Return the rows that its end changes."""
    deployment, rollback = monitoring.deployment, monitoring.rollback_id
    rows: list[tuple[Any, int]] = [(MonitoringPeriod, monitoring.pk), (Deployment, deployment.pk)]
    return [*rows, (Release, deployment.release_id), *([(Rollback, rollback)] if rollback is not None else [])]


def _close(op: Operation, deployment: Deployment, release: Release, rollback: Any) -> None:
    if rollback is not None:
        if rollback.state == "monitoring":
            rollback.start_reporting()
        return
    if deployment.state == "monitoring":
        deployment.succeed()
        op.notify_as("deployment:succeed")
        deployment.ended_at = now()
    complete_release(release, deployment)
