"""The facts of a release for its notes, changelog, status text and notifications."""

from datetime import datetime
from zoneinfo import ZoneInfo

from django.utils.translation import override

from environments.calendar import print_time
from environments.times import ZONE
from releases.models import Release
from releases.notifications.templates import notes


def facts_of(release: Release, language: str, zone: str = "") -> notes.Facts:
    """Return the facts in one language; times in `zone`, or that of the environment that it is bound for."""
    zone = zone or zone_of(release)
    start = release.scheduled_start_at
    with override(language):
        return notes.Facts(
            application=str(release.application),
            version=release.version,
            title=release.title,
            state=release.state,
            opens=when(start, zone, language),
            closes=when(release.scheduled_end_at, zone, language),
            day=start.astimezone(ZoneInfo(zone)).date().isoformat() if start is not None else "",
            impact=release.impact,
            technical=(release.impact, release.security_impact, release.rollback_plan),
            changes=[notes.Fact(change.kind, change.text, change.ticket) for change in release.changes.all()],
        )


def when(at: datetime | None, zone: str, language: str) -> str:
    """Return a time with its zone; empty for none."""
    return print_time(at, zone, language) if at is not None else ""


def zone_of(release: Release) -> str:
    """Return the zone of the environment that a release is bound for: the first of production, else the last of all."""
    places = release.destinations[:1] or release.places[-1:]
    return places[0].zone if places else ZONE
