"""The page of one monitoring period: a curve per metric with baseline, limits and marks; triggers and checks."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from audit.clock import now
from audit.cover import warning
from environments.admin.rights import found_or_404, page, rights_of
from environments.language import labelled, language, noted
from releases.admin.components.formatting import show
from releases.admin.components.live import updates
from releases.admin.pages.monitoring.series import Drawing, Mark, Point, draw, figure
from releases.metric_sources.triggers import Fired, Slot, baseline_of, held, limit_of, named_after, replay
from releases.models import Measurement, MonitoringPeriod, Rollback
from releases.queries.monitoring import completeness, slots_of

# A day at one measurement in ten seconds; the CSV file has all of them.
MOST_MEASUREMENTS = 9000
MOST_CHECKS = 120
Rows = Sequence[tuple[datetime, datetime, dict[str, Any]]]


@dataclass(frozen=True)
class Rule:
    """A trigger as the page shows it: words, limit, how many of its last places fail, and when it first fired."""

    words: str
    metric: str
    limit: str
    why: str
    k: int
    n: int
    holds: int
    critical: bool
    dry_run: bool
    fired: datetime | None


def _monitoring(request: HttpRequest, pk: int) -> MonitoringPeriod:
    monitoring = found_or_404(
        request,
        MonitoringPeriod.objects.select_related(
            "deployment__release__application",
            "deployment__release__procedure",
            "deployment__environment",
            "deployment__application",
            "rollback",
            "recorded_by",
        ),
        pk=pk,
    )
    if not rights_of(request).about(monitoring).sees(monitoring.deployment.environment):
        raise PermissionDenied
    return monitoring


def rows_of(monitoring: MonitoringPeriod, most: int | None = MOST_MEASUREMENTS) -> Rows:
    """Return (due, taken, values) of the newest measurements, oldest first; most: None for all."""
    rows = Measurement.objects.filter(period=monitoring).order_by("-due_at").values_list("due_at", "at", "values")
    return list(rows[:most])[::-1]


def before_of(monitoring: MonitoringPeriod) -> Rows:
    """Return the measurements from before the deployment, which the baseline was computed from."""
    if monitoring.purpose != MonitoringPeriod.Purpose.DEPLOYMENT:
        return []
    earlier = MonitoringPeriod.objects.filter(
        deployment=monitoring.deployment, purpose=MonitoringPeriod.Purpose.BASELINE
    ).first()
    return rows_of(earlier) if earlier is not None else []


def marks_of(monitoring: MonitoringPeriod) -> list[Mark]:
    """Return when the deployment, or the rollback, was made, and when alarms were raised."""
    deployment, marks = monitoring.deployment, []
    if monitoring.purpose == MonitoringPeriod.Purpose.DEPLOYMENT and deployment.started_at is not None:
        marks.append(Mark(deployment.started_at, _("deployment"), "deploy", monitoring.started_at))
    if monitoring.rollback is not None and monitoring.rollback.started_at is not None:
        marks.append(Mark(monitoring.rollback.started_at, _("rollback"), "deploy", monitoring.started_at))
    for alarm in Rollback.objects.filter(deployment=deployment, raised_at__gte=monitoring.started_at):
        if alarm.pk != monitoring.rollback_id and (
            monitoring.ended_at is None or alarm.raised_at <= monitoring.ended_at
        ):
            marks.append(Mark(alarm.raised_at, _("alarm"), "alarm"))
    return marks


def checked_beside(monitoring: MonitoringPeriod) -> set[str]:
    """Return what triggers read from checks beside the metrics; a baseline before a deployment has none."""
    content = monitoring.deployment.content
    return {row["key"] for row in monitoring.checks} | {
        check.key for check in content.checks if check.when == "monitoring"
    }


def unmeasured(monitoring: MonitoringPeriod, rows: Rows) -> list[str]:
    """Return the metrics without due measurements and without a source at the target: they have no curve."""
    names = {t["metric"] for t in monitoring.triggers} - checked_beside(monitoring)
    names -= {t["metric"] for t in monitoring.triggers if t.get("required", True)}
    seen = {n for _due, _at, values in rows for n in names if values.get(n, {}).get("result", "no_data") != "no_data"}
    return sorted(names - seen)


def _words(monitoring: MonitoringPeriod) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """Return the names and the units of the metrics, and the names of the triggers."""
    content = monitoring.deployment.content
    return (
        {metric.key: metric.label(language()) for metric in content.metrics},
        {metric.key: metric.unit for metric in content.metrics},
        {trigger.key: trigger.label(language()) for trigger in content.triggers},
    )


def drawings(monitoring: MonitoringPeriod, rows: Rows, fired: Sequence[Fired] = ()) -> list[Drawing]:
    """Return a drawing for each metric that is measured and that a trigger reads, in the procedure's order."""
    names, units, words = _words(monitoring)
    checks = checked_beside(monitoring) | set(unmeasured(monitoring, rows))
    metrics = list(dict.fromkeys(t["metric"] for t in monitoring.triggers if t["metric"] not in checks))
    order = {name: place for place, name in enumerate(names)}
    before, marks, found = before_of(monitoring), marks_of(monitoring), []
    for metric in sorted(metrics, key=lambda name: order.get(name, len(order))):
        mine = [t for t in monitoring.triggers if t["metric"] == metric]
        unit = units.get(metric, "")
        points = [
            Point(at, entry.get("value"), str(entry.get("result", "no_data")) if counts else "passed")
            for counts, part in ((False, before), (True, rows))
            for _due, at, values in part
            if (entry := values.get(metric, {})) or counts
        ]
        mean = baseline_of(metric, monitoring.baseline)
        limits = [
            (limit, f"{words.get(t['key'], t['key'])} ≥ {figure(limit, unit)}")
            for t in mine
            if (limit := limit_of(t, monitoring.baseline)) is not None
        ]
        alarms = [
            Mark(datetime.fromtimestamp(one.at, UTC), words.get(one.key, one.key), "alarm")
            for one in fired
            if any(t["key"] == one.key for t in mine)
        ]
        found.append(
            draw(
                names.get(metric, metric),
                points,
                baseline=None if mean is None else (mean, _("baseline %(mean)s") % {"mean": figure(mean, unit)}),
                limits=limits,
                marks=[*(mark for mark in marks if mark.tone == "deploy"), *alarms],
                zone=monitoring.deployment.environment.zone,
                interval=monitoring.interval_seconds,
                unit=unit,
            )
        )
    return found


