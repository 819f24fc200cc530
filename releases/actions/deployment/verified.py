"""Moving the pointer of what is in force, and what follows for releases and watches, inside an open door."""

from django.db.models import Q

from audit.clock import now
from environments.models import ConfigurationVersion
from releases.actions.document.publish import publish_with
from releases.actions.watch.begin import begin
from releases.models import DeployedVersion, Deployment, MonitoringPeriod, Release, Rollback


def enter_force(deployment: Deployment, how: str, measured: dict[str, str] | None = None) -> DeployedVersion:
    """Point at this deployment's release, with the digests that were measured last, by its checks if by nobody since."""
    measured = measured or deployment.measured.get("verification", {})
    pointer, _made = DeployedVersion.objects.update_or_create(
        application=deployment.application,
        environment=deployment.environment,
        defaults={
            "release": deployment.release,
            "configuration_id": deployment.release.configurations.get(deployment.environment.slug),
            "code": measured.get("code", ""),
            "configuration_digest": measured.get("configuration", ""),
            "data": measured.get("data", ""),
            "schema": measured.get("schema", ""),
            "unknown": False,
            "since": now(),
            "basis": how,
        },
    )
    return pointer


def completed(release: Release, deployment: Deployment) -> None:
    """Complete a release whose run in production is watched no longer, inside an open door, and publish its documents."""
    if deployment.environment.tier != "production" or release.state != "monitoring":
        return  # no other run moves a release
    release.complete()
    publish_with(release)


def taken_back(release: Release) -> None:
    """Let a release be what was taken back, inside an open door, and retract what it had published."""
    release.mark_rolled_back()
    for document in release.documents.filter(Q(state="published") | Q(publish_at__isnull=False)):
        if document.state == "published":
            document.retract()
        document.publish_at = None
        document.save()


def return_to_base(deployment: Deployment, measured: dict[str, str]) -> DeployedVersion:
    """Point at what was in force before this deployment, as measured after the way back."""
    base = deployment.previous.get("deployed_version", {})
    pointer, _made = DeployedVersion.objects.update_or_create(
        application=deployment.application,
        environment=deployment.environment,
        defaults={
            "release": Release.objects.filter(pk=base.get("release")).first(),
            "configuration": ConfigurationVersion.objects.filter(pk=base.get("configuration")).first(),
            "code": measured.get("code", ""),
            "configuration_digest": measured.get("configuration", ""),
            "data": measured.get("data", ""),
            "schema": measured.get("schema", ""),
            "unknown": False,
            "since": now(),
            "basis": "restored",
        },
    )
    _resume_watches(deployment)
    return pointer


def _resume_watches(deployment: Deployment) -> None:
    moment = now()
    paused = MonitoringPeriod.objects.select_for_update(of=("self",), no_key=True).filter(
        Q(deployment__state="monitoring") | Q(rollback__state="monitoring"),
        deployment__application=deployment.application,
        deployment__environment=deployment.environment,
        ended_at=None,
        paused_at__isnull=False,
        result="",  # whose time is over waits for a person and looks no more
    )
    for watch in paused.order_by("pk"):
        watch.resume(moment)
        watch.save()


def begin_watch(deployment: Deployment, rollback: Rollback | None = None) -> MonitoringPeriod:
    """Begin the watch that the procedure asks for, inside an open door."""
    return begin(deployment, deployment.procedure.document, rollback=rollback)
