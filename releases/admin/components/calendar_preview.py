"""Effects of a window, a freeze or a holiday before it is saved: the lines of the operations' previews. Read only."""

from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.utils.translation import gettext as _

from audit.clock import now
from environments import calendar
from environments.language import labelled, language, listed
from environments.models import Application, ChangeFreeze, ChangeWindow, Environment, Holiday
from environments.operations.window.create_freeze import recurring
from environments.times import shown as when
from releases.admin.pages.calendar.entries import (
    AHEAD,
    Entry,
    deployments_between,
    fill,
    of_rule,
    overlap,
    read,
    windows_of,
)
from releases.operations.window.request import holiday_country
from releases.operations.window.set_rule import rule_faults

Lines = list[tuple[str, str]]
Time = tuple[datetime, datetime]


def _refused(faults: list[str]) -> Lines:
    return [(_("The input cannot be saved like this"), "\n".join(faults))]


def of_new_rule(environment: Environment, values: dict[str, Any]) -> Lines:
    """Return the next 24 windows of a rule; those on a holiday are flagged, moved or left out with the reason."""
    moment = now()
    window = ChangeWindow(
        environment=environment,
        application=Application.objects.filter(pk=values["application_id"]).first(),
        name=values["name"],
        name_en=values["name_en"],
        rrule=values["rrule"].strip().upper(),
        zone=values["zone"] or environment.zone,
        start=values["start"],
        length_minutes=values["length_minutes"],
        day_offset=values["day_offset"] or 0,
        since=values["since"] or moment.astimezone(ZoneInfo(environment.zone)).date(),
        country=values["country"],
        on_holiday=values["on_holiday"],
    )
    if faults := rule_faults(window):
        return _refused(faults)
    rows = read(moment)
    rule = window.as_rule(rows.company)
    assert rule is not None
    found = [of_rule(window, day) for day in calendar.occurrences(rule, moment, AHEAD, language=language())]
    return _windows(environment, found, rows.freezes) or [(_("Change windows"), _("This rule matches no future date."))]


def of_freeze(environment: Environment, values: dict[str, Any]) -> Lines:
    """Return what a new freeze would affect: windows, planned releases and scheduled deployments, by name."""
    start, end = values["starts_at"], values["ends_at"]
    if end <= start:
        return _refused([_("The end lies before the beginning or in the past.")])
    places = [environment, *Environment.objects.filter(pk__in=values["also_in"])]
    return [line for place in places for line in _closed(environment, place, values, [(start, end)])]


def of_recurring_freeze(environment: Environment, values: dict[str, Any]) -> Lines:
    """Return the next periods of a recurring freeze and what they would affect, environment by environment."""
    rule = {name: values[name] for name in ("rrule", "start", "length_minutes", "first_day", "last_day")}
    lines: Lines = []
    for place in [environment, *Environment.objects.filter(pk__in=values["also_in"])]:
        columns, faults = recurring(place, **rule)
        if faults:
            return _refused(faults)
        freeze = ChangeFreeze(environment=place, name=values["name"], **columns)
        times = [(span.starts_at, span.ends_at) for span in freeze.spans(now())]
        lines += _closed(environment, place, values, times)
    return lines


def _closed(environment: Environment, place: Environment, values: dict[str, Any], times: list[Time]) -> Lines:
    """Return what a freeze closes in a place, with its name where that is another environment."""
    said = [_time(place.zone, *time) for time in times[:AHEAD]]
    if (more := len(times) - AHEAD) > 0:
        said.append(_("and %(n)d more times") % {"n": more})
    lines: Lines = [(_("Frozen time"), "\n".join(said))]
    lines += _hit(place, values["application_id"], times, absolute=values["absolute"])
    others = [
        labelled(f.name, _time(place.zone, f.starts_at, f.ends_at))
        for f in place.freezes.in_effect().spans(times[0][0])
        if any(overlap(f.starts_at, f.ends_at, start, end) for start, end in times)
    ]
    if others:
        lines.append((_("Other change freezes at that time"), "\n".join(others[:AHEAD])))
    return lines if place == environment else [(f"{place} · {label}", words) for label, words in lines]


def of_lifting(freeze: ChangeFreeze, values: dict[str, Any]) -> Lines:
    """Return what lifting a freeze would open again."""
    moment, zone = now(), freeze.environment.zone
    times = [(max(span.starts_at, moment), span.ends_at) for span in freeze.spans(moment) if span.ends_at > moment]
    if not times:
        return []
    # Without the minute, which would differ when the person confirms.
    said = [f"{when(start, zone) if start > moment else _('now')} – {when(end, zone)}" for start, end in times]
    asked = [(_("lift requested by"), str(freeze.lift_requested_by))] if freeze.lift_requested_by is not None else []
    return [
        *asked,
        (_("Available again"), "\n".join(said[:AHEAD])),
        *_hit(freeze.environment, freeze.application_id, times, absolute=freeze.full),
    ]


