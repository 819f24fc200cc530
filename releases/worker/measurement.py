"""Measurements of a target after a deployment, and their record (no operation: a measured series; R7, B5)."""

import json
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from django.db import IntegrityError, connection, transaction

from audit.clock import now
from environments.targets.base import TargetSpec
from environments.targets.masking import clean
from releases.metric_sources.collection import MOST_SOURCES, Looked, WrongSources, look, places_of
from releases.metric_sources.triggers import Slot, Trigger, evaluate, firing, named_after
from releases.models import Measurement, MonitoringPeriod
from releases.procedures.values import MOST_PLACES
from releases.queries.target_spec import configuration_for, specs_for
from releases.worker.timeouts import MARGIN_SECONDS, TimedOut, interrupt_after
from releases.worker.trigger_reaction import react

log = logging.getLogger(__name__)
# The longest time for the sources of one target, of which each ends by itself after five seconds.
LONGEST_SECONDS = MOST_SOURCES * 5 + MARGIN_SECONDS

READ = """
    SELECT w.purpose, w.interval_seconds, w.triggers, w.baseline, w.deployment_id, w.rollback_id, w.checks,
           t.root, t.options, a.slug, e.slug, t.name,
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
     ORDER BY t.id
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
        rows = cursor.fetchall()
    if not rows:
        return None
    row = rows[0]
    purpose, interval, deployment_id, rollback_id = row[0], row[1], row[4], row[5]
    triggers, baseline, checks, before, raw = (_plain(row[place]) for place in (2, 3, 6, 12, 13))
    unseen = {trigger["metric"]: "error" for trigger in triggers}
    found: dict[str, Looked] = {}
    secrets: tuple[str, ...] = ()
    for root, options, application, environment, name in (one[7:12] for one in rows):
        target = TargetSpec(application, environment, Path(root), _plain(options))
        own = (raw or {}) if len(rows) == 1 else (raw or {}).get(name, {})
        found[name], known = _look(monitoring_id, name, target, own, unseen)
        secrets = (*secrets, *known)
    measured_triggers, _checked = named_after(checks, triggers)
    looked = worst_of(found, measured_triggers, baseline)
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


def _plain(value: Any) -> Any:
    """Return a column of JSON as plain values."""
    return json.loads(value) if isinstance(value, str) else value


def _look(
    monitoring_id: int, name: str, target: TargetSpec, raw: dict[str, Any], unseen: dict[str, str]
) -> tuple[Looked, tuple[str, ...]]:
    """Measure one target; return what was seen, and the secrets that no message may show."""
    secrets: tuple[str, ...] = ()
    try:
        places = places_of(target.settings)
        given: dict[str, str] = {}
        period = MonitoringPeriod.objects.select_related("deployment")
        if target.settings.get("ssh"):
            target = specs_for(period.get(pk=monitoring_id))[name]
        if any(place.source.needs_configuration for place in places):
            given, secrets = configuration_for(period.get(pk=monitoring_id))
        with interrupt_after(LONGEST_SECONDS):
            return look(target, places, raw, given), secrets
    except WrongSources as wrong:
        return Looked(now(), False, {}, unseen, raw, str(wrong)), secrets
    except (Exception, TimedOut) as fault:  # noqa: BLE001  a failed measurement counts; without a row it would not show
        failed = Looked(now(), False, {}, unseen, raw, f"{type(fault).__name__}: {fault}")
        log.error("monitoring %s: %s", monitoring_id, clean(failed.error, secrets))
        return failed, secrets


def worst_of(found: Mapping[str, Looked], triggers: Sequence[Trigger], baseline: Mapping[str, Any]) -> Looked:
    """Return one measurement of several targets, by name: of each metric the greatest value. Where a target gave none,
    only a value that fails a trigger is known.
    """
    if len(found) == 1:
        return next(iter(found.values()))
    values: dict[str, float | None] = {}
    unreadable: dict[str, str] = {}
    for metric in dict.fromkeys(metric for one in found.values() for metric in (*one.values, *one.unreadable)):
        seen = [one.values.get(metric) for one in found.values()]
        known = [value for value in seen if value is not None]
        highest = max(known, default=None)
        said = evaluate([one for one in triggers if one["metric"] == metric], {metric: highest}, baseline)
        complete = len(known) == len(found) or (metric in said and said[metric]["result"] == "failed")
        values[metric] = highest if complete else None
        why = next((one.unreadable[metric] for one in found.values() if metric in one.unreadable), "")
        if values[metric] is None and why:
            unreadable[metric] = why
    return Looked(
        at=max(one.at for one in found.values()),
        up=all(one.up for one in found.values()),
        values=values,
        unreadable=unreadable,
        raw={name: one.raw for name, one in found.items()},
        error="; ".join(f"{name}: {one.error}" for name, one in found.items() if one.error),
    )


def advance(monitoring_id: int, column: str = "next") -> datetime | None:
    """Set when the next measurement is due (column "checks": the next checks), on its grid; no operation, it is not
    audited.

    The next polls make up for a short stall; after more than three intervals the grid goes on from now.
    """
    with connection.cursor() as cursor:
        cursor.execute(ADVANCE[column], [monitoring_id])
        row = cursor.fetchone()
    return row[0] if row else None
