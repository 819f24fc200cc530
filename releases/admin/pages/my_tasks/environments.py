"""The environment overview of My tasks: each deployed version, since when, active deployments, and drift."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import OuterRef, Subquery
from django.utils.translation import gettext as _

from environments.application_scope import within
from environments.models import Application, ConfigurationVersion, Environment
from releases.models import DeployedVersion, Deployment, Drift, Release, TargetMeasurement
from releases.models.drift import words_of
from releases.sources import versions

MOST = 100


@dataclass
class Place:
    """One application in one environment; `drift` lists what is not as planned."""

    environment: Environment
    pointer: DeployedVersion | None
    deployment: Deployment | None = None
    planned: Release | None = None
    drift: list[str] = field(default_factory=list)
    measured: TargetMeasurement | None = None

    @property
    def planned_at(self) -> datetime | None:
        """When the next release is planned here."""
        return self.planned.window_in(self.environment)[0] if self.planned is not None else None


def environment_overview(moment: datetime, seen: Collection[int] | None = None) -> dict[str, Any]:
    """Return application × environment, in a constant number of seven queries. seen: the keys of the applications that
    the reader sees; None: all.
    """
    environments = list(Environment.objects.all())
    applications = list(within(Application.objects.filter(retired=False), seen)[:MOST])
    pointers = {
        (p.application_id, p.environment_id): p
        for p in DeployedVersion.objects.select_related("release", "environment", "configuration")
    }
    newest = {
        (c.application_id, c.environment_id): c.number
        for c in ConfigurationVersion.objects.order_by("application_id", "environment_id", "-number")
        .distinct("application_id", "environment_id")
        .only("application_id", "environment_id", "number")
    }
    deployments: dict[tuple[int, int], Deployment] = {}
    for deployment in Deployment.objects.filter(state__in=Deployment.OCCUPYING).select_related(
        "release", "environment"
    ):
        deployments[deployment.application_id, deployment.environment_id] = deployment
    ahead = Release.objects.filter(state__in=Release.PREPARING, scheduled_start_at__gte=moment).exclude(
        kind="pre_release"
    )
    planned = {
        release.application_id: release
        for release in ahead.order_by("application_id", "scheduled_start_at", "pk")
        .distinct("application_id")
        .defer("step_plan")
    }
    still = Drift.objects.filter(target=OuterRef("target"), ended_at=None).values("parts")[:1]
    rows = (
        TargetMeasurement.objects.filter(target__retired=False)
        .exclude(at=None)
        .select_related("target")
        .annotate(drifted=Subquery(still))
    )
    measured = {(row.target.application_id, row.target.environment_id): row for row in rows}
    found = []
    for application in applications:
        places = [
            Place(
                e,
                pointers.get((application.pk, e.pk)),
                deployments.get((application.pk, e.pk)),
                planned.get(application.pk) if e.tier == Environment.Tier.PRODUCTION else None,
            )
            for e in environments
        ]
        for index, place in enumerate(places):
            key = (application.pk, place.environment.pk)
            place.measured = measured.get(key)
            place.drift = _drift(place, places[index + 1 :], newest.get(key))
            if key in measured and measured[key].drifted:
                place.drift.insert(0, _("drift: %(what)s") % {"what": words_of(measured[key].drifted)})
        found.append((application, places))
    return {
        "environments": environments,
        "rows": found,
        "drifted": sum(1 for _a, places in found for p in places if p.drift),
    }


def _drift(place: Place, later: list[Place], newest: int | None) -> list[str]:
    """Return what is not as planned: unknown content, a version behind an earlier environment's, old configuration."""
    pointer = place.pointer
    if pointer is None or pointer.release is None:
        return []
    said = []
    if pointer.basis == DeployedVersion.REQUESTED:
        said.append(_("registration requested"))
    elif pointer.unknown:
        said.append(_("unknown content"))
    for other in later:
        ahead = other.pointer.release if other.pointer is not None else None
        if ahead is not None and newer(ahead.version, pointer.release.version):
            said.append(_("older than %(environment)s") % {"environment": other.environment})
            break
    used = pointer.configuration.number if pointer.configuration is not None else None
    if used is not None and newest is not None and newest > used:
        text = _("configuration #%(newest)d is not deployed (in use: #%(used)d)")
        said.append(text % {"newest": newest, "used": used})
    return said


def newer(one: str, other: str) -> bool:
    """Tell whether a version follows another one by the SemVer rules; False where one of them is no version."""
    try:
        return versions.compare(one, other) > 0
    except versions.BadVersion:
        return False
