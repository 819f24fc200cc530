"""The calendar of changes: windows, freezes, holidays and milestones, as pure functions.

Gates, operations and pages call it; it knows no row. A window is written as local wall clock with its zone
beside it: a local time that does not exist on a day means the first instant after the gap, one that comes
twice means the earlier, and the end is start plus length *on the wall clock*, so that a window of
01:00-05:00 closes at 05:00 local time on every day of the year and is an hour shorter or longer when the
clocks change inside it. A window whose local day is a holiday is held and flagged, left out, or moved to the
nearest working day before or after, as its rule says; the day is the one on which it opens.
"""

from environments.calendar.days import (
    country_fault,
    holidays_on,
    is_working_day,
    latest_safe_start,
    milestone_hours,
    working_days_after,
)
from environments.calendar.openings import Answer, Freeze, explain, next_opening
from environments.calendar.rules import (
    Occurrence,
    Window,
    WindowRule,
    occurrences,
    rule_fault,
    windows,
    windows_between,
)
from environments.times import print_time
from environments.wall_clock import instant