def rules(
    monitoring: MonitoringPeriod,
    slots: list[Slot],
    approval_requests: list[Slot],
    fired: list[Fired],
    words: dict[str, str],
    units: dict[str, str],
) -> list[Rule]:
    """Return every measured trigger with its status."""
    checks, first = {row["key"] for row in monitoring.checks}, {one.key: one.at for one in fired}
    found = []
    for t in monitoring.triggers:
        checked = t["metric"] in checks
        recent, interval = (
            (approval_requests, monitoring.check_seconds) if checked else (slots, monitoring.interval_seconds)
        )
        limit = limit_of(t, monitoring.baseline)
        mean = baseline_of(t["metric"], monitoring.baseline)
        ratio = t["comparison"] == "ratio"
        why = _("no baseline") if ratio and mean is None else _("the baseline is zero") if ratio and not mean else ""
        found.append(
            Rule(
                words=words.get(t["key"], t["key"]),
                metric=t["metric"],
                limit=_("the check fails") if checked else figure(limit, units.get(t["metric"], "")),
                why=why,
                k=t["k"],
                n=t["n"],
                holds=held(t, recent[-t["n"] :], monitoring.baseline, interval),
                critical=bool(t["critical"]),
                dry_run=bool(t.get("dry_run")),
                fired=datetime.fromtimestamp(first[t["key"]], UTC) if t["key"] in first else None,
            )
        )
    return found


