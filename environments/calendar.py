"""When a change may happen: windows, freezes, holidays and milestones, as pure functions.

Gates, actions and pages call it; it knows no row. A window is written as local wall clock with its zone
beside it: a local time that does not exist on a day means the first instant after the gap, one that comes
twice means the earlier, and the end is start plus length *on the wall clock*, so that a window of
01:00-05:00 closes at 05:00 local time on every day of the year and is an hour shorter or longer when the
clocks change inside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import islice
from zoneinfo import ZoneInfo

import holidays
from dateutil.rrule import rrulestr
from django.utils.translation import gettext as _

HORIZON = timedelta(days=11000)
_ALLOWED = frozenset(("FREQ", "INTERVAL", "BYDAY", "BYMONTH", "BYMONTHDAY", "BYSETPOS", "WKST", "UNTIL"))
_WEEKDAYS_JA = "月火水木金土日"
_WEEKDAYS_EN = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS_EN = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_LATE_NIGHT_ENDS = 5


@dataclass(frozen=True)
class WindowRule:
    """A recurring window. `rrule` picks local days from `since` on; `day_offset` moves each by days."""

    name: str
    rrule: str
    zone: str
    start: time
    length: timedelta
    since: date = date(2024, 1, 1)
    day_offset: int = 0


@dataclass(frozen=True)
class Window:
    """One window, from `start` until before `end` (aware, UTC), shown in `zone`."""

    start: datetime
    end: datetime
    zone: str
    name: str

    def holds(self, at: datetime) -> bool:
        """Say whether `at` lies in the window; the end does not."""
        return self.start <= at < self.end


@dataclass(frozen=True)
class Freeze:
    """A time in which nothing is released; an absolute one stops emergencies too."""

    window: Window
    absolute: bool = False


@dataclass(frozen=True)
class Answer:
    """Whether a run may start, until when that holds, and the next opening."""

    open: bool
    reason: str
    until: datetime | None = None
    window: Window | None = None
    next_start: datetime | None = None
    next_end: datetime | None = None
    next_window: Window | None = None


def rule_fault(text: str) -> str:
    """Return what is wrong with a recurrence (RFC 5545, days only), or an empty text."""
    parts = dict(part.partition("=")[::2] for part in text.split(";"))
    if unknown := sorted(set(parts) - _ALLOWED):
        return f"has {', '.join(unknown)!r}, which a rule of days may not have"
    if parts.get("FREQ") not in ("DAILY", "WEEKLY", "MONTHLY", "YEARLY"):
        return "needs FREQ=DAILY, WEEKLY, MONTHLY or YEARLY"
    if parts.get("INTERVAL", "1").strip() in ("", "0") or parts.get("INTERVAL", "1").startswith("-"):
        return "needs an INTERVAL of one or more"
    since = date(2024, 1, 1)
    first = datetime.combine(since, time())
    try:
        met = next(_days_of(text, since, first, first + timedelta(days=4400)), None)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as fault:
        return f"is no recurrence rule: {fault}"
    return "" if met else "meets no day within twelve years"


def windows(rule: WindowRule, after: datetime, count: int) -> list[Window]:
    """Return the next `count` windows that end after `after`, the present one included, in order."""
    return list(islice(_windows(rule, after), count))


def recurring_freezes(rule: WindowRule, after: datetime, count: int, *, absolute: bool = False) -> list[Freeze]:
    """Return the next `count` freezes of a recurring rule, evaluated in its own zone like a window."""
    return [Freeze(window, absolute) for window in windows(rule, after, count)]


def next_opening(
    rules: Iterable[WindowRule],
    extras: Iterable[Window],
    freezes: Iterable[Freeze],
    at: datetime,
    *,
    emergency: bool = False,
) -> Answer:
    """Say whether a run may start at `at`, and if not, when next.

    A freeze beats every window. An emergency needs no window and is stopped by absolute freezes only.
    """
    _aware(at)
    stops = [freeze for freeze in freezes if freeze.absolute or not emergency]
    active = [freeze for freeze in stops if freeze.window.holds(at)]
    if emergency:
        return _emergency(stops, active, at)
    here = next_start = None
    for start, end, window in _openings(list(rules), list(extras), stops, at):
        if start <= at:
            if here is None or end > here[1]:
                here = (start, end, window)
        else:
            next_start = (start, end, window)
            break
    following = _following(next_start)
    if here is not None:
        reason = _("Inside the window %(name)s.") % {"name": here[2].name}
        return Answer(True, reason, here[1], here[2], *following)
    if active:
        worst = max(active, key=lambda freeze: freeze.window.end)
        reason = _("The freeze %(name)s forbids it until %(end)s.") % {
            "name": worst.window.name,
            "end": worst.window.end.astimezone(ZoneInfo(worst.window.zone)).strftime("%Y-%m-%d %H:%M %Z"),
        }
    elif next_start is None:
        reason = _("No window is planned.")
    else:
        reason = _("Outside every window; the next is %(name)s at %(start)s.") % {
            "name": next_start[2].name,
            "start": next_start[0].astimezone(ZoneInfo(next_start[2].zone)).strftime("%Y-%m-%d %H:%M %Z"),
        }
    return Answer(False, reason, next_start[0] if next_start else None, None, *following)


def latest_safe_start(end: datetime, needed: timedelta) -> datetime:
    """Return the last instant at which a run and its way back, `needed` long, still fit before `end`."""
    return end - needed


def milestone_dates(
    t0: datetime, milestones: Mapping[str, int], zone: str, *, due: time = time(18)
) -> dict[str, datetime]:
    """Return for each milestone (key → days before T-0) when it is due (aware, UTC).

    Days are days of the calendar in `zone`, due at the local time `due`; the one of zero days is T-0 itself.
    """
    _aware(t0)
    day = t0.astimezone(ZoneInfo(zone)).date()
    return {
        key: instant(datetime.combine(day - timedelta(days=days), due), zone) if days else t0.astimezone(UTC)
        for key, days in milestones.items()
    }


def milestone_hours(t0: datetime, milestones: Mapping[str, int]) -> dict[str, datetime]:
    """Return for each milestone of an emergency (key → hours before T-0) when it is due (aware, UTC)."""
    _aware(t0)
    return {key: t0.astimezone(UTC) - timedelta(hours=hours) for key, hours in milestones.items()}


def holidays_on(
    day: date, country: str = "JP", *, language: str = "ja", company: Mapping[date, str] | None = None
) -> list[str]:
    """Return the names of the public and the company's own holiday on a day; empty for neither."""
    names = [_public(country, day.year, language).get(day, ""), (company or {}).get(day, "")]
    return [name for name in names if name]


