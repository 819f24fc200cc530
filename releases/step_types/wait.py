"""A step type: a pause until a time or for some seconds. No worker is held, and a stop ends it."""

import re
from datetime import UTC, datetime, time, timedelta
from typing import Annotated, Any, ClassVar
from zoneinfo import ZoneInfo, available_timezones

from environments.targets.base import Parameters, Probe, StepContext
from environments.targets.declared import AfterValidator, Field, model_validator
from environments.targets.target import Held, TargetStep, journal_lines, journal_once
from environments.targets.words import gettext as _
from environments.wall_clock import instant

LONGEST_SECONDS = 86400
EFFECT = "wait:over"


def _until(value: str) -> str:
    if re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", value):
        return value
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as error:
        raise ValueError(_("must be HH:MM, or a date and time with its offset")) from error
    if moment.tzinfo is None:
        raise ValueError(_("must be HH:MM, or a date and time with its offset"))
    return value


def _zone(value: str) -> str:
    if value not in available_timezones():
        raise ValueError(_("is no time zone such as Asia/Tokyo"))
    return value


class WaitParameters(Parameters):
    """seconds (at most a day), or until: "HH:MM" in `zone`, or a date and time with its offset; one of the two.

    HH:MM is the moment nearest to the step's beginning: one that passed less than 12 hours ago is over.
    """

    seconds: Annotated[float, Field(gt=0, le=LONGEST_SECONDS)] | None = None
    until: Annotated[str, AfterValidator(_until)] | None = None
    zone: Annotated[str, AfterValidator(_zone)] | None = None

    @model_validator(mode="after")
    def _one(self) -> "WaitParameters":
        if (self.seconds is None) == (self.until is None):
            raise ValueError(_("name seconds or until, one of the two"))
        if (self.until is not None and len(self.until) == 5) != (self.zone is not None):
            raise ValueError(_("HH:MM needs its zone, and nothing else does"))
        return self


class Wait(TargetStep):
    """Waits; the row of the step keeps the end of the pause, by the clock of the database."""

    name: ClassVar[str] = "wait"
    parameters: ClassVar[type[Parameters]] = WaitParameters
    repeatable: ClassVar[bool] = True
    estimate_seconds: ClassVar[float] = 60

    def waits_until(self, parameters: WaitParameters, began: datetime) -> datetime | None:
        """Return the end of the pause."""
        if parameters.seconds is not None:
            return began + timedelta(seconds=parameters.seconds)
        assert parameters.until is not None
        if parameters.zone is None:
            return datetime.fromisoformat(parameters.until)
        return _nearest(time.fromisoformat(parameters.until), began, parameters.zone)

    def make(self, context: StepContext, held: Held, parameters: WaitParameters) -> dict[str, Any]:
        """Note on the target that the pause is over; there are no facts."""
        journal_once(context, EFFECT)
        return {}

    def look(self, context: StepContext, held: Held, parameters: WaitParameters) -> tuple[Probe, dict[str, Any]]:
        """Done when this key's line is in the journal."""
        return (Probe.DONE if journal_lines(context.target, key=context.key, effect=EFFECT) else Probe.NOT_DONE), {}

    def describe(self, context: StepContext, parameters: WaitParameters) -> list[str]:
        """Return the line of the dry run."""
        if parameters.seconds is not None:
            return [_("wait %(seconds)g s") % {"seconds": parameters.seconds}]
        return [_("wait until %(time)s") % {"time": " ".join(filter(None, [parameters.until, parameters.zone]))}]


def _nearest(clock: time, began: datetime, zone: str) -> datetime:
    """Return the moment (UTC) of that clock time that lies nearest to `began`.

    Where clocks are set back, a night has two such moments; one that is left out is the first instant after the gap.
    """
    place, moments = ZoneInfo(zone), list[datetime]()
    for offset in (-1, 0, 1):
        wall = datetime.combine(began.astimezone(place).date() + timedelta(days=offset), clock)
        moments.append(instant(wall, zone))
        again = wall.replace(tzinfo=place, fold=1).astimezone(UTC)
        moments += [again] if again.astimezone(place).replace(tzinfo=None) == wall else []
    return min(moments, key=lambda moment: abs(moment - began))
