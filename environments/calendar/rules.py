"""The rule of a recurring window, and the windows that it gives."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from heapq import heappop, heappush
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

from dateutil.rrule import rrulestr
from django.utils.translation import gettext as _

from environments.calendar.days import holidays_on, is_working_day
from environments.times import aware
from environments.wall_clock import instant

HORIZON = timedelta(days=11000)
# The farthest that a holiday may move a window; a longer series of holidays leaves it out.
FARTHEST = 31
_ALLOWED = frozenset(("FREQ", "INTERVAL", "BYDAY", "BYMONTH", "BYMONTHDAY", "BYSETPOS", "WKST", "UNTIL"))


@dataclass(frozen=True)
class WindowRule:
    """A recurring window. `rrule` picks local days from `since` on; `day_offset` moves each by days.

    on_holiday: what becomes of one that would open on a public holiday of `country` or on an entered
    holiday: flag (it is held), skip, earlier or later (moved to the nearest working day before or after).
    """

    name: str
    rrule: str
    zone: str
    start: time
    length: timedelta
    since: date = date(2024, 1, 1)
    day_offset: int = 0
    on_holiday: str = "flag"
    country: str = ""
    company: Mapping[date, str] = field(default_factory=dict, hash=False)


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
class Occurrence:
    """The outcome of one day that a rule names: its holidays, and the window, or none when it is left out.

    named: the window as it would be on that day if it were no holiday.
    """

    day: date
    holidays: tuple[str, ...]
    window: Window | None
    named: Window

    @property
    def moved(self) -> bool:
        """Tell whether the window opens on another day than the rule names."""
        return self.window is not None and self.window != self.named


def rule_fault(text: str) -> str:
    """Return what is wrong with a recurrence (RFC 5545, days only), or an empty text."""
    parts = dict(part.partition("=")[::2] for part in text.split(";"))
    if unknown := sorted(set(parts) - _ALLOWED):
        return _("has %(parts)s, which a rule of days may not have") % {"parts": repr(", ".join(unknown))}
    if parts.get("FREQ") not in ("DAILY", "WEEKLY", "MONTHLY", "YEARLY"):
        return _("needs FREQ=DAILY, WEEKLY, MONTHLY or YEARLY")
    if parts.get("INTERVAL", "1").strip() in ("", "0") or parts.get("INTERVAL", "1").startswith("-"):
        return _("needs an INTERVAL of one or more")
    numbered = [day for day in parts.get("BYDAY", "").split(",") if day[:1] in "+-0123456789" and day]
    if numbered and parts["FREQ"] not in ("MONTHLY", "YEARLY"):
        return _("has numbered weekdays (%(days)s), which only FREQ=MONTHLY and YEARLY allow") % {
            "days": ", ".join(numbered)
        }
    if "UNTIL" in parts and not re.fullmatch(r"\d{8}", parts["UNTIL"]):
        return _("ends with a time of day; a rule of days ends with its last day, such as UNTIL=20271231")
    since = date(2024, 1, 1)
    first = datetime.combine(since, time())
    try:
        met = next(_days_of(text, since, first, first + timedelta(days=4400)), None)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return _("is not a recurrence rule of RFC 5545")
    return "" if met else _("matches no day within twelve years")


def windows(rule: WindowRule, after: datetime, count: int) -> list[Window]:
    """Return the next `count` windows that end after `after`, the present one included, in order."""
    return list(islice(ahead(rule, after), count))


def windows_between(rule: WindowRule, start: datetime, end: datetime) -> list[Window]:
    """Return the windows of a rule that end after `start` and begin before `end`, in order."""
    return list(takewhile(lambda window: window.start < end, ahead(rule, start)))


def occurrences(rule: WindowRule, after: datetime, count: int, *, language: str = "ja") -> list[Occurrence]:
    """Return the outcomes of the next `count` days that a rule names, those left out included, in order."""
    return list(islice(_occurrences(rule, after, language), count))


def ahead(rule: WindowRule, after: datetime) -> Iterator[Window]:
    """Yield the windows that end after `after`, in order; two that were moved to the same day are one."""
    last: date | None = None
    for _day, actual in _placed(rule, after):
        if actual is None or actual == last:
            continue
        window = _window(rule, actual)
        # A short window can fall into a gap as a whole; it has no instant then.
        if window.end > after and window.end > window.start:
            last = actual
            yield window


def _occurrences(rule: WindowRule, after: datetime, language: str) -> Iterator[Occurrence]:
    for day, actual in _placed(rule, after):
        window = _window(rule, actual or day)
        if window.end > after:
            names = holidays_on(day, rule.country, language=language, company=rule.company)
            held = actual is not None and window.end > window.start
            yield Occurrence(day, tuple(names), window if held else None, _window(rule, day))


def _window(rule: WindowRule, day: date) -> Window:
    wall = datetime.combine(day, rule.start)
    return Window(instant(wall, rule.zone), instant(wall + rule.length, rule.zone), rule.zone, rule.name)


def _placed(rule: WindowRule, after: datetime) -> Iterator[tuple[date, date | None]]:
    """Yield the local days that a rule names and where each is held (None: nowhere), in the order of the latter."""
    aware(after)
    local = after.astimezone(ZoneInfo(rule.zone)).replace(tzinfo=None)
    farthest = timedelta(days=FARTHEST)
    slack = (
        rule.length
        + timedelta(days=2 + abs(rule.day_offset))
        + (farthest if rule.on_holiday == "later" else timedelta())
    )
    first = datetime.combine((local - slack).date(), time())
    last = max(first, datetime.combine(rule.since, time())) + HORIZON
    waiting: list[tuple[date, date, bool]] = []
    for named in _days_of(rule.rrule, rule.since, first, last):
        day = named.date() + timedelta(days=rule.day_offset)
        actual = _resolved(rule, day)
        heappush(waiting, (actual or day, day, actual is not None))
        # Windows still to come are held after this day.
        bound = day - farthest if rule.on_holiday == "earlier" else day
        while waiting and waiting[0][0] <= bound:
            yield _out(heappop(waiting))
    while waiting:
        yield _out(heappop(waiting))


def _out(entry: tuple[date, date, bool]) -> tuple[date, date | None]:
    place, day, held = entry
    return day, place if held else None


def _resolved(rule: WindowRule, day: date) -> date | None:
    if rule.on_holiday == "flag" or not holidays_on(day, rule.country, company=rule.company):
        return day
    if rule.on_holiday == "skip":
        return None
    step = timedelta(days=-1 if rule.on_holiday == "earlier" else 1)
    for _turn in range(FARTHEST):
        day += step
        if is_working_day(day, rule.country, company=rule.company):
            return day
    return None


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
