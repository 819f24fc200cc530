"""Measurements of a target after a deployment, and their record (no operation: a measured series; R7, B5)."""

import json
import logging
from datetime import datetime
from pathlib import Path

from django.db import IntegrityError, connection, transaction

from audit.clock import now
from environments.targets.base import TargetSpec
from environments.targets.masking import clean
from releases.metric_sources.collection import Looked, WrongSources, look, places_of
from releases.metric_sources.triggers import Slot, evaluate, firing, named_after
from releases.models import Measurement, MonitoringPeriod
from releases.procedures.values import MOST_PLACES
from releases.queries.target_spec import configuration_for, spec_for
from releases.worker.trigger_reaction import react

log = logging.getLogger(__name__)

READ = """
    SELECT w.purpose, w.interval_seconds, w.triggers, w.baseline, w.deployment_id, w.rollback_id, w.checks,
           t.root, t.options, a.slug, e.slug,
           (SELECT coalesce(
             jsonb_agg(jsonb_build_array(extract(epoch FROM s.due_at), s.values) ORDER BY s.due_at), '[]')
              FROM (SELECT due_at, values FROM releases_measurement WHERE period_id = w.id
                ORDER BY due_at DESC LIMIT %s) s),
           (SELECT raw FROM releases_measurement WHERE period_id = w.id ORDER BY due_at DESC LIMIT 1)
      FROM releases_monitoringperiod w
      JOIN releases_deployment d ON d.id = w.deployment_id
      JOIN environments_deploymenttarget t
        ON (t.application_id, t.environment_id) = (d.application_id, d.environment_id)
      JOIN environments_application a ON a.id = d.application_id
      JOIN environments_environment e ON e.id = d.environment_id
     WHERE w.id = %s AND w.ended_at IS NULL AND w.paused_at IS NULL
"""
ADVANCE = {
    "next": "UPDATE releases_monitoringperiod SET next_at = greatest(next_at + make_interval(secs => interval_seconds),"
    " clock_timestamp() - make_interval(secs => 2 * interval_seconds))"
    " WHERE id = %s AND ended_at IS NULL RETURNING next_at",
    "checks": "UPDATE releases_monitoringperiod SET next_checks_at ="
    " greatest(next_checks_at + make_interval(secs => check_seconds), clock_timestamp())"
    " WHERE id = %s AND ended_at IS NULL RETURNING next_checks_at",
}


def record_measurement(monitoring_id: int, *, due: datetime) -> Measurement | None:
    """Measure the target once, record it, and raise the alarm when a trigger fires at k of its last n measurements.

    One statement reads all that is needed, one records the measurement; no transaction is open while the target is
    asked. A second measurement for the same due time is dropped.
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
    except Exception as fault:  # noqa: BLE001  a failed measurement counts; without a row it would not show
        looked = Looked(now(), False, {}, unseen, raw or {}, f"{type(fault).__name__}: {fault}")
        log.error("monitoring %s: %s", monitoring_id, clean(looked.error, secrets))
    measured_triggers, _checked = named_after(checks, triggers)
    values = evaluate(measured_triggers, looked.values, baseline, looked.unreadable)
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
        react(deployment_id, rollback_id, firing(measured_triggers, slots, baseline, interval), slots)
    return kept


def advance(monitoring_id: int, column: str = "next") -> datetime | None:
    """Set when the next measurement is due (column "checks": the next checks), on its grid; no operation, it is not
    audited.

    The next polls make up for a short stall; after more than three intervals the grid goes on from now.
    """
    with connection.cursor() as cursor:
        cursor.execute(ADVANCE[column], [monitoring_id])
        row = cursor.fetchone()
    return row[0] if row else None
