"""monitoring:start_baseline: the target is measured before a deployment (the baseline)."""

from audit.clock import now
from audit.operation import operation
from releases.models import DeployedVersion, Deployment, MonitoringPeriod
from releases.queries.monitoring import triggers_of


def start_baseline(deployment_id: int) -> MonitoringPeriod | None:
    """Measure the deployed version until a scheduled deployment begins, so that it has a baseline; None if not needed.

    It is not needed where no version is deployed, or the monitoring of an earlier deployment measures already.
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
        moment, content = now(), deployment.content
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