def of_extra(environment: Environment, values: dict[str, Any]) -> Lines:
    """Return the extra window as it would be: in the zone of the environment, with holidays and freezes."""
    start, end = values["starts_at"], values["ends_at"]
    if end <= start:
        return _refused([_("The end lies before the beginning or in the past.")])
    rows = read(now())
    entry, country = (
        Entry(start, end, environment.zone, values["name"], "extra"),
        holiday_country(values["application_id"]),
    )
    day = start.astimezone(ZoneInfo(environment.zone)).date()
    entry.holidays = calendar.holidays_on(day, country, language=language(), company=rows.company)
    return _windows(environment, [entry], rows.freezes)


def of_withdrawal(window: ChangeWindow, values: dict[str, Any]) -> Lines:
    """Return what would lose its window without a window: the next windows, and the releases planned in them."""
    moment, environment = now(), window.environment
    removed = windows_of(environment, replace(read(moment), windows=[window], freezes=[]), moment)
    names = list(dict.fromkeys(str(r) for entry in removed for r in entry.releases))
    lost = (_("Planned releases that would lose their change window"), "\n".join(names) or _("none"))
    return [lost, *_windows(environment, removed, [])]


def of_holiday(instance: Any, values: dict[str, Any]) -> Lines:
    """Return which windows a new holiday would flag, move or leave out, and what is planned in them."""
    company = {**Holiday.objects.days(), values["day"]: values["name_ja"] if language() == "ja" else values["name_en"]}
    return _changed(company)


def of_working(holiday: Holiday, values: dict[str, Any]) -> Lines:
    """Return which windows the removal of a holiday would restore."""
    company = Holiday.objects.days()
    company.pop(holiday.day, None)
    return _changed(company)


def _changed(company: dict[Any, str]) -> Lines:
    moment = now()
    rows = replace(read(moment), freezes=[])
    after = replace(rows, company=company)
    lines: Lines = []
    for environment in Environment.objects.all():
        before = windows_of(environment, rows, moment)
        for old, new in zip(before, windows_of(environment, after, moment), strict=False):
            if (old.start, old.kind, old.holidays, old.note) == (new.start, new.kind, new.holidays, new.note):
                continue
            said = [f"{when(old.start, old.zone)} → {_words(new)}", *(str(r) for r in old.releases)]
            lines.append((f"{environment} · {new.name}", "\n".join(said)))
    return lines or [(_("Change windows"), _("The next change windows stay unchanged."))]


def _hit(environment: Environment, application_id: int | None, times: list[Time], *, absolute: bool) -> Lines:
    rows = read(times[0][0])
    windows = [
        e
        for e in windows_of(environment, replace(rows, freezes=[]), times[0][0])
        if any(overlap(start, end, e.start, e.end) for start, end in times)
        and e.kind != "skipped"
        and (application_id is None or e.application is None or e.application.pk == application_id)
    ]
    planned = [
        r
        for r in rows.planned
        if environment.protected
        and application_id in (None, r.application_id)
        and any(overlap(start, end, *r.window_in(environment)) for start, end in times)
    ]
    deployments = [
        r
        for r in deployments_between([environment], times[0][0], times[-1][1])
        if application_id in (None, r.application_id)
        and any(start <= r.scheduled_start_at < end for start, end in times if r.scheduled_start_at is not None)
    ]
    names = []
    for release in planned:
        passes = release.kind == release.Kind.EMERGENCY and not absolute
        note = f" ({_('emergency release allowed')})" if passes else ""
        names.append(f"{release} “{release.title}”: {when(release.window_in(environment)[0], environment.zone)}{note}")
    return [
        (_("Change windows"), "\n".join(_words(e) for e in windows) or _("none")),
        (_("Planned releases"), "\n".join(names) or _("none")),
        (
            _("Scheduled deployments"),
            "\n".join(labelled(r, when(r.scheduled_start_at, environment.zone)) for r in deployments) or _("none"),
        ),
    ]


def _windows(environment: Environment, found: list[Entry], freezes: list[ChangeFreeze]) -> Lines:
    for entry in found:
        fill(entry, freezes, [], environment)
    lines = [f"{place}. {_words(entry)}" for place, entry in enumerate(found, start=1)]
    return [(_("Next change windows"), "\n".join(lines))] if lines else []


def _time(zone: str, start: datetime, end: datetime) -> str:
    return f"{when(start, zone)} – {when(end, zone)}"


def _words(entry: Entry) -> str:
    said = [_time(entry.zone, entry.start, entry.end)]
    if entry.holidays:
        said.append(_("on a holiday: %(why)s") % {"why": listed(entry.holidays)})
    if entry.note and entry.kind in ("window", "skipped"):
        said.append(entry.note)
    if entry.frozen:
        said.append(_("frozen: %(name)s") % {"name": entry.frozen})
    return " · ".join(said)
