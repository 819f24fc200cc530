"""window:set_rule: a recurring window of an environment or an application, beside the procedure's regular one (P1)."""

from datetime import date, time
from zoneinfo import ZoneInfo, available_timezones

from django.utils.translation import gettext as _

from audit.clock import now
from audit.operation import operation
from audit.plain import is_blank, plain
from audit.refusals import GateNotPassed, InvalidInput, NotPossible
from environments import access, calendar
from environments.models import ChangeWindow, Environment
from releases.operations.window.request import application_named, holiday_country, open_request

LONGEST_MINUTES = 7 * 24 * 60
FARTHEST_DAYS = 7


def set_rule(
    environment_id: int,
    *,
    name: str,
    name_en: str = "",
    application_id: int | None = None,
    replaces_id: int | None = None,
    rrule: str,
    start: time,
    length_minutes: int,
    zone: str = "",
    day_offset: int = 0,
    since: date | None = None,
    country: str = "",
    on_holiday: str = "flag",
    reason: str,
) -> ChangeWindow:
    """Create or replace a recurring window. In a protected environment it counts only when its request is approved.

    rrule: days in RFC 5545; start: local clock in `zone` (the environment's by default); since: the first day counted,
    today by default; country: the procedure's by default. Raises InvalidInput for an invalid rule, GateNotPassed for
    the procedure's own window.
    """
    targets: list[tuple[type, int]] = [(Environment, environment_id)]
    if replaces_id is not None:
        targets.append((ChangeWindow, replaces_id))
    with operation("window:set_rule", *targets, reason=reason) as op:
        environment = op.get(Environment)
        requester = access.require("request_window", environment, application=application_id)
        zone = zone or environment.zone
        window = ChangeWindow(
            name=plain(name, _("name")) if name.strip() else "",
            name_en=plain(name_en, _("name")) if name_en.strip() else "",
            environment=environment,
            application=application_named(application_id),
            rrule=rrule.strip().upper(),
            zone=zone,
            start=start,
            length_minutes=length_minutes,
            day_offset=day_offset,
            since=since or now().astimezone(ZoneInfo(environment.zone)).date(),
            country=country or holiday_country(application_id),
            on_holiday=on_holiday,
            reason=reason,
            requested_by=requester,
        )
        if fault := rule_faults(window):
            raise InvalidInput(*fault)
        if is_blank(reason):
            raise InvalidInput(_("A change window needs a reason."))
        if replaces_id is not None:
            window.replaces = _replaceable(op.get(ChangeWindow), window)
        if environment.protected:
            window.save()
            approval_request = open_request(window, requester, {"window": _as_text(window)}, ends=None)
            op.about(window, approval_request=approval_request.pk)
            op.notify_as("approval:request")
        else:
            window.in_effect_at = now()
            window.save()
            op.about(window)
    return window


def rule_faults(window: ChangeWindow) -> list[str]:
    """Return what is wrong with a recurring window, in sentences; none when it can be evaluated."""
    faults = []
    if not window.name:
        faults.append(_("A change window needs a name."))
    if fault := calendar.rule_fault(window.rrule):
        faults.append(_("The rule %(fault)s.") % {"fault": fault})
    if window.zone not in available_timezones():
        faults.append(_("There is no time zone “%(zone)s”.") % {"zone": window.zone})
    if not 0 < window.length_minutes <= LONGEST_MINUTES:
        faults.append(_("A change window lasts from one minute to seven days."))
    if abs(window.day_offset) > FARTHEST_DAYS:
        faults.append(_("A change window can be moved by seven days at most."))
    if fault := calendar.country_fault(window.country):
        faults.append(fault)
    if not faults and "UNTIL=" in window.rrule and (rule := window.as_rule()) and not calendar.windows(rule, now(), 1):
        faults.append(_("The rule matches no day to come: its last day (UNTIL) has passed."))
    if window.on_holiday not in ChangeWindow.OnHoliday.values:
        faults.append(_("Choose the rule for holidays."))
    return faults


def _replaceable(earlier: ChangeWindow, window: ChangeWindow) -> ChangeWindow:
    if earlier.environment_id != window.environment_id or earlier.application_id != window.application_id:
        raise InvalidInput(_("A change window can be replaced only by one of the same environment and application."))
    if earlier.extra:
        raise InvalidInput(_("An extra window cannot be replaced. Request another one."))
    if earlier.from_procedure:
        text = _("This change window comes from the procedure. Put another version of the procedure into effect.")
        raise GateNotPassed(text)
    if not ChangeWindow.objects.in_effect().filter(pk=earlier.pk).exists():
        raise NotPossible(_("The change window to be replaced is not in effect."))
    if earlier.replaced_by.filter(cancelled_at=None).exists():
        raise NotPossible(_("Another rule that would replace this change window waits for approval."))
    return earlier


def _as_text(window: ChangeWindow) -> str:
    """Return every value that is approved on one line, so that none can change without changing the digest."""
    replaced = f"; replaces {window.replaces_id}" if window.replaces_id else ""
    assert window.start is not None
    return (
        f"{window.rrule}; {window.start.isoformat()} {window.zone} +{window.length_minutes} min; offset "
        f"{window.day_offset};"
        f" since {window.since}; {window.country} {window.on_holiday}; {window.name} ({window.pk}){replaced}"
    )
