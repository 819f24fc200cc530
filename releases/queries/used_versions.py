"""The versions that an application has used, planned or deployed, and the content that was rolled back."""

from django.db.models import Exists, OuterRef, Q
from django.utils.translation import get_language, gettext as _

from audit.refusals import InvalidInput
from environments.calendar import print_time
from environments.models import Application, Environment
from releases.models import Deployment, Release, Rollback
from releases.queries.rollback_causes import REHEARSAL
from releases.sources import versions

GIVEN_UP = ("rejected", "cancelled", "failed", "rolled_back")


def used_versions(application: Application, but: int = 0) -> set[str]:
    """Return the versions that cannot be planned: of releases in progress, and any deployed one.

    but: primary key of a release whose own versions do not count.
    """
    alive = Release.objects.filter(application=application).exclude(state__in=GIVEN_UP).exclude(pk=but)
    return {*alive.values_list("version", flat=True), *_deployed(application, but)}


def require_free(application: Application, version: str, but: int = 0) -> None:
    """Raise InvalidInput, with the next free version, for one that is planned, released or was deployed once."""
    taken = used_versions(application, but)
    if version not in taken:
        return
    named = {"version": version, "next": versions.next_free(version, taken)}
    if place := _deployed(application, but).get(version):
        text = _(
            "Version %(version)s was deployed to %(environment)s before, and a version cannot be planned again "
            "after its first deployment; %(next)s is free."
        )
        raise InvalidInput(text % {**named, "environment": place})
    raise InvalidInput(_("Version %(version)s is already planned or released; %(next)s is free.") % named)


def rolled_back(application: Application, commit: str, tree: str) -> tuple[str, ...]:
    """Return a sentence for each deployment of this commit, or of the same content, that was rolled back; newest first.

    A rehearsed rollback does not count: the content was not at fault.
    """
    went_back = Rollback.objects.filter(deployment=OuterRef("pk"), started_at__isnull=False).exclude(cause=REHEARSAL)
    found = (
        Deployment.objects.filter(
            Q(previous__wanted__commit=commit) | Q(previous__wanted_tree=tree), application=application
        )
        .filter(Exists(went_back) | Q(resolved_as="previous"))
        .select_related("environment")
        .order_by("-started_at")
    )
    return tuple(_said(deployment, commit) for deployment in found)


def _said(deployment: Deployment, commit: str) -> str:
    back = deployment.rollbacks.exclude(started_at=None).first()
    at = (back.restored_at or back.started_at) if back is not None else deployment.ended_at
    wanted = deployment.previous.get("wanted", {})
    named = {
        "version": wanted.get("version", ""),
        "environment": deployment.environment,
        "at": print_time(at, deployment.environment.zone, get_language() or "ja") if at is not None else "—",
    }
    if wanted.get("commit") == commit:
        return _("This commit was rolled back from %(environment)s on %(at)s (version %(version)s).") % named
    return _("The same content was rolled back from %(environment)s on %(at)s (version %(version)s).") % named


def _deployed(application: Application, but: int) -> dict[str, Environment]:
    """Return each version that was deployed → where it was deployed last."""
    deployments = Deployment.objects.filter(application=application, started_at__isnull=False).exclude(release=but)
    found = deployments.order_by("started_at").values_list(
        "previous__wanted__version", "release__version", "environment"
    )
    places = Environment.objects.in_bulk()
    return {then or present: places[place] for then, present, place in found}
