"""The versions that an application has used, planned or deployed, and the content that was rolled back."""

from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.translation import get_language, gettext as _

from audit.refusals import InvalidInput
from environments.calendar import print_time
from environments.models import Application, Environment
from releases.models import Deployment, Release, Rollback
from releases.models.deployment import DEPLOYED_VERSION
from releases.queries.rollback_causes import REHEARSAL
from releases.sources import versions

GIVEN_UP = ("rejected", "cancelled", "failed", "rolled_back")


@dataclass(frozen=True)
class UsedVersions:
    """The versions that cannot be planned: of releases in progress, and any deployed one. The database is asked for
    one version at a time, for an application may have used very many.

    but: primary key of a release whose own versions do not count.
    """

    application: Application
    but: int = 0

    def __contains__(self, version: object) -> bool:
        return self._alive().filter(version=version).exists() or self.place_of(str(version)) is not None

    def place_of(self, version: str) -> Environment | None:
        """Return where a version was deployed last; None: nowhere."""
        found = [
            rows.order_by("-started_at").select_related("environment").first()
            for rows in (
                self._started().filter(then=version),
                self._started().filter(then__isnull=True, release__version=version),
            )
        ]
        last = max((row for row in found if row is not None), key=attrgetter("started_at"), default=None)
        return None if last is None else last.environment

    def pre_releases(self, version: str) -> set[str]:
        """Return the used pre-releases of a version. Raises BadVersion."""
        beginning = f"{versions.without_pre_release(version)}-"
        alive = self._alive().filter(version__startswith=beginning)
        then = self._started().filter(then__startswith=beginning)
        present = self._started().filter(then__isnull=True, release__version__startswith=beginning)
        texts = (alive.values_list("version"), then.values_list("then"), present.values_list("release__version"))
        return {text for rows in texts for (text,) in rows}

    def _alive(self) -> QuerySet[Release]:
        return Release.objects.filter(application=self.application).exclude(state__in=GIVEN_UP).exclude(pk=self.but)

    def _started(self) -> Any:  # Of deployments, with `then`.
        rows = Deployment.objects.filter(application=self.application, started_at__isnull=False)
        return rows.exclude(release=self.but).annotate(then=DEPLOYED_VERSION)


def require_free(application: Application, version: str, but: int = 0) -> None:
    """Raise InvalidInput, with the next free version, for one that is planned, released or was deployed once."""
    used = UsedVersions(application, but)
    if version not in used:
        return
    named = {"version": version, "next": versions.next_free(version, used, used.pre_releases(version))}
    if place := used.place_of(version):
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
