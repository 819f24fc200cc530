"""Lays out a watch, inside an open operation; and monitoring:start_baseline, the look at the target before a run (the baseline)."""

from datetime import datetime, timedelta
from statistics import quantiles
from typing import Any

from audit.clock import now
from audit.operation import operation
from environments.models import DeploymentTarget
from releases.metric_sources.collection import WrongSources, places_of
from releases.models import DeployedVersion, Deployment, Measurement, MonitoringPeriod, Rollback
from releases.procedures.document import Procedure as Content


def triggers_of(content: Content) -> list[dict[str, Any]]:
    """Return the measured triggers as a watch keeps them; `owed`: without its metric the watch can't end well."""
    owed = set(content.monitoring.metrics)
    return [
        t.model_dump(mode="json") | {"required": t.metric in owed or (t.critical and not t.dry_run)}
        for t in content.triggers
        if t.measured
    ]


def checks_of(content: Content) -> list[dict[str, Any]]:
    """Return the checks beside the metrics as a watch keeps them; those by hand are asked of people elsewhere."""
    return [
        {
            "key": check.key,
            "type": check.type,
            "parameters": check.parameters,
            "label_ja": check.ja,
            "label_en": check.en,
            "required": check.required,
        }
        for check in content.checks
        if check.when == "monitoring" and check.type != "manual"
    ]


def start_period(deployment: Deployment, content: Content, *, rollback: Rollback | None = None) -> MonitoringPeriod:
    """Begin the watch that the procedure asks for, inside an open operation; the baseline is the deployment's frozen one."""
    seconds = content.monitoring.duration_seconds if rollback is None else content.rollback.monitoring_seconds
    moment = now()
    every, checks = 60 * content.monitoring.check_interval_minutes, checks_of(content)
    return MonitoringPeriod.objects.create(
        purpose=MonitoringPeriod.Purpose.DEPLOYMENT if rollback is None else MonitoringPeriod.Purpose.ROLLBACK,
        deployment=deployment,
        rollback=rollback,
        interval_seconds=content.monitoring.interval_seconds,
        duration_seconds=seconds,
        baseline=deployment.baseline,
        triggers=triggers_of(content),
        checks=checks,
        check_seconds=every,
        started_at=moment,
        next_at=moment,
        next_checks_at=moment + timedelta(seconds=every) if checks else None,
    )


def start_baseline(deployment_id: int) -> MonitoringPeriod | None:
    """Look at what is in force until a scheduled run begins, so that it has a baseline; None if not needed.

    Nothing is in force, or a watch of an earlier run looks already: then there is nothing to begin.
    """
    with operation("monitoring:start_baseline", (Deployment, deployment_id)) as op:
        deployment = op.get(Deployment)
        same = {"application": deployment.application, "environment": deployment.environment}
        looked = MonitoringPeriod.objects.filter(
            deployment__application=deployment.application, deployment__environment=deployment.environment
        )
        if (
            deployment.state != "scheduled"
            or deployment.scheduled_start_at is None
            or not DeployedVersion.objects.filter(**same).exclude(release=None).exists()
            or looked.filter(ended_at=None, paused_at=None).exists()
            or looked.filter(deployment=deployment).exists()
        ):
            return None
        moment, content = now(), deployment.procedure.document
        monitoring = MonitoringPeriod.objects.create(
            purpose=MonitoringPeriod.Purpose.BASELINE,
            deployment=deployment,
            interval_seconds=content.monitoring.interval_seconds,
            duration_seconds=max(0.0, (deployment.scheduled_start_at - moment).total_seconds()),
            triggers=triggers_of(content),
            started_at=moment,
            next_at=moment,
        )
        op.about(monitoring)
    return monitoring


def needs_baseline(moment: datetime) -> list[int]:
    """Return the scheduled runs whose minutes of baseline have begun and that nobody looks at yet."""
    soon = Deployment.objects.filter(
        state="scheduled",
        scheduled_start_at__gt=moment,
        scheduled_start_at__lte=moment + timedelta(days=1),
        monitoring_periods=None,
    )
    found = []
    for deployment in soon.select_related("procedure"):
        assert deployment.scheduled_start_at is not None
        minutes = deployment.procedure.content["monitoring"]["baseline_minutes"]
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
    """Return {since, until, source, by, metrics: metric → {value, count}} over the samples of the minutes before `moment`.

    in_force: what is compared with; a sample from before it came, or came back, is of another version and left out.
    """
    rule = deployment.procedure.document.monitoring
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
    target = DeploymentTarget.objects.filter(
        application=deployment.application, environment=deployment.environment
    ).first()
    try:
        return [place.key for place in places_of(target.options if target is not None else {})]
    except WrongSources:
        return []
