"""monitoring:sample (no operation: a measured series), monitoring:end, monitoring:record_result: looking at a target after a run (R7, B5)."""

import json
import logging
import math
from datetime import datetime
from pathlib import Path
from typing import Any

from django.db import IntegrityError, connection, transaction

from audit.clock import now
from audit.operation import Operation, operation
from audit.refusals import InvalidInput, NotPermitted, NotPossible
from environments import access
from environments.models import Account
from releases.metric_sources.collection import Looked, WrongSources, look, places_of
from releases.metric_sources.triggers import Slot, evaluate, firing, named_after
from releases.models import Deployment, Measurement, MonitoringPeriod, Release, Rollback
from releases.operations.deployment.completion import complete_release
from releases.operations.monitoring.react import react
from releases.procedures.values import MOST_PLACES
from releases.queries.target_spec import configuration_for, spec_for
from releases.step_types.base import TargetSpec
from releases.step_types.masking import clean
from releases.step_types.words import gettext as _

log = logging.getLogger(__name__)


READ = """
    SELECT w.purpose, w.interval_seconds, w.triggers, w.baseline, w.deployment_id, w.rollback_id, w.checks,
           t.root, t.options, a.slug, e.slug,
           (SELECT coalesce(jsonb_agg(jsonb_build_array(extract(epoch FROM s.due_at), s.values) ORDER BY s.due_at), '[]')
              FROM (SELECT due_at, values FROM releases_measurement WHERE period_id = w.id ORDER BY due_at DESC LIMIT %s) s),
           (SELECT raw FROM releases_measurement WHERE period_id = w.id ORDER BY due_at DESC LIMIT 1)
      FROM releases_monitoringperiod w
      JOIN releases_deployment d ON d.id = w.deployment_id
      JOIN environments_deploymenttarget t ON (t.application_id, t.environment_id) = (d.application_id, d.environment_id)
      JOIN environments_application a ON a.id = d.application_id
      JOIN environments_environment e ON e.id = d.environment_id
     WHERE w.id = %s AND w.ended_at IS NULL AND w.paused_at IS NULL
"""
ADVANCE = {
    "next": "UPDATE releases_monitoringperiod SET next_at = greatest(next_at + make_interval(secs => interval_seconds),"
    " clock_timestamp() - make_interval(secs => 2 * interval_seconds))"
    " WHERE id = %s AND ended_at IS NULL RETURNING next_at",
    "checks": "UPDATE releases_monitoringperiod SET next_checks_at = greatest(next_checks_at + make_interval(secs => check_seconds),"
    " clock_timestamp()) WHERE id = %s AND ended_at IS NULL RETURNING next_checks_at",
}


def record_measurement(monitoring_id: int, *, due: datetime) -> Measurement | None:
    """Look once at the target, keep it, and raise the alarm when a trigger holds k of its last n samples.

    One statement reads all that is needed, one keeps the sample; no transaction is open while the target is asked.
    A second look for the same due time is dropped.
    """
    with connection.cursor() as cursor:
        cursor.execute(READ, [MOST_PLACES, monitoring_id])
        row = cursor.fetchone()
    if row is None:
        return None
    purpose, interval, deployment_id, rollback_id = row[0], row[1], row[4], row[5]
    root, application, environment = row[7], row[9], row[10]
    triggers, baseline, checks, settings, before, raw = (
        json.loads(row[place]) if isinstance(row[place], str) else row[place] for place in (2, 3, 6, 8, 11, 12)
    )
    if settings.get("ssh"):
        target = spec_for(MonitoringPeriod.objects.select_related("deployment").get(pk=monitoring_id))
    else:
        target = TargetSpec(application, environment, Path(root), settings)
    secrets: tuple[str, ...] = ()
    unseen = {trigger["metric"]: "error" for trigger in triggers}
    try:
        places = places_of(settings)
        given: dict[str, str] = {}
        if any(place.source.needs_configuration for place in places):
            given, secrets = configuration_for(
                MonitoringPeriod.objects.select_related("deployment").get(pk=monitoring_id)
            )
        looked = look(target, places, raw or {}, given)
    except WrongSources as wrong:
        looked = Looked(now(), False, {}, unseen, raw or {}, str(wrong))
    except Exception as fault:  # noqa: BLE001  a look that fails saw nothing, which counts; without a sample nobody knew
        looked = Looked(now(), False, {}, unseen, raw or {}, f"{type(fault).__name__}: {fault}")
        log.error("watch %s: %s", monitoring_id, clean(looked.error, secrets))
    sampled, _checked = named_after(checks, triggers)
    values = evaluate(sampled, looked.values, baseline, looked.unreadable)
    try:
        with transaction.atomic():
            kept = Measurement.objects.create(
                period_id=monitoring_id,
                due_at=due,
                at=looked.at,
                up=looked.up,
                raw=looked.raw,
                values=values,
                error=clean(looked.error, secrets)[:300],
            )
    except IntegrityError:
        return None
    if purpose != MonitoringPeriod.Purpose.BASELINE:
        slots = [*(Slot(float(at), entries) for at, entries in before), Slot(due.timestamp(), values)]
        react(deployment_id, rollback_id, firing(sampled, slots, baseline, interval), slots)
    return kept


