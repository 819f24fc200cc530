"""window:create_freeze: a time in which nothing is released, once or recurring, in one environment or in several."""

from collections.abc import Callable, Collection
from datetime import date, datetime, time, timedelta
from typing import Any

from django.utils.translation import gettext as _

from audit.clock import now
from audit.operation import operation
from audit.plain import is_blank, plain
from audit.refusals import InvalidInput
from environments import access, calendar
from environments.models import Application, ChangeFreeze, Environment

LONGEST_MINUTES = 7 * 24 * 60
# How many days a recurring freeze may go on before somebody looks at it again.
LONGEST_DAYS = 2 * 366


def freeze(
    environment_id: int,
    *,
    name: str,
    starts_at: datetime,
    ends_at: datetime,
    reason: str,
    absolute: bool = False,
    application_id: int | None = None,
    also_in: Collection[int] = (),
) -> ChangeFreeze:
    """Close an environment for a time, for one application or for all of them; deny beats allow, overlaps are fine.

    also_in: further environments that are closed by the same operation, each with a freeze of its own that is lifted by
    itself.
    """

    def times(environment: Environment) -> dict[str, Any]:
        if ends_at <= starts_at or ends_at <= now():
            raise InvalidInput(_("The end lies before the beginning or in the past."))
        return {"starts_at": starts_at, "ends_at": ends_at}

    return _set([environment_id, *also_in], times, name, reason, absolute, application_id)


def freeze_recurring(
    environment_id: int,
    *,
    name: str,
    rrule: str,
    start: time,
    length_minutes: int,
    first_day: date,
    last_day: date,
    reason: str,
    absolute: bool = False,
    application_id: int | None = None,
    also_in: Collection[int] = (),
) -> ChangeFreeze:
    """Close an environment again and again: on the days of a rule between two days (both included), from a local time
    in its own zone for some minutes. Raises InvalidInput for a rule that is none or meets no day.
    """

    def times(environment: Environment) -> dict[str, Any]:
        found, faults = recurring(environment, rrule, start, length_minutes, first_day, last_day)
        if faults:
            raise InvalidInput(*faults)
        return found

    return _set([environment_id, *also_in], times, name, reason, absolute, application_id)


def recurring(
    environment: Environment, rrule: str, start: time, length_minutes: int, first_day: date, last_day: date
) -> tuple[dict[str, Any], list[str]]:
    """Return the columns of a recurring freeze in an environment, and what is wrong with it, in sentences."""
    text = rrule.strip().upper()
    faults = [_("The rule %(fault)s.") % {"fault": fault}] if (fault := calendar.rule_fault(text)) else []
    if "UNTIL=" in text:
        faults.append(_("The rule contains UNTIL. Enter the last day in its own field instead."))
    if not 0 < length_minutes <= LONGEST_MINUTES:
        faults.append(_("A freeze lasts from one minute to seven days each time."))
    if not timedelta(0) <= last_day - first_day <= timedelta(days=LONGEST_DAYS):
        faults.append(_("The last day lies before the first, or more than two years after it."))
    if faults:
        return {}, faults
    text += f";UNTIL={last_day:%Y%m%d}"
    rule = calendar.WindowRule("", text, environment.zone, start, timedelta(minutes=length_minutes), first_day)
    begins = calendar.instant(datetime.combine(first_day, time()), environment.zone)
    far = calendar.instant(datetime.combine(last_day + timedelta(days=2), time()), environment.zone)
    met = [window for window in calendar.windows_between(rule, begins, far) if window.end > now()]
    if not met:
        return {}, [_("The rule matches no future day between the first day and the last day.")]
    columns = {"rrule": text, "start": start, "length_minutes": length_minutes}
    return columns | {"starts_at": met[0].start, "ends_at": max(window.end for window in met)}, []


def _set(
    places: list[int],
    times: Callable[[Environment], dict[str, Any]],
    name: str,
    reason: str,
    absolute: bool,
    application_id: int | None,
) -> ChangeFreeze:
    targets = [(Environment, pk) for pk in dict.fromkeys(places)]
    with operation("window:create_freeze", *targets, reason=reason, sign=True) as op:
        account = access.current_account()
        environments = [op.get(Environment, pk) for _model, pk in targets]
        for environment in environments:
            account = access.require("plan", environment, application=application_id)
        if is_blank(reason):
            raise InvalidInput(_("A freeze needs a reason."))
        application = None
        if application_id is not None:
            application = Application.objects.filter(pk=application_id).first()
            if application is None:
                raise InvalidInput(_("The selected application does not exist."))
        made = [
            ChangeFreeze.objects.create(
                name=plain(name, _("name")),
                environment=environment,
                application=application,
                full=absolute,
                reason=reason,
                created_by=account,
                **times(environment),
            )
            for environment in environments
        ]
        op.about(made[0], freezes=[row.pk for row in made])
        op.created += made[1:]
    return made[0]
