"""Updates the deployed version, with what follows for releases and monitoring, inside an open operation."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.db.models import Q

from audit.clock import now
from environments.models import ConfigurationVersion
from releases.models import Artefact, DeployedVersion, Deployment, MonitoringPeriod, Release, Rollback
from releases.operations.document.publish import publish_with
from releases.operations.release.end_approval import cancel_waiting
from releases.queries.monitoring import checks_of, triggers_of


def set_deployed_version(deployment: Deployment, how: str, measured: dict[str, str] | None = None) -> DeployedVersion:
    """Set the deployed version to this deployment's release, with the digests that were measured last.

    The deployment's own checks measured them if no later measurement did.
    """
    measured = measured or deployment.measured.get("verification", {})
    return DeployedVersion.record(
        deployment.application,
        deployment.environment,
        measured,
        release=deployment.release,
        configuration_id=deployment.release.configurations.get(deployment.environment.slug),
        artefact=_artefact(deployment.previous.get("wanted", {})),
        basis=how,
    )


def _artefact(recorded: Mapping[str, Any]) -> Artefact | None:
    return Artefact.objects.filter(pk=recorded.get("artefact", {}).get("id")).first()


def complete_release(release: Release, deployment: Deployment) -> None:
    """Complete a release whose deployment in production is no longer monitored, inside an open operation, and publish
    its documents.
    """
    if deployment.environment.tier != "production" or release.state != "monitoring":
        return  # no other deployment moves a release
    others = release.deployments.filter(environment__in=release.destinations).exclude(pk=deployment.pk)
    if others.filter(state__in=[*Deployment.OCCUPYING, "monitoring"]).exists():
        return  # another environment of production is still monitored
    release.complete()
    publish_with(release)


def reaches_monitoring(release: Release, deployment: Deployment) -> bool:
    """Tell whether a release has come into all its environments of production with this deployment."""
    if deployment.environment.tier != "production" or release.state != "releasing":
        return False
    verified = release.deployments.filter(state__in=Deployment.VERIFIED).values_list("environment", flat=True)
    return {place.pk for place in release.destinations} <= {deployment.environment_id, *verified}


def leave(release: Release, deployment: Deployment, *, restored: bool) -> None:
    """Bring a release in line with the bad end of its deployment in production, inside an open operation.

    restored: the earlier state is proved there. While the release runs in another environment of production it has
    failed, and is rolled back only when it runs in none.
    """
    if deployment.environment.tier != "production":
        return  # no other deployment moves a release
    cancel_waiting(release)
    elsewhere = DeployedVersion.objects.filter(release=release, environment__in=release.destinations)
    if not restored or elsewhere.exclude(environment=deployment.environment).exists():
        if release.state in ("releasing", "monitoring", *(("completed",) if restored else ())):
            release.fail()
    elif release.state in ("releasing", "monitoring", "completed", "failed"):
        mark_release_rolled_back(release)


def mark_release_rolled_back(release: Release) -> None:
    """Mark a release as rolled back, inside an open operation, and retract what it had published."""
    release.mark_rolled_back()
    for document in release.documents.filter(Q(state="published") | Q(publish_at__isnull=False)):
        if document.state == "published":
            document.retract()
        document.publish_at = None
        document.save()


def restore_previous_version(deployment: Deployment, measured: dict[str, str]) -> DeployedVersion:
    """Set the deployed version to the one before this deployment, as measured after the rollback."""
    base = deployment.previous.get("deployed_version", {})
    pointer = DeployedVersion.record(
        deployment.application,
        deployment.environment,
        measured,
        release=Release.objects.filter(pk=base.get("release")).first(),
        configuration=ConfigurationVersion.objects.filter(pk=base.get("configuration")).first(),
        artefact=_artefact(base),
        basis="restored",
    )
    _resume_monitoring(deployment)
    return pointer


def _resume_monitoring(deployment: Deployment) -> None:
    moment = now()
    paused = MonitoringPeriod.objects.select_for_update(of=("self",), no_key=True).filter(
        Q(deployment__state="monitoring") | Q(rollback__state="monitoring"),
        deployment__application=deployment.application,
        deployment__environment=deployment.environment,
        ended_at=None,
        paused_at__isnull=False,
        result="",  # monitoring whose time is over measures no more and waits for a person
    )
    for monitoring in paused.order_by("pk"):
        monitoring.resume(moment)
        monitoring.save()


def start_monitoring(deployment: Deployment, rollback: Rollback | None = None) -> MonitoringPeriod:
    """Start the monitoring that the procedure asks for, inside an open operation, with the deployment's baseline."""
    content = deployment.content
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