def working_days_after(
    day: date, count: int, country: str = "JP", *, company: Mapping[date, str] | None = None
) -> date:
    """Return the day `count` working days after `day` (no weekend, public or company holiday)."""
    while count > 0:
        day += timedelta(days=1)
        if day.weekday() < 5 and not holidays_on(day, country, company=company):
            count -= 1
    return day


def print_time(at: datetime, zone: str, language: str) -> str:
    """Return a time as people read it, with the night it belongs to: `2026/12/16(水) 01:00(火曜深夜) JST`."""
    _aware(at)
    local = at.astimezone(ZoneInfo(zone))
    late = local.hour < _LATE_NIGHT_ENDS
    eve = (local.weekday() - 1) % 7
    place = local.tzname() or ""
    if not place.isalpha():
        offset = local.strftime("%z")
        place = f"UTC{offset[:3]}:{offset[3:5]}"
    if language == "ja" or language.startswith("ja-"):
        night = f"({_WEEKDAYS_JA[eve]}曜深夜)" if late else ""
        return f"{local:%Y/%m/%d}({_WEEKDAYS_JA[local.weekday()]}) {local:%H:%M}{night} {place}"
    night = f" (late {_WEEKDAYS_EN[eve]} night)" if late else ""
    weekday = _WEEKDAYS_EN[local.weekday()][:3]
    return f"{weekday} {local.day} {_MONTHS_EN[local.month - 1]} {local.year} {local:%H:%M}{night} {place}"


