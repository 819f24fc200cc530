"""One month of the calendar as a grid of days: windows, freezes, what is planned, milestones and holidays."""

from calendar import MONDAY, SUNDAY, Calendar
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.db.models import QuerySet
from django.urls import reverse
from django.utils.translation import gettext as _

from environments import calendar
from environments.application_scope import within
from environments.language import language
from environments.models import Application, DeploymentTarget, Environment
from environments.times import office_day, zone_name
from releases.admin.components.formatting import TONES
from releases.admin.components.links import page_of
from releases.admin.pages.calendar.entries import (
    Entry,
    Rows,
    deployments_between,
    deployments_since,
    overlap,
    windows_of,
)
from releases.models import Deployment, Milestone, Release
from releases.operations.window.request import holiday_country

KINDS = ("absolute", "freeze", "window", "extra", "proposed", "skipped", "release", "run", "milestone")


@dataclass(frozen=True)
class Mark:
    """One line in a day. application: whose it is; None: it is for all."""

    kind: str
    hour: str
    text: str
    url: str
    note: str = ""
    tone: str = ""
    verb: str = ""
    application: Application | None = None


@dataclass(frozen=True)
class Lane:
    """What one application has in each day of a week; `application` is None for what is for all."""

    application: Application | None
    days: list[tuple["Day", list[Mark]]]


@dataclass
class Day:
    """One day of the grid. rest: it is a non-working day."""

    day: date
    inside: bool
    today: bool
    rest: bool = False
    holidays: list[str] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)

    @property
    def red(self) -> bool:
        """Tell whether a printed calendar shows it in red."""
        return bool(self.holidays) or (self.rest and self.day.weekday() == 6)

    @property
    def weekday(self) -> str:
        """Return its weekday in the reader's language."""
        return _weekday(self.day)


@dataclass(frozen=True)
class Month:
    """A month with its neighbours; days are those of each environment's own zone, which hours name where there are
    several.
    """

    first: date
    weeks: list[list[Day]]
    before: str
    after: str
    names: list[str]
    one_week: bool = False

    @property
    def lanes(self) -> list[Lane]:
        """Return the marks of the first week by application; what is for all comes first."""
        marks = [mark for day in self.weeks[0] for mark in day.marks]
        found = {mark.application.pk: mark.application for mark in marks if mark.application is not None}
        lanes = [*([None] if any(m.application is None for m in marks) else []), *sorted(found.values(), key=str)]
        days = self.weeks[0]
        return [Lane(one, [(day, [m for m in day.marks if m.application == one]) for day in days]) for one in lanes]

    @property
    def title(self) -> str:
        """Return the month, or the first and the last day of the week, in words."""
        if self.one_week:
            return f"{self.weeks[0][0].day:%Y/%m/%d} – {self.weeks[0][-1].day:%m/%d}"
        return f"{self.first.year}年{self.first.month}月" if language() == "ja" else f"{self.first:%B %Y}"


def chosen(text: str, moment: datetime) -> date:
    """Return the first day of a month written as 2026-12; of the current month for anything else."""
    try:
        year, month = text.split("-")
        found = date(int(year), int(month), 1)
    except ValueError:
        found = office_day(moment).replace(day=1)
    return found if 2000 < found.year < 2200 else office_day(moment).replace(day=1)


