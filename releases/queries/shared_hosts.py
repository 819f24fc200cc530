"""Releases of several applications that are planned for the same time on the same hosts."""

from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from datetime import datetime
from typing import Any

from environments.models import DeploymentTarget, Environment
from environments.targets.words import gettext as _
from releases.models import Release
from releases.queries.target_validity import hosts_of


def planned_between(environment: Environment, start: datetime, end: datetime, *, but: Release) -> list[Release]:
    """Return the releases of other applications whose window in an environment overlaps a stretch of time."""
    rows = Release.objects.filter(state__in=[*Release.PREPARING, "releasing"]).exclude(application=but.application_id)
    found = []
    for row in rows.select_related("application").order_by("scheduled_start_at", "pk"):
        opens, closes = row.window_in(environment)
        if opens is not None and closes is not None and opens < end and start < closes:
            found.append(row)
    return found


def on_the_same_hosts(environment: Environment, releases: Iterable[Release]) -> dict[int, dict[int, str]]:
    """Return key of a release → key of each other one that is deployed at the same time on a host of its own
    application in this environment → a sentence about that.
    """
    rows = list(releases)
    applications = {row.application_id for row in rows}
    known = _hosts(environment, applications) if len(applications) > 1 else {}
    found: dict[int, dict[int, str]] = {}
    for one in rows:
        for other, names in _beside(environment, one, rows, known):
            text = _("%(release)s is deployed at the same time on the same host: %(hosts)s")
            hosts = ", ".join(name or _("this server") for name in names)
            found.setdefault(one.pk, {})[other.pk] = text % {"release": other, "hosts": hosts}
    return found


def _beside(
    environment: Environment, one: Release, rows: list[Release], known: Mapping[int, dict[str, str]]
) -> Iterator[tuple[Release, list[str]]]:
    opens, closes = one.window_in(environment)
    for other in rows:
        start, end = other.window_in(environment)
        if other.application_id == one.application_id or None in (opens, closes, start, end):
            continue
        own, theirs = known.get(one.application_id, {}), known.get(other.application_id, {})
        common = sorted({own[key] for key in own.keys() & theirs.keys()})
        if common and start < closes and opens < end:  # type: ignore[operator]
            yield other, common


def _hosts(environment: Environment, applications: Iterable[int]) -> dict[int, dict[str, str]]:
    """Return application → each name or key by which a host of it is known → the name of the host ("": this one)."""
    found: dict[int, dict[str, str]] = {}
    for target in DeploymentTarget.objects.filter(environment=environment, application__in=set(applications)):
        name = _name(target.options)
        found.setdefault(target.application_id, {}).update(dict.fromkeys(hosts_of(target.options), name))
    return found


def _name(options: Mapping[str, Any]) -> str:
    names = sorted(hosts_of(options), key=lambda name: (" " in name, name))
    return names[0]


def warnings(release: Release, environment: Environment, start: datetime, end: datetime) -> list[str]:
    """Return the sentences for a release that would be planned into a stretch of time."""
    there, planned = planned_between(environment, start, end, but=release), copy(release)
    planned.scheduled_start_at, planned.scheduled_end_at = start, end
    planned.later_windows = {key: value for key, value in release.later_windows.items() if key != environment.slug}
    return list(on_the_same_hosts(environment, [planned, *there]).get(release.pk, {}).values())
