"""The calendar as a list: each environment's next windows, extra windows, freezes, and what is planned for them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from audit.clock import now
from environments import calendar as windows
from environments.admin.rights import page
from environments.models import ChangeWindow, Environment, Freeze
from releases.admin.shown import language, show
from releases.models import Deployment, Release

AHEAD = 24


@dataclass
class Entry:
    """One stretch of time in an environment: a window, an extra one, or a freeze, with what is planned in it."""

    start: datetime
    end: datetime
    zone: str
    name: str
    kind: str
    note: str = ""
    holidays: list[str] = field(default_factory=list)
    releases: list[Release] = field(default_factory=list)
    frozen: str = ""


def _days_off(start: datetime, zone: str) -> list[str]:
    return windows.holidays_on(start.astimezone(ZoneInfo(zone)).date(), language=language())


def _in_one_language(name: str) -> str:
    """Return the reader's half of a name; the procedure's windows are named in Japanese / English."""
    japanese, found, english = name.partition(" / ")
    return english if found and language() != "ja" else japanese


def entries(
    environment: Environment, rows: list[ChangeWindow], freezes: list[Freeze], planned: list[Release], moment: datetime,
    ahead: int = AHEAD,
) -> list[Entry]:  # fmt: skip
    """Return the next windows and all freezes of an environment in order, from rows that are read already."""
    found: list[Entry] = []
    for row in rows:
        if row.environment_id != environment.pk:
            continue
        if row.extra:
            if row.starts_at is not None and row.ends_at is not None and row.ends_at > moment:
                kind = "extra" if row.opened_at else "proposed"
                found.append(Entry(row.starts_at, row.ends_at, row.zone, row.name, kind, row.reason))
        elif row.start is not None:
            rule = windows.WindowRule(row.name, row.rrule, row.zone, row.start, timedelta(minutes=row.length_minutes))
            name = _in_one_language(row.name)
            found += [Entry(w.start, w.end, w.zone, name, "window") for w in windows.windows(rule, moment, ahead)]
    found = sorted(found, key=lambda e: e.start)[:ahead]
    mine = [f for f in freezes if f.environment_id == environment.pk and f.ends_at > moment]
    for entry in found:
        entry.holidays = _days_off(entry.start, entry.zone)
        entry.releases = [
            r for r in planned if r.window_start is not None and entry.start <= r.window_start < entry.end
        ]
        entry.frozen = next((f.name for f in mine if f.starts_at < entry.end and f.ends_at > entry.start), "")
    found += [
        Entry(f.starts_at, f.ends_at, environment.zone, f.name, "absolute" if f.absolute else "freeze", f.reason)
        for f in mine
    ]
    return sorted(found, key=lambda e: e.start)


def all_entries(moment: datetime, ahead: int = AHEAD) -> list[tuple[Environment, list[Entry]]]:
    """Return the entries of every environment in five queries; one without windows may run at any time."""
    rows = list(ChangeWindow.objects.filter(withdrawn_at=None))
    freezes = list(Freeze.objects.filter(ends_at__gt=moment))
    planned = list(
        Release.objects.filter(state__in=[*Release.PREPARING, "releasing"], window_end__gt=moment)
        .select_related("application")
        .order_by("window_start")
    )
    return [
        (e, entries(e, rows, freezes, planned if e.protected else [], moment, ahead)) for e in Environment.objects.all()
    ]


@page
def calendar(request: HttpRequest) -> HttpResponse:
    """Show the calendar."""
    moment = now()
    scheduled: Any = (
        Deployment.objects.filter(state__in=["scheduled", "queued"])
        .select_related("release__application", "environment")
        .order_by("scheduled_for")[:50]
    )
    return show(
        request,
        "ringi/calendar.html",
        _("Calendar"),
        environments=all_entries(moment),
        scheduled=scheduled,
        moment=moment,
    )