def month(
    first: date,
    environments: list[Environment],
    rows: Rows,
    moment: datetime,
    *,
    may_plan: bool,
    seen: Collection[int] | None,
    only: Application | None = None,
    beside: Mapping[int, Mapping[int, str]] | None = None,
) -> Month:
    """Return the grid of a month for some environments, from rows that were read for it and three more queries.

    seen: the keys of the applications whose releases the reader may open; None: all. Those of others only take a place.
    only: leave out what is for other applications; beside: neighbours of releases, as `on_the_same_hosts`.
    """
    grid = Calendar(SUNDAY if language() == "ja" else MONDAY).monthdatescalendar(first.year, first.month)
    today = office_day(moment)
    days = {d: Day(d, d.month == first.month, d == today) for week in grid for d in week}
    begin, end = bounds(first)
    countries = sorted({row.country for row in rows.windows if not row.extra} or {holiday_country(None)})
    for day in days.values():
        names = [n for c in countries for n in calendar.holidays_on(day.day, c, language=language())]
        own = rows.company.get(day.day)
        day.holidays = list(dict.fromkeys([*names, *([own] if own else [])]))
        day.rest = not all(calendar.is_working_day(day.day, c, company=rows.company) for c in countries)
    many = len(environments) > 1
    shown = {e.pk for e in environments}
    own_zones = {row.zone for row in rows.windows if row.environment_id in shown}
    several_zones = len({e.zone for e in environments} | own_zones) > 1

    def put(at: datetime, zone: str, mark: Mark) -> None:
        hour = f"{mark.hour} {zone_name(at.astimezone(ZoneInfo(zone)))}" if several_zones and mark.hour else mark.hour
        _mark(days, at, zone, replace(mark, hour=hour))

    def link(row: Release | Deployment) -> str:
        return page_of(row) if seen is None or row.application_id in seen else ""

    for environment in environments:
        label = str(environment) if many else ""
        # At most one a day, and the stretch is 54 days long.
        for entry in windows_of(environment, rows, begin, 56, end):
            if not _is_for(entry.application, only):
                continue
            put(entry.start, entry.zone, _window_mark(entry, label, moment, may_plan=may_plan))
        for freeze in rows.freezes:
            if freeze.environment_id != environment.pk or not overlap(freeze.starts_at, freeze.ends_at, begin, end):
                continue
            if not _is_for(freeze.application, only):
                continue
            _spread(days, freeze, environment.zone, label, named=several_zones)
    zones = {e.pk: e.zone for e in environments}
    destinations, last = _destinations(), [e for e in environments if e.protected][-1:]
    for release in rows.planned:
        for place in destinations.get(release.application_id, last):
            start = release.window_in(place)[0]
            if place.pk in shown and start is not None and _is_for(release.application, only):
                put(start, place.zone, _release_mark(release, place, start, link(release), beside or {}))
    for milestone in within(_milestones(begin, end), seen):
        places = destinations.get(milestone.release.application_id, last)
        if any(place.pk in shown for place in places) and _is_for(milestone.release.application, only):
            put(milestone.due_at, places[0].zone, _milestone_mark(milestone, moment, places[0].zone))
    # Of the environments that are not protected, only one that was chosen shows what is over.
    past = deployments_since([e for e in environments if e.protected or not many], begin, end)
    for deployment in [*deployments_between(environments, begin, end), *past]:
        at = deployment.started_at or deployment.scheduled_start_at
        if at is not None and _is_for(deployment.release.application, only):
            zone = zones[deployment.environment_id]
            put(at, zone, _deployment_mark(deployment, at, zone, link(deployment)))
    for day in days.values():
        day.marks.sort(key=lambda m: (KINDS.index(m.kind) > 1, m.hour, KINDS.index(m.kind)))
    return Month(
        first,
        [[days[d] for d in week] for week in grid],
        f"{first - timedelta(days=1):%Y-%m}",
        f"{first + timedelta(days=31):%Y-%m}",
        [_weekday(d) for d in grid[0]],
    )


def week_of(text: str, moment: datetime) -> date:
    """Return the day written as 2026-12-16; today for anything else."""
    try:
        found = date.fromisoformat(text)
    except ValueError:
        found = office_day(moment)
    return found if 2000 < found.year < 2200 else office_day(moment)


def only_week(whole: Month, day: date) -> Month:
    """Return the week that holds a day from a month's grid, with everything in it, and its neighbours."""
    week = next(w for w in whole.weeks if any(d.day == day for d in w))
    for each in week:
        each.inside = True
    return Month(
        week[0].day, [week], f"{day - timedelta(days=7)}", f"{day + timedelta(days=7)}", whole.names, one_week=True
    )


def bounds(first: date) -> tuple[datetime, datetime]:
    """Return instants that enclose every day of a month's grid, in any zone."""
    begin = datetime.combine(first - timedelta(days=8), time(), UTC)
    return begin, datetime.combine(first + timedelta(days=46), time(), UTC)


def plan_url(entry: Entry) -> str:
    """Return the address for planning a release at the start of a window."""
    given = {"start": entry.start.isoformat()} | (
        {"application_id": entry.application.pk} if entry.application is not None else {}
    )
    return reverse("operation-new", args=["release", "plan"]) + "?" + urlencode(given)


