"""The deployments that can still be rolled back, newest first: read when a rollback is raised and when it starts."""

from datetime import timedelta

from django.utils.translation import gettext as _

from audit.clock import now
from releases.models import DeployedVersion, Deployment

# A deployment whose monitoring has ended can be rolled back too, but late: see `is_late`.
IN_TIME = ("awaiting_decision", "verifying", "monitoring", "failed", "stopped")
FROM = (*IN_TIME, "succeeded")


def is_late(deployment: Deployment) -> bool:
    """Tell whether the deployment's monitoring has ended, so that its rollback needs further approvals."""
    return deployment.state == "succeeded"


def restores(deployment: Deployment) -> bool:
    """Tell whether the plan's rollback replaces the data by a dump."""
    back = deployment.release.step_plan.get("rollback", [])
    return any(
        row["step_type"] == "database_update" and row["parameters"].get("rollback_method", "restore") == "restore"
        for row in back
    )


def refusal(deployment: Deployment, *, begins: bool = False) -> str:
    """Return why a deployment can't be rolled back, with what to do instead; empty when it can.

    begins: the rollback would begin now. An alarm about a monitored deployment may be raised anyway, because the
    obstacle may be gone by then.
    """
    state, where = deployment.state, {"application": deployment.application, "environment": deployment.environment}
    pointer = DeployedVersion.established(deployment.application, deployment.environment)
    present = pointer.release if pointer is not None else None
    if state == "rolled_back":
        text = _(
            "This deployment is already rolled back, and a rollback cannot be rolled back. The deployed "
            "version is %(now)s. To deploy this content again, release a higher patch version."
        )
        return text % {"now": present or "—"}
    if state in ("rolling_back", "rollback_failed"):
        return _(
            "The rollback has started, and a rollback cannot be rolled back. If the rollback has failed, retry "
            "the failed step, or complete the rollback manually and resolve the deployment."
        )
    if state not in FROM:
        text = _("A deployment that is “%(state)s” has nothing to roll back.")
        return text % {"state": deployment.get_state_display()}
    if not (is_late(deployment) or (begins and state == "monitoring")):
        return ""
    newer = Deployment.objects.filter(**where, pk__gt=deployment.pk, state__in=Deployment.VERIFIED)
    if Deployment.objects.filter(**where, state__in=Deployment.OCCUPYING).exists():
        return _("A newer deployment is in progress. Resolve it or roll it back first.")
    if present is None or present.pk != deployment.release_id or newer.filter(release=deployment.release).exists():
        text = _("Rollbacks start with the newest version. The deployed version is %(now)s; roll it back first.")
        return text % {"now": present or "—"}
    return _past_retention(deployment)


def _past_retention(deployment: Deployment) -> str:
    """Return that the dump of a deployment is too old to restore; empty while it is kept or not needed."""
    days = deployment.content.retention.backups_days
    backup = (
        deployment.steps.filter(step_type="backup", phase="deployment", state="succeeded").order_by("ordinal").last()
    )
    taken = (backup.ended_at if backup is not None else None) or deployment.started_at
    if not restores(deployment) or taken is None or now() <= taken + timedelta(days=days):
        return ""
    text = _(
        "The dump of this deployment is past its retention of %(days)d days. Release a higher patch version instead."
    )
    return text % {"days": days}
