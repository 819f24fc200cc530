"""Entries of the calendar: windows, freezes and what is planned for them. The page and the previews call it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Q
from django.utils.translation import gettext as _

from environments import calendar
from environments.language import labelled, language, listed, noted
from environments.models import Application, ChangeFreeze, ChangeWindow, Environment, Holiday
from releases.admin.components.links import page_of
from releases.models import Deployment, Release
from releases.queries.shared_hosts import on_the_same_hosts

AHEAD = 24
MOST_PAST = 200
SHOWN = timedelta(days=31)


@dataclass
class Entry:
    """One stretch of time in an environment, with what is planned in it.

    kind: window, extra, proposed (an extra one awaiting approval), skipped (left out on a holiday), freeze, absolute.
    plan: where a release is planned for it, for readers who may.
    """

    start: datetime
    end: datetime
    zone: str
    name: str
    kind: str
    note: str = ""
    url: str = ""
    application: Application | None = None
    holidays: list[str] = field(default_factory=list)
    releases: list[Release] = field(default_factory=list)
    frozen: str = ""
    plan: str = ""
    # Key of the procedure whose applications it is for; None: any.
    procedure: str | None = None
    # What is deployed then on the same hosts, a sentence each.
    beside: list[str] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Tell whether a release could be planned into it: open, not frozen, and nothing planned yet."""
        return self.kind in ("window", "extra") and not self.frozen and not self.releases


@dataclass(frozen=True)
class Rows:
    """The rows of the calendar, read once for a page: current and requested windows, freezes, planned releases."""

    windows: list[ChangeWindow]
    freezes: list[ChangeFreeze]
    planned: list[Release]
    company: Mapping[date, str]


def read(moment: datetime) -> Rows:
    """Read the rows that count now or from `moment` on, in five queries."""
    windows = ChangeWindow.objects.select_related("application")
    rows = [*windows.in_effect(), *windows.filter(in_effect_at=None, cancelled_at=None)]
    freezes = ChangeFreeze.objects.in_effect().filter(ends_at__gt=moment).select_related("application").spans(moment)
    planned = (
        Release.objects.filter(
            Q(scheduled_end_at__gt=moment) | ~Q(later_windows={}), state__in=[*Release.PREPARING, "releasing"]
        )
        .select_related("application")
        .order_by("scheduled_start_at")
    )
    return Rows(rows, freezes, list(planned), Holiday.objects.days())


def of_rule(row: ChangeWindow, occurrence: calendar.Occurrence, url: str = "") -> Entry:
    """Return the entry of one day of a rule: held, moved or left out, with the reason."""
    window = occurrence.window or occurrence.named
    kind = "window" if occurrence.window is not None else "skipped"
    name = noted(row, row.procedure) if row.procedure else str(row)
    entry = Entry(window.start, window.end, window.zone, name, kind, url=url, application=row.application)
    entry.procedure = row.procedure if row.from_procedure else None
    why = listed(occurrence.holidays)
    if occurrence.moved:
        words = {"day": short_day(occurrence.day), "why": why}
        entry.note = _("Moved from %(day)s: %(why)s") % words
    elif occurrence.window is None:
        entry.note = _("Left out: %(why)s") % {"why": why or _("this local time does not exist on that day")}
    else:
        entry.holidays = list(occurrence.holidays)
    return entry


def short_day(day: date) -> str:
    """Return a day in readable form."""
    return day.strftime("%Y/%m/%d") if language() == "ja" else f"{day.day} {day:%b %Y}"


def windows_of(
    environment: Environment, rows: Rows, moment: datetime, ahead: int = AHEAD, end: datetime | None = None
) -> list[Entry]:
    """Return the next windows of an environment in order, those left out included, with what is planned in them.

    end: return all windows until then, if none of their rules has more than `ahead`.
    """
    found: list[Entry] = []
    for row in rows.windows:
        if row.environment_id != environment.pk:
            continue
        url = page_of(row)
        if row.extra:
            window = row.as_window()
            if window is not None and window.end > moment:
                kind = "extra" if row.in_effect_at else "proposed"
                day = window.start.astimezone(ZoneInfo(window.zone)).date()
                entry = Entry(window.start, window.end, window.zone, str(row), kind, row.reason, url, row.application)
                entry.holidays = calendar.holidays_on(day, row.country, language=language(), company=rows.company)
                found.append(entry)
        elif row.in_effect_at is not None and (rule := row.as_rule(rows.company)) is not None:
            days = calendar.occurrences(rule, moment, ahead, language=language())
            found += [of_rule(row, occurrence, url) for occurrence in days]
    found.sort(key=lambda e: e.start)
    found = found[:ahead] if end is None else [entry for entry in found if entry.start < end]
    for entry in found:
        fill(entry, rows.freezes, rows.planned, environment)
    return found