def advance(monitoring_id: int, column: str = "next") -> datetime | None:
    """Set when the next sample is due (column "checks": the next checks), on its grid; no operation, it is not audited.

    What a short stall has missed is caught up by the next polls; after more than three intervals the grid goes on from now.
    """
    with connection.cursor() as cursor:
        cursor.execute(ADVANCE[column], [monitoring_id])
        row = cursor.fetchone()
    return row[0] if row else None


def required_of(monitoring: MonitoringPeriod) -> tuple[set[str], set[str]]:
    """Return the metrics and the checks without which a watch can't end well."""
    checks = {row["key"]: row["required"] for row in monitoring.checks}
    metrics = {t["metric"] for t in monitoring.triggers if t.get("required", True)} - checks.keys()
    return metrics, {key for key, required in checks.items() if required}


def completeness(monitoring: MonitoringPeriod) -> dict[str, float]:
    """Return what is owed → share of what was expected of it that has a value (0..1); no sample is no value.

    Owed are the metrics of the procedure's watch and of its critical triggers, and the checks that are required. The
    first look only begins the counting, so that one less than the grid has is expected.
    """
    expected = max(1, int(monitoring.duration_seconds / monitoring.interval_seconds) - 1)
    metrics, checks = required_of(monitoring)
    counted = dict.fromkeys(metrics, 0)
    for values in monitoring.measurements.values_list("values", flat=True):
        for name in metrics:
            counted[name] += values.get(name, {}).get("value") is not None
    shares = {name: min(1.0, count / expected) for name, count in counted.items()}
    # The round that would be due at the very end is not made.
    approval_requests = max(0, math.ceil(monitoring.duration_seconds / monitoring.check_seconds) - 1)
    for key in checks if approval_requests else ():
        known = monitoring.check_results.filter(key=key, result__in=["passed", "failed"]).count()
        shares[key] = min(1.0, known / approval_requests)
    return shares


def end_due(monitoring_id: int) -> str:
    """End a watch whose time is over: healthy with enough samples, else it waits for a named person's result."""
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
    needed = float(unlocked.deployment.procedure.document.monitoring.measurements_min)
    targets: list[tuple[Any, int]] = [
        (MonitoringPeriod, monitoring_id),
        (Deployment, unlocked.deployment_id),
        (Release, unlocked.deployment.release_id),
    ]
    if unlocked.rollback_id is not None:
        targets.append((Rollback, unlocked.rollback_id))
    with operation("monitoring:end", *targets) as op:
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
    """Give a named person's result on a watch that had too few samples."""
    unlocked = MonitoringPeriod.objects.get(pk=monitoring_id)
    targets: list[tuple[Any, int]] = [
        (MonitoringPeriod, monitoring_id),
        (Deployment, unlocked.deployment_id),
        (Release, unlocked.deployment.release_id),
    ]
    if unlocked.rollback_id is not None:
        targets.append((Rollback, unlocked.rollback_id))
    with operation("monitoring:record_result", *targets, reason=reason, sign=True) as op:
        monitoring, deployment = op.get(MonitoringPeriod), op.get(Deployment)
        account = access.require("verify", deployment.environment)
        if why := why_not_permitted(account, deployment):
            raise NotPermitted(why)
        if monitoring.result != "inconclusive":
            raise NotPossible(_("This monitoring period does not wait for a result."))
        if result != "passed" or not reason.strip():
            raise InvalidInput(_("Record the result “passed” with a reason, or raise a rollback."))
        monitoring.result, monitoring.ended_at, monitoring.recorded_by = "passed_by_person", now(), account
        op.signature()
        _close(op, deployment, op.get(Release), op.rows.get((Rollback, unlocked.rollback_id)))
    return monitoring


def why_not_permitted(account: Account, deployment: Deployment) -> str:
    """Return why a person may not judge the watch of a run; empty when he may."""
    if deployment.was_started_by(account):
        return _("You have scheduled this deployment; another person must judge its monitoring result.")
    return ""


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