def instant(wall: datetime, zone: str) -> datetime:
    """Return the instant (UTC) of a naive local time: after the gap if in one, the earlier if twice."""
    place = ZoneInfo(zone)
    early = wall.replace(tzinfo=place, fold=0)
    as_utc = early.astimezone(UTC)
    if as_utc.astimezone(place).replace(tzinfo=None) == wall:
        return as_utc
    # In a gap fold=0 counts with the offset before it and fold=1 with the one after: the jump lies between.
    before = early.utcoffset()
    low, high = wall.replace(tzinfo=place, fold=1).astimezone(UTC), as_utc
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) // 2
        middle = middle.replace(microsecond=0)
        if middle.astimezone(place).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high


def _days_of(text: str, since: date, first: datetime, last: datetime) -> Iterator[datetime]:
    """Yield the naive days of a recurrence between two of them."""
    rule = rrulestr(text, dtstart=datetime.combine(since, time()))
    if "UNTIL=" not in text:
        # Bounded: a rule that meets no more day would be searched until the year 9999.
        rule = rule.replace(until=last)
    for day in rule.xafter(first, inc=True):
        if day > last:
            return
        yield day


def _windows(rule: WindowRule, after: datetime) -> Iterator[Window]:
    _aware(after)
    local = after.astimezone(ZoneInfo(rule.zone)).replace(tzinfo=None)
    slack = rule.length + timedelta(days=2 + abs(rule.day_offset))
    first = datetime.combine((local - slack).date(), time())
    last = max(first, datetime.combine(rule.since, time())) + HORIZON
    for day in _days_of(rule.rrule, rule.since, first, last):
        wall = datetime.combine(day.date() + timedelta(days=rule.day_offset), rule.start)
        window = Window(instant(wall, rule.zone), instant(wall + rule.length, rule.zone), rule.zone, rule.name)
        # A short window can fall into a gap as a whole; it has no instant then.
        if window.end > after and window.end > window.start:
            yield window


def _openings(
    rules: Sequence[WindowRule], extras: Sequence[Window], stops: Sequence[Freeze], at: datetime
) -> list[tuple[datetime, datetime, Window]]:
    """Return the stretches of near windows that no freeze covers and that end after `at`, in order."""
    open_ones: list[tuple[datetime, datetime, Window]] = []
    for extra in extras:
        open_ones += _pieces(extra, stops, at)
    for rule in rules:
        # Beyond the first window with an open stretch ahead nothing of this rule can be the next one.
        for window in _windows(rule, at):
            pieces = _pieces(window, stops, at)
            open_ones += pieces
            if any(start > at for start, _end, _window in pieces):
                break
    return sorted(open_ones, key=lambda piece: (piece[0], piece[1]))


def _pieces(window: Window, stops: Sequence[Freeze], at: datetime) -> list[tuple[datetime, datetime, Window]]:
    stretches = [(window.start, window.end)]
    for stop in stops:
        cut: list[tuple[datetime, datetime]] = []
        for start, end in stretches:
            if stop.window.end <= start or stop.window.start >= end:
                cut.append((start, end))
                continue
            if start < stop.window.start:
                cut.append((start, stop.window.start))
            if stop.window.end < end:
                cut.append((stop.window.end, end))
        stretches = cut
    return [(start, end, window) for start, end in stretches if end > at]


def _emergency(stops: Sequence[Freeze], active: Sequence[Freeze], at: datetime) -> Answer:
    if not active:
        until = min((stop.window.start for stop in stops if stop.window.start > at), default=None)
        return Answer(True, _("An emergency needs no window."), until)
    end = at
    # Absolute freezes that touch each other are one.
    while covering := [stop.window.end for stop in stops if stop.window.holds(end)]:
        end = max(covering)
    reason = _("The absolute freeze %(name)s stops emergencies too.") % {"name": active[0].window.name}
    return Answer(False, reason, end, None, end)


def _following(
    piece: tuple[datetime, datetime, Window] | None,
) -> tuple[datetime | None, datetime | None, Window | None]:
    return piece if piece else (None, None, None)


def _aware(at: datetime) -> None:
    if at.tzinfo is None:
        raise ValueError("a time without a zone")


@lru_cache(maxsize=256)
def _public(country: str, year: int, language: str) -> dict[date, str]:
    wanted = "ja" if language == "ja" or language.startswith("ja-") else "en_US"
    supported = holidays.country_holidays(country).supported_languages
    return dict(holidays.country_holidays(country, years=year, language=wanted if wanted in supported else None))
