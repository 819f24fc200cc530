"""What a monitoring period measures and checks, how complete it is, and the baseline that it is compared with."""

import math
from datetime import datetime, timedelta
from statistics import quantiles
from typing import Any

from environments.models import DeploymentTarget
from releases.metric_sources.collection import WrongSources, places_of
from releases.metric_sources.triggers import Slot
from releases.models import DeployedVersion, Deployment, Measurement, MonitoringCheck, MonitoringPeriod
from releases.procedures.document import Procedure as Content
from releases.procedures.values import MOST_PLACES

FLAGS = {"failed": 1.0, "passed": 0.0}


def slots_of(monitoring: MonitoringPeriod, most: int = MOST_PLACES) -> list[Slot]:
    """Return the last rounds of checks as places of the grid, oldest first: key → {value: 1 failed, 0 passed}."""
    approval_requests: dict[float, dict[str, Any]] = {}
    rows = MonitoringCheck.objects.filter(period=monitoring).order_by("-due_at")[
        : most * max(1, len(monitoring.checks))
    ]
    for row in rows:
        entry = {"value": FLAGS.get(row.result), "result": row.result}
        approval_requests.setdefault(row.due_at.timestamp(), {})[row.key] = entry
    return [Slot(due, values) for due, values in sorted(approval_requests.items())]


def triggers_of(content: Content) -> list[dict[str, Any]]:
    """Return the measured triggers of a monitoring period; `required`: without its metric monitoring can't pass."""
    metrics_required = set(content.monitoring.metrics)
    return [
        t.model_dump(mode="json") | {"required": t.metric in metrics_required or (t.critical and not t.dry_run)}
        for t in content.triggers
        if t.measured
    ]


def checks_of(content: Content) -> list[dict[str, Any]]:
    """Return the checks of a monitoring period beside the metrics; manual ones are asked of people elsewhere."""
    return [
        {
            "key": check.key,
            "type": check.type,
            "parameters": check.parameters,
            "label_ja": check.ja,
            "label_en": check.en,
            "required": check.required,
            **({"on": check.on} if check.on else {}),
        }
        for check in content.checks
        if check.when == "monitoring" and check.type != "manual"
    ]


def needs_baseline(moment: datetime) -> list[int]:
    """Return the scheduled deployments whose baseline is due and not measured yet."""
    soon = Deployment.objects.filter(
        state="scheduled",
        scheduled_start_at__gt=moment,
        scheduled_start_at__lte=moment + timedelta(days=1),
        monitoring_periods=None,
    )
    found = []
    for deployment in soon.select_related("procedure", "process", "environment"):
        assert deployment.scheduled_start_at is not None
        minutes = deployment.content.monitoring.baseline_minutes
        same = {"application": deployment.application_id, "environment": deployment.environment_id}
        if deployment.scheduled_start_at > moment + timedelta(minutes=minutes):
            continue
        if not DeployedVersion.objects.filter(**same).exclude(release=None).exists():
            continue
        looked = MonitoringPeriod.objects.filter(
            deployment__application=deployment.application_id, deployment__environment=deployment.environment_id
        )
        if not looked.filter(ended_at=None, paused_at=None).exists():
            found.append(deployment.pk)
    return found


def typical(values: list[float], by: str) -> float:
    """Return the mean of some values, or a percentile of them (p50, p90, …; between two of them in proportion)."""
    if by == "mean" or len(values) == 1:
        return sum(values) / len(values)
    return quantiles(values, n=100, method="inclusive")[int(by.removeprefix("p")) - 1]


def baseline(deployment: Deployment, moment: datetime, in_force: DeployedVersion | None) -> dict[str, Any]:
    """Return {since, until, source, by, metrics: metric → {value, count}} over the samples of the minutes before
    `moment`.

    in_force: what is compared with; a sample from before it came, or came back, is of another version and left out.
    """
    rule = deployment.content.monitoring
    minutes, by = rule.baseline_minutes, rule.baseline_statistic
    since = moment - timedelta(minutes=minutes)
    if in_force is not None:
        since = max(since, in_force.since)
    sums: dict[str, list[float]] = {}
    samples = Measurement.objects.filter(
        period__deployment__application=deployment.application,
        period__deployment__environment=deployment.environment,
        at__gte=since,
        up=True,
    )
    for values in samples.values_list("values", flat=True):
        for name, entry in values.items():
            if entry.get("value") is not None:
                sums.setdefault(name, []).append(float(entry["value"]))
    return {
        "since": since.isoformat(),
        "until": moment.isoformat(),
        "source": ", ".join(_sources(deployment)),
        "by": by,
        "metrics": {n: {"value": typical(v, by), "count": len(v)} for n, v in sums.items()},
    }


def _sources(deployment: Deployment) -> list[str]:
    here = DeploymentTarget.objects.filter(application=deployment.application, environment=deployment.environment)
    target = here.order_by("pk").first()
    try:
        return [place.key for place in places_of(target.options if target is not None else {})]
    except WrongSources:
        return []


def required_of(monitoring: MonitoringPeriod) -> tuple[set[str], set[str]]:
    """Return the metrics and the checks without which monitoring can't pass."""
    checks = {row["key"]: row["required"] for row in monitoring.checks}
    metrics = {t["metric"] for t in monitoring.triggers if t.get("required", True)} - checks.keys()
    return metrics, {key for key, required in checks.items() if required}


def completeness(monitoring: MonitoringPeriod) -> dict[str, float]:
    """Return required metric or check → share of expected values that exist (0..1); no measurement is no value.

    Required are the metrics of the procedure's monitoring and of its critical triggers, and the required checks. The
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
