"""The calendar of an application as RFC 5545 at a secret address, for calendar programs: no session is needed.

It contains time, place and version, and nothing else: no step, no configuration, no reason in people's words.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import icalendar
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, HttpResponseNotFound
from django.utils import translation
from django.utils.cache import get_conditional_response
from django.utils.http import quote_etag
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from audit.clock import now
from environments import access, calendar
from environments.calendar.rules import FARTHEST
from environments.language import listed
from environments.models import Application, CalendarFeed, ChangeFreeze, ChangeWindow, Environment, Holiday
from releases.models import Release

AHEAD = timedelta(days=366)
BEHIND = timedelta(days=7)
# Removed entries stay in the calendar this long as cancelled, for programs that read it rarely.
CANCELLED_FOR = timedelta(days=30)
PLANNED = (*Release.PREPARING, "releasing", "monitoring")


@dataclass(frozen=True)
class Version:
    """The number of changes of a row, and the time of the last one; both only rise."""

    sequence: int
    at: datetime


Holidays = dict[date, Version]


@login_not_required
@require_safe
def feed(request: HttpRequest, secret: str) -> HttpResponse:
    """Serve one address. An unknown one, a revoked one and one of a deactivated account get the same answer."""
    row = (
        CalendarFeed.objects.filter(digest=CalendarFeed.digest_of(secret), revoked_at=None, account__is_active=True)
        .select_related("account", "application")
        .first()
    )
    if row is None or not access.may(row.account, "read", application=row.application_id):
        return _private(HttpResponseNotFound("Not found\n", content_type="text/plain; charset=utf-8"))
    with translation.override(row.account.language):
        body = document(row.application, now())
    etag = quote_etag(hashlib.sha256(body).hexdigest())
    answer = HttpResponse(body, content_type="text/calendar; charset=utf-8")
    answer.headers["ETag"] = etag
    answer.headers["Content-Disposition"] = f'inline; filename="{row.application.slug}.ics"'
    return _private(get_conditional_response(request, etag=etag, response=answer) or answer)


def _private(answer: HttpResponse) -> HttpResponse:
    answer.headers["Cache-Control"] = "private, no-cache"
    answer.headers["Referrer-Policy"] = "no-referrer"
    answer.headers["X-Robots-Tag"] = "noindex"
    return answer


def document(application: Application, moment: datetime) -> bytes:
    """Return the calendar of an application, in the language that is active; the same bytes while nothing changes."""
    made = icalendar.Calendar()
    made.add("PRODID", "-//Ringi//Change calendar//EN")
    made.add("VERSION", "2.0")
    made.add("CALSCALE", "GREGORIAN")
    made.add("X-WR-CALNAME", _("Releases of %(application)s") % {"application": application})
    made.add("REFRESH-INTERVAL", timedelta(hours=1), parameters={"VALUE": "DURATION"})
    company = Holiday.objects.days()
    holidays = _of_holidays()
    for environment in Environment.objects.all():
        for row in environment.windows.reaching(application).order_by("pk"):
            events = (
                _extra(row, environment, moment) if row.extra else _rule(row, environment, company, holidays, moment)
            )
            for event in events:
                made.add_component(event)
        for freeze in environment.freezes.reaching(application).order_by("pk"):
            for event in _freeze(freeze, environment, moment):
                made.add_component(event)
    for release in application.releases.exclude(scheduled_start_at=None).order_by("pk"):
        for event in _release(release, moment):
            made.add_component(event)
    return made.to_ical()


def _extra(row: ChangeWindow, environment: Environment, moment: datetime) -> Iterable[icalendar.Event]:
    window = row.as_window()
    if window is None or window.end < moment - BEHIND or _forgotten(row.cancelled_at, moment):
        return
    status = "CANCELLED" if row.cancelled_at else "CONFIRMED" if row.in_effect_at else "TENTATIVE"
    name = _("Extra window: %(name)s (%(environment)s)") % {"name": row, "environment": environment}
    yield _event(f"window-{row.pk}", name, window.start, window.end, status, _version(row))


def _rule(
    row: ChangeWindow, environment: Environment, company: dict[date, str], holidays: Holidays, moment: datetime
) -> Iterable[icalendar.Event]:
    rule = row.as_rule(company)
    # The replaced row itself is not written.
    replaced = (
        row.replaced_by.exclude(in_effect_at=None)
        .order_by("in_effect_at")
        .values_list("in_effect_at", flat=True)
        .first()
    )
    ended = min(filter(None, [row.cancelled_at, replaced]), default=None)
    if rule is None or row.in_effect_at is None or _forgotten(ended, moment):
        return
    version = _version(row)
    if replaced is not None:
        version = Version(version.sequence + 1, max(version.at, replaced))
    for day in calendar.occurrences(rule, moment - BEHIND, 400, language=translation.get_language() or "ja"):
        if day.named.start > moment + AHEAD:
            return
        window = day.window or day.named
        if window.end <= window.start:
            continue
        name = _("Change window: %(name)s (%(environment)s)") % {"name": row, "environment": environment}
        status = "CANCELLED" if ended or day.window is None else "CONFIRMED"
        # Named by the day of the rule, so that it keeps its name wherever it is moved.
        named = day.day - timedelta(days=row.day_offset)
        moved = [holidays[each] for each in _looked_at(rule, day.day, holidays) if each in holidays]
        own = Version(version.sequence + sum(v.sequence for v in moved), max([version.at, *(v.at for v in moved)]))
        event = _event(f"window-{row.pk}-{named:%Y%m%d}", name, window.start, window.end, status, own)
        if day.holidays:
            event.add("DESCRIPTION", _("On a holiday: %(names)s") % {"names": listed(day.holidays)})
        yield event


def _freeze(freeze: ChangeFreeze, environment: Environment, moment: datetime) -> Iterable[icalendar.Event]:
    if freeze.ends_at < moment - BEHIND or _forgotten(freeze.lifted_at, moment):
        return
    words = {"name": freeze, "environment": environment}
    name = (
        _("Full freeze: %(name)s (%(environment)s)") if freeze.full else _("Change freeze: %(name)s (%(environment)s)")
    )
    status = "CANCELLED" if freeze.lifted_at else "CONFIRMED"
    version = _version(freeze)
    for span in freeze.spans(moment - BEHIND):
        if span.starts_at > moment + AHEAD:
            return
        day = f"-{span.starts_at.astimezone(ZoneInfo(environment.zone)):%Y%m%d}" if freeze.rrule else ""
        yield _event(f"freeze-{freeze.pk}{day}", name % words, span.starts_at, span.ends_at, status, version)


def _release(release: Release, moment: datetime) -> Iterable[icalendar.Event]:
    for place in release.destinations[1:]:
        yield from _planned(release, moment, *release.window_in(place), place)
    yield from _planned(release, moment, release.scheduled_start_at, release.scheduled_end_at)


def _planned(
    release: Release, moment: datetime, start: datetime | None, end: datetime | None, later: Environment | None = None
) -> Iterable[icalendar.Event]:
    if start is None or end is None or end < moment - BEHIND:
        return
    version = _version(release)
    if release.state not in PLANNED and _forgotten(version.at, moment):
        return
    gone = release.state in ("cancelled", "rejected", "failed", "rolled_back")
    confirmed = ("final_check_completed", "releasing", "monitoring", "completed")
    status = "CANCELLED" if gone else "CONFIRMED" if release.state in confirmed else "TENTATIVE"
    name, uid = _("T-0: %(release)s") % {"release": release}, f"release-{release.pk}"
    if later is not None:
        name, uid = f"{release} → {later}", f"{uid}-{later.slug}"
    event = _event(uid, name, start, end, status, version)
    event.add("DESCRIPTION", f"{release.get_kind_display()} · {release.get_state_display()}")
    yield event


def _event(uid: str, name: str, start: datetime, end: datetime, status: str, version: Version) -> icalendar.Event:
    event = icalendar.Event()
    event.add("UID", f"{uid}@ringi")
    event.add("SUMMARY", name)
    # In UTC: the program shows its reader's own zone, and the feed needs no zone table.
    event.add("DTSTART", calendar_time(start))
    event.add("DTEND", calendar_time(max(end, start + timedelta(minutes=1))))
    event.add("STATUS", status)
    event.add("SEQUENCE", version.sequence)
    event.add("DTSTAMP", calendar_time(version.at))
    event.add("LAST-MODIFIED", calendar_time(version.at))
    event.add("TRANSP", "TRANSPARENT")
    event.add("CLASS", "PRIVATE")
    return event


def calendar_time(at: datetime) -> datetime:
    """Return a time as RFC 5545 writes it: UTC, whole seconds."""
    return at.astimezone(UTC).replace(microsecond=0)


def _forgotten(ended: datetime | None, moment: datetime) -> bool:
    return ended is not None and ended < moment - CANCELLED_FOR


def _version(row: Any) -> Version:
    """Return the version of a row from its snapshots: each change adds one."""
    dates = list(row.history.order_by("history_date").values_list("history_date", flat=True))
    return Version(len(dates) - 1, dates[-1])


def _of_holidays() -> Holidays:
    """Return day → version of each day that is or ever was a holiday: they move the windows of rules."""
    found: Holidays = {}
    rows = Holiday.history.order_by("history_date")  # type: ignore[attr-defined]
    for day, at in rows.values_list("day", "history_date"):
        found[day] = Version(found[day].sequence + 1 if day in found else 1, at)
    return found


def _looked_at(rule: calendar.WindowRule, day: date, ever: Holidays) -> list[date]:
    """Return the days that decide where the window of a day is held, as if every former holiday were one still. So no
    day is left out once it has been counted.
    """
    days, was = [day], dict.fromkeys(ever, "x")
    step = timedelta(days={"earlier": -1, "later": 1}.get(rule.on_holiday, 0))
    closed = bool(step) and bool(calendar.holidays_on(day, rule.country, company=was))
    while closed and len(days) <= FARTHEST:
        days.append(days[-1] + step)
        closed = not calendar.is_working_day(days[-1], rule.country, company=was)
    return days