def _fired(monitoring: MonitoringPeriod, slots: list[Slot], approval_requests: list[Slot]) -> list[Fired]:
    measured_triggers, checked = named_after(monitoring.checks, monitoring.triggers)
    found = replay(measured_triggers, slots, monitoring.baseline, monitoring.interval_seconds)
    return found + replay(checked, approval_requests, monitoring.baseline, monitoring.check_seconds)


@page
def monitoring(request: HttpRequest, pk: int) -> HttpResponse:
    """Show one monitoring period; with ?series=csv its measurements as a file."""
    row = _monitoring(request, pk)
    if request.GET.get("series") == "csv":
        return series(row, rows_of(row, None), warning(row.measurements.all()))
    measurements = rows_of(row)
    names, units, words = _words(row)
    slots = [Slot(due.timestamp(), values) for due, _at, values in measurements]
    approval_requests = slots_of(row)
    fired = _fired(row, slots, approval_requests)
    labels = {c["key"]: c.get(f"label_{language()}", c["key"]) for c in row.checks}
    failed = dict(row.check_results.filter(result="failed").order_by().values_list("key").annotate(Count("pk")))
    before = row.purpose == MonitoringPeriod.Purpose.BASELINE
    return show(
        request,
        "pages/monitoring/monitoring.html",
        labelled(_("Post-deployment monitoring"), row.deployment),
        updates=updates(request.user, row, row.deployment, every=15 if row.ended_at is None else 0),
        monitoring=row,
        deployment=row.deployment,
        zone=row.deployment.environment.zone,
        left=(row.ends_at - now()).total_seconds() if row.ended_at is None and row.paused_at is None else None,
        drawings=drawings(row, measurements, fired),
        unmeasured=[names.get(name, name) for name in unmeasured(row, measurements)],
        rules=[] if before else rules(row, slots, approval_requests, fired, words, units),
        shares=[]
        if before
        else [
            (names.get(key) or labels.get(key, key), round(100 * share, 1)) for key, share in completeness(row).items()
        ],
        needed=round(100 * float(row.deployment.content.monitoring.measurements_min), 1),
        baseline=[
            (
                noted(names.get(key, key), _basis(row.baseline.get("by", "mean"))),
                figure(entry.get("value"), units.get(key, "")),
                entry.get("count", 0),
            )
            for key, entry in row.baseline.get("metrics", {}).items()
        ],
        checked=[(labels.get(c.key, c.key), c) for c in row.check_results.order_by("-due_at", "pk")[:MOST_CHECKS]],
        counted=[(label, failed.get(key, 0)) for key, label in labels.items()],
    )


def _basis(by: str) -> str:
    """Return in words which measurements the baseline was computed from."""
    return _("mean") if by == "mean" else _("%(n)sth percentile") % {"n": by.removeprefix("p")}


def series(monitoring: MonitoringPeriod, measurements: Rows, said: str) -> HttpResponse:
    """Return the measurements as CSV (UTF-8 with BOM): due and taken (RFC 3339, UTC), then value and result per metric.
    The last row says which rows were altered (`said`).
    """
    metrics = list(dict.fromkeys(name for _due, _at, values in measurements for name in values))
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["due", "taken", *(column for name in metrics for column in (name, f"{name}_result"))])
    for due, at, values in measurements:
        cells: list[Any] = [f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}" for moment in (due, at)]
        for name in metrics:
            entry = values.get(name, {})
            value = entry.get("value")
            cells += ["" if value is None else repr(float(value)), entry.get("result", "no_data")]
        writer.writerow(cells)
    if said:
        writer.writerow([said])
    response = HttpResponse("\ufeff" + text.getvalue(), content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="monitoring-{monitoring.pk}.csv"'
    return response
