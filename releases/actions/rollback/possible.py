"""Which runs may still be taken back, newest first: asked when an alarm is raised and again when the way back begins."""

from datetime import timedelta

from django.utils.translation import gettext as _

from audit.clock import now
from releases.models import Deployment, InForce

# A run whose watch has ended is taken back too, but late: see `is_late`.
IN_TIME = ("waiting", "verifying", "monitoring", "failed", "stopped")
FROM = (*IN_TIME, "succeeded")


def is_late(deployment: Deployment) -> bool:
    """Tell whether the watch of a run has ended, so that the way back needs more people's consent, asked anew."""
    return deployment.state == "succeeded"


def restores(deployment: Deployment) -> bool:
    """Tell whether the plan's way back replaces the data by a dump."""
    back = deployment.release.plan.get("back", [])
    return any(
        row["kind"] == "database_update" and row["parameters"].get("way_back", "restore") == "restore" for row in back
    )


def refusal(deployment: Deployment, *, begins: bool = False) -> str:
    """Return why a run is not taken back, with what to do instead; empty when it may be.

    begins: the way back would begin now. An alarm about a run that is watched may be raised all the same: what stands
    before it may be gone by then.
    """
    state, where = deployment.state, {"application": deployment.application, "environment": deployment.environment}
    pointer = InForce.established(deployment.application, deployment.environment)
    present = pointer.release if pointer is not None else None
    if state == "rolled_back":
        text = _(
            "This run has been taken back already, and a way back is not taken back itself. In force is %(now)s; "
            "to bring the content again, release a higher patch."
        )
        return text % {"now": present or "—"}
    if state in ("rolling_back", "rollback_failed"):
        return _(
            "The way back has begun and is not taken back itself. Where it has faltered, try the failed step again, "
            "or take it over by hand and settle the run."
        )
    if state not in FROM:
        return _("A run that is “%(state)s” has nothing to be taken back.") % {"state": deployment.get_state_display()}
    if not (is_late(deployment) or (begins and state == "monitoring")):
        return ""
    newer = Deployment.objects.filter(**where, pk__gt=deployment.pk, state__in=Deployment.VERIFIED)
    if Deployment.objects.filter(**where, state__in=Deployment.OCCUPYING).exists():
        return _("A newer run is under way; it is settled or taken back first.")
    if present is None or present.pk != deployment.release_id or newer.filter(release=deployment.release).exists():
        return _("Newest first: in force is %(now)s; take that back first.") % {"now": present or "—"}
    return _past_retention(deployment)


def _past_retention(deployment: Deployment) -> str:
    """Say that the dump of a run is too old to be gone back to; empty while it is kept or not needed."""
    days = deployment.procedure.document.retention.dumps_days
    backup = deployment.steps.filter(kind="backup", phase="forward", state="done").order_by("ordinal").last()
    taken = (backup.ended_at if backup is not None else None) or deployment.started_at
    if not restores(deployment) or taken is None or now() <= taken + timedelta(days=days):
        return ""
    text = _("The dump of this run is past its retention of %(days)d days; from here only a higher patch goes forward.")
    return text % {"days": days}