def _window_mark(entry: Entry, label: str, moment: datetime, *, may_plan: bool) -> Mark:
    hour = f"{_hour(entry.start, entry.zone)}–{_hour(entry.end, entry.zone)}"
    # The page of an extra window shows its reason and its holidays.
    notes = [] if entry.kind in ("extra", "proposed") else [*entry.holidays, *filter(None, [entry.note])]
    said = [*filter(None, [label]), *notes]
    if entry.frozen:
        said.append(_("frozen: %(name)s") % {"name": entry.frozen})
    kind = "skipped" if entry.frozen and entry.kind != "proposed" else entry.kind
    tone = "warn" if notes else ""
    if may_plan and entry.empty and entry.start > moment:
        return Mark(kind, hour, entry.name, plan_url(entry), " · ".join(said), tone, "release:plan", entry.application)
    return Mark(kind, hour, entry.name, entry.url, " · ".join(said), tone, application=entry.application)


def _is_for(application: Application | None, only: Application | None) -> bool:
    return only is None or application is None or application == only


def _destinations() -> dict[int, list[Environment]]:
    """Return application → the environments of production that its releases go to, in their order; none for one
    without a deployment target there, whose releases stand in the last protected environment.
    """
    found: dict[int, list[Environment]] = {}
    places = {place.pk: place for place in Environment.objects.filter(tier=Environment.Tier.PRODUCTION)}
    targets = DeploymentTarget.objects.filter(environment__in=places).order_by("environment__order").distinct()
    for application, environment in targets.values_list("application", "environment"):
        found.setdefault(application, []).append(places[environment])
    return found


def _release_mark(
    release: Release, place: Environment, start: datetime, url: str, beside: Mapping[int, Mapping[int, str]]
) -> Mark:
    later = place.slug in release.later_windows
    conflicts = list(beside.get(release.pk, {}).values())
    note = " · ".join([str(release.get_state_display()), *(f"⚠ {sentence}" for sentence in conflicts)])
    text = f"{release} → {place}" if later else f"T-0 {release}"
    tone = "warn" if conflicts else ""
    return Mark("release", _hour(start, place.zone), text, url, note, tone, application=release.application)


def _deployment_mark(deployment: Deployment, at: datetime, zone: str, url: str) -> Mark:
    begun, ended = deployment.started_at is not None, deployment.ended_at
    hour = _hour(at, zone) + (f"–{_hour(ended, zone)}" if begun and ended is not None else "")
    # What became of it is for those who may open it.
    note, tone = (str(deployment.get_state_display()), TONES.get(deployment.state, "")) if begun and url else ("", "")
    return Mark("run", hour, str(deployment), url, note, tone, application=deployment.release.application)


def _milestone_mark(milestone: Milestone, moment: datetime, zone: str) -> Mark:
    done = milestone.done_at is not None
    tone = "good" if done else "bad" if milestone.due_at < moment else ""
    text = f"{'✓ ' if done else ''}{milestone} · {milestone.release}"
    of, hour = milestone.release, _hour(milestone.due_at, zone)
    return Mark("milestone", hour, text, page_of(of), tone=tone, application=of.application)


def _spread(days: dict[date, Day], freeze: Any, zone: str, label: str, *, named: bool) -> None:
    place = ZoneInfo(zone)
    first, last = freeze.starts_at.astimezone(place), freeze.ends_at.astimezone(place)
    kind = "absolute" if freeze.full else "freeze"
    note = " · ".join(filter(None, [label, str(freeze.application or ""), freeze.reason]))
    for day in days.values():
        # A freeze that ends at midnight does not touch the day that begins then.
        if first.date() <= day.day and datetime.combine(day.day, time(), place) < last:
            hour = f"{first:%H:%M}–" if day.day == first.date() else f"–{last:%H:%M}" if day.day == last.date() else ""
            hour += f" {zone_name(first if day.day == first.date() else last)}" if hour and named else ""
            day.marks.append(Mark(kind, hour, freeze.name, page_of(freeze), note, application=freeze.application))


def _mark(days: dict[date, Day], at: datetime, zone: str, mark: Mark) -> None:
    day = days.get(at.astimezone(ZoneInfo(zone)).date())
    if day is not None:
        day.marks.append(mark)


def _hour(at: datetime, zone: str) -> str:
    return f"{at.astimezone(ZoneInfo(zone)):%H:%M}"


def _weekday(day: date) -> str:
    return "月火水木金土日"[day.weekday()] if language() == "ja" else f"{day:%a}"


def _milestones(begin: datetime, end: datetime) -> QuerySet[Milestone]:
    rows = Milestone.objects.filter(due_at__gte=begin, due_at__lt=end).exclude(release__state="cancelled")
    return rows.exclude(guards="start").select_related("release__application")
