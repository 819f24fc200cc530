"""The parts of a written procedure that say when: windows, freezes, milestones, and what an emergency is."""

from typing import Annotated, Literal

from pydantic import Field, Strict, StringConstraints

from releases.procedures.part import Condition, Item, Label, LeftOutIfEmpty, Part
from releases.procedures.values import (
    Clock,
    Day,
    Days,
    Flag,
    Hours,
    Key,
    Language,
    Positive,
    Recurrence,
    Text,
    WindowMinutes,
    Zone,
)

# The author's own words beside what Ringi says from the numbers; left out where there are none.
AuthorsWords = Annotated[Label | None, Field(exclude_if=lambda value: value is None)]


ShortText = Annotated[str, StringConstraints(pattern=r"\S", max_length=100)]


class WindowName(Label):
    """The name of a change window or freeze."""

    __pydantic_extra__: dict[Language, ShortText]
    ja: ShortText
    en: ShortText


class Regular(Part):
    """The regular window: a recurrence of local days, a local start and a length in minutes of wall clock.

    frequency, day, time: what the author's own text says of it, shown beside what the numbers say.
    releases_per_window: how many releases of one application may have an approval request for the same window.
    """

    name: WindowName
    frequency: AuthorsWords = None
    day: AuthorsWords = None
    time: AuthorsWords = None
    rrule: Recurrence
    zone: Zone
    start: Clock
    length_minutes: WindowMinutes
    day_offset: Annotated[int, Strict(), Field(ge=-1, le=1)] = 0
    on_holiday: Literal["flag", "skip", "earlier", "later"] = "flag"
    country: Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
    milestones_due: Clock = "18:00"
    releases_per_window: Annotated[Positive, Field(exclude_if=lambda value: value == 1)] = 1


class Freeze(WindowName):
    """A recurring time in which nothing is released: local days, a local start, and a length in minutes.

    full: it stops emergency releases too.
    """

    key: Key
    environments: tuple[Key, ...] = Field(min_length=1)
    rrule: Recurrence
    start: Clock = "00:00"
    length_minutes: Annotated[int, Strict(), Field(ge=1, le=92 * 24 * 60)]
    full: Flag = False


class Milestone(Item):
    """A milestone by days (calendar or working days) before T-0, and the edge of the release that waits for it."""

    when: Condition = None
    days_before: Days
    unit: Literal["calendar_days", "working_days"] = "calendar_days"
    guards: Literal["lock_scope", "complete_testing", "mark_approved", "complete_final_check", "start"]


class Reminders(Part):
    """How many hours before a milestone is due its owners are reminded."""

    hours_before: tuple[Hours, ...]


class EmergencyMilestone(Part):
    """The same milestone in an emergency, in hours before T-0."""

    key: Key
    hours_before: Hours


class StandardChange(Item):
    """A kind of change that the procedure itself approves beforehand, within its limits.

    applications: their keys; left out: all. risk: the risk classes that it may have; left out: all. per_week: how many
    releases of it may be approved for one week from Monday to Sunday. until: the last day on which one may start.
    """

    applications: Annotated[tuple[Text, ...], LeftOutIfEmpty] = ()
    risk: Annotated[tuple[Literal["low", "medium", "high"], ...], LeftOutIfEmpty] = ()
    per_week: Annotated[Positive | None, Field(exclude_if=lambda value: value is None)] = None
    until: Annotated[Day | None, Field(exclude_if=lambda value: value is None)] = None


class Review(Label):
    """A follow-up action, due within hours or working days."""

    within: Positive
    unit: Literal["hours", "working_days"]


class Standard(Part):
    """The standard changes; their approval rules are those of the subject `standard`.

    review: a follow-up action that each of them leaves; left out: none.
    """

    changes: tuple[StandardChange, ...] = Field(min_length=1)
    review: Annotated[Review | None, Field(exclude_if=lambda value: value is None)] = None


class Emergency(Part):
    """What makes a release an emergency, and how long its approval is valid."""

    criteria: tuple[Item, ...] = Field(min_length=1)
    approval: Label
    milestones: tuple[EmergencyMilestone, ...] = ()
    validity_hours: Annotated[Hours, Field(ge=1)]
