"""Replay of changed triggers over the last monitoring periods; part of the approved content (B1). Reads only."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from django.db.models import Exists, OuterRef

from releases.metric_sources.triggers import Fired, Slot, Trigger, named_after, replay
from releases.models import Measurement, MonitoringPeriod, Rollback
from releases.procedures.document import Procedure as Content
from releases.queries.monitoring import checks_of, slots_of, triggers_of
from releases.queries.rollback_causes import NO_RESPONSE

WATCHES = 10
MOST_ROUNDS = 1000


def changed(old: Content, new: Content) -> list[str]:
    """Return the keys of the measured triggers that differ between two versions of the procedure, added and gone
    too.
    """
    before, after = ({t["key"]: t for t in triggers_of(content)} for content in (old, new))
    return sorted(key for key in before.keys() | after.keys() if _rule(before.get(key)) != _rule(after.get(key)))


def _rule(trigger: Mapping[str, Any] | None) -> Any:
    names = ("metric", "comparison", "limit", "k", "n", "critical", "dry_run")
    return None if trigger is None else [trigger[name] for name in names]


def last_monitoring_periods(applications: Any = None, count: int = WATCHES) -> list[MonitoringPeriod]:
    """Return the monitoring periods after deployments, with measurements, newest first. applications: rows or keys of
    those whose periods they are (None: all).
    """
    looked = Exists(Measurement.objects.filter(period=OuterRef("pk")))
    rows = MonitoringPeriod.objects.exclude(purpose=MonitoringPeriod.Purpose.BASELINE).filter(looked)
    rows = rows.filter(deployment__application__in=applications) if applications is not None else rows
    return list(
        rows.select_related("deployment__release__application", "deployment__environment").order_by("-pk")[:count]
    )


def report(new: Content, monitoring_periods: Iterable[MonitoringPeriod] | None = None) -> list[dict[str, Any]]:
    """Return for each of the last monitoring periods the results of its own triggers and of those of `new`.

    A row: monitoring, deployment, began (RFC 3339), measurements, was and would ([key, critical, first time]), raised
    ([cause, state] of the alarms that monitoring raised), missed: a raised alarm that was not dismissed would not have
    been raised; additional: a critical trigger would have fired where none did.
    """
    triggers, checks = triggers_of(new), checks_of(new)
    return [
        _row(monitoring, triggers, checks)
        for monitoring in (last_monitoring_periods() if monitoring_periods is None else monitoring_periods)
    ]


def _row(monitoring: MonitoringPeriod, triggers: list[dict[str, Any]], checks: list[dict[str, Any]]) -> dict[str, Any]:
    series = [
        Slot(due.timestamp(), values)
        for due, values in monitoring.measurements.order_by("due_at")
        .values_list("due_at", "values")
        .iterator(chunk_size=2000)
    ]
    approval_requests = slots_of(monitoring, MOST_ROUNDS)
    was = _fired(monitoring, monitoring.triggers, monitoring.checks, series, approval_requests)
    would = _fired(monitoring, triggers, checks, series, approval_requests)
    # A missing response was no trigger.
    alarms = Rollback.objects.filter(deployment=monitoring.deployment, raised_by=None).exclude(cause=NO_RESPONSE)
    raised = list(alarms.order_by("pk")) if monitoring.rollback_id is None else []
    heeded = [alarm for alarm in raised if alarm.state != "dismissed"]
    heard = any(fired.critical for fired in was)
    return {
        "monitoring": monitoring.pk,
        "deployment": str(monitoring.deployment),
        "began": _text(monitoring.started_at.timestamp()),
        "measurements": len(series),
        "was": [[fired.key, fired.critical, _text(fired.at)] for fired in was],
        "would": [[fired.key, fired.critical, _text(fired.at)] for fired in would],
        "raised": [[alarm.cause, alarm.state] for alarm in raised],
        "missed": any(not any(f.critical or not alarm.critical for f in would) for alarm in heeded),
        "additional": not heard and any(fired.critical for fired in would),
    }


def _fired(
    monitoring: MonitoringPeriod,
    triggers: Sequence[Trigger],
    checks: Sequence[Mapping[str, Any]],
    series: list[Slot],
    approval_requests: list[Slot],
) -> list[Fired]:
    sampled, checked = named_after(checks, [trigger for trigger in triggers if not trigger.get("dry_run")])
    found = replay(sampled, series, monitoring.baseline, monitoring.interval_seconds)
    found += replay(checked, approval_requests, monitoring.baseline, monitoring.check_seconds)
    return sorted(found, key=lambda fired: (fired.at, not fired.critical))


def _text(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
