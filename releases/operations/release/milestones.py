"""When each milestone of a release is due, counted back from T-0: inside the operations that move T-0 (P3)."""

from collections.abc import Collection
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from environments import calendar
from environments.models import Environment, Holiday
from releases.models import Milestone, Release
from releases.procedures.document import Procedure as Content


def due_dates(content: Content, start: datetime, environment: Environment, *, emergency: bool) -> dict[str, datetime]:
    """Return milestone key → when it is due: hours before T-0 in an emergency, else days of the calendar or of work."""
    if emergency:
        return calendar.milestone_hours(start, content.emergency_hours())
    regular = content.schedule.regular
    company = {h.day: h.name_ja for h in Holiday.objects.filter(removed_at=None)}
    t0 = start.astimezone(ZoneInfo(environment.zone)).date()
    clock = time.fromisoformat(regular.milestones_due)
    due = {}
    for row in content.milestones:
        if row.days_before == 0:
            due[row.key] = start
            continue
        day = t0 - timedelta(days=row.days_before)
        if row.unit == "working_days":
            day = working_day_before(t0, row.days_before, regular.country, company)
        due[row.key] = calendar.instant(datetime.combine(day, clock), environment.zone)
    return due


def working_day_before(day: date, count: int, country: str, company: dict[date, str]) -> date:
    """Return the day `count` working days before `day`."""
    while count > 0:
        day -= timedelta(days=1)
        if day.weekday() < 5 and not calendar.holidays_on(day, country, company=company):
            count -= 1
    return day


def lay(
    release: Release,
    content: Content,
    environment: Environment,
    start: datetime,
    moment: datetime,
    *,
    reopened: Collection[str] = (),
) -> None:
    """Make or move the milestones of a release for T-0; what a move puts into the past is due immediately (once).

    `reopened`: the edges whose milestones are to be done once more because of the move.
    """
    due = due_dates(content, start, environment, emergency=release.kind == Release.Kind.EMERGENCY)
    for row in content.milestones:
        milestone = Milestone.objects.filter(release=release, key=row.key).first() or Milestone(
            release=release, key=row.key, label_ja=row.ja, label_en=row.en, guards=row.guards
        )
        again = milestone.done_at is not None and row.guards in reopened
        over = milestone.pk is not None and not milestone.due_immediately and milestone.due_at < moment and not again
        if again:
            milestone.done_at = milestone.done_by = None
        # What was late is not made punctual by moving T-0, not even to a later window and back again.
        milestone.was_late |= over and milestone.done_at is None
        excused = not over and not milestone.was_late
        if milestone.done_at is not None:
            excused |= milestone.was_late  # done at a later window: those who consent see that it was for another one
        if again or milestone.due_at != due[row.key]:
            milestone.reminded = []  # of another date, or of another time of doing it
        milestone.due_at = due[row.key]
        milestone.due_immediately = due[row.key] < moment and excused
        if milestone.due_immediately and milestone.done_at is None:
            milestone.due_at = moment
        milestone.save()