def entries(environment: Environment, rows: Rows, moment: datetime, ahead: int = AHEAD) -> list[Entry]:
    """Return the next windows and all freezes of an environment in order."""
    found = windows_of(environment, rows, moment, ahead)
    found += [
        Entry(
            f.starts_at,
            f.ends_at,
            environment.zone,
            f.name,
            "absolute" if f.full else "freeze",
            f.reason,
            page_of(f),
            f.application,
        )
        for f in rows.freezes
        # A recurring freeze contributes the coming month; it has a page of its own.
        if f.environment_id == environment.pk and (not f.rrule or f.starts_at < moment + SHOWN)
    ]
    return sorted(found, key=lambda e: e.start)


def all_entries(
    environments: Sequence[Environment], moment: datetime, ahead: int = AHEAD
) -> list[tuple[Environment, list[Entry]]]:
    """Return the entries of each environment; one without windows accepts deployments at any time."""
    rows = read(moment)
    return [(e, entries(e, rows, moment, ahead)) for e in environments]


def neighbours(environment: Environment, planned: list[Release]) -> dict[int, dict[int, str]]:
    """Return which releases of several applications meet in an environment on the same hosts, as `on_the_same_hosts`;
    none in one that is not protected.
    """
    return on_the_same_hosts(environment, planned) if environment.protected else {}


def name_neighbours(found: list[Entry], beside: dict[int, dict[int, str]]) -> None:
    """Add to the windows of an environment the neighbours of what is planned there."""
    for entry in found:
        here = [release.pk for release in entry.releases]
        entry.beside = [
            labelled(release, sentence)
            for release in entry.releases
            for other, sentence in beside.get(release.pk, {}).items()
            if other not in here or release.pk < other  # two that stand here are said once
        ]


def fill(entry: Entry, freezes: list[ChangeFreeze], planned: list[Release], environment: Environment) -> None:
    """Add to a window of an environment what is planned in it and what freezes it."""
    entry.releases = [
        r
        for r in planned
        if environment.protected
        and (start := r.window_in(environment)[0]) is not None
        and entry.start <= start < entry.end
        and (entry.application is None or entry.application.pk == r.application_id)
        and entry.procedure in (None, r.application.procedure)
    ]
    mine = [f for f in freezes if f.environment_id == environment.pk]
    hits = [f for f in mine if overlap(f.starts_at, f.ends_at, entry.start, entry.end)]
    # A freeze of one application does not close a window that others may use.
    own = entry.application.pk if entry.application is not None else None
    entry.frozen = next((f.name for f in hits if f.application_id in (None, own)), "")


def overlap(start: datetime, end: datetime, other_start: datetime | None, other_end: datetime | None) -> bool:
    """Tell whether two stretches of time overlap."""
    return other_start is not None and other_end is not None and start < other_end and other_start < end


def deployments_between(environments: Sequence[Environment], start: datetime, end: datetime) -> list[Deployment]:
    """Return the deployments that are scheduled into a stretch of time."""
    rows: Any = (
        Deployment.objects.filter(
            environment__in=environments,
            state__in=["scheduled", "queued"],
            scheduled_start_at__gte=start,
            scheduled_start_at__lt=end,
        )
        .select_related("release__application", "environment")
        .order_by("scheduled_start_at")
    )
    return list(rows)


def deployments_since(environments: Sequence[Environment], start: datetime, end: datetime) -> list[Deployment]:
    """Return the deployments that began in a stretch of time, whatever became of them; the last MOST_PAST."""
    rows: Any = (
        Deployment.objects.filter(environment__in=environments, started_at__gte=start, started_at__lt=end)
        .exclude(state__in=["scheduled", "queued"])
        .select_related("release__application", "environment")
        .order_by("-started_at")[:MOST_PAST]
    )
    return list(rows)
