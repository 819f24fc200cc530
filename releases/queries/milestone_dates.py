"""When each milestone of a release is due, counted back from T-0 (P3)."""

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from environments import calendar
from environments.models import Environment, Holiday
from releases.procedures.document import Procedure as Content

# The edge that a milestone guards → the states in which it is its turn, each with the permission of those who take the
# release on.
TURNS = {
    "lock_scope": {"draft": "prepare"},
    "complete_testing": {"scope_locked": "prepare"},
    "mark_approved": {"testing_completed": "prepare", "in_review": "approve"},
    "complete_final_check": {"approved": "sign_final_check"},
    "start": {"final_check_completed": "schedule"},
}


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
        if calendar.is_working_day(day, country, company=company):
            count -= 1
    return day
