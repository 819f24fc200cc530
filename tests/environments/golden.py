"""Make golden_windows.json: dates and lengths found by plain arithmetic, without the product and without dateutil.

python -m tests.environments.golden > tests/environments/golden_windows.json
"""

from __future__ import annotations

import calendar
import json
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

ZONES = ("Asia/Tokyo", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe")
YEARS = range(2024, 2041)
MINUTE = timedelta(minutes=1)
OPENS, CLOSES = 1, 5


def third_wednesday(year: int, month: int) -> date:
    """Return the third of the days in the Wednesday column of the month's printed page."""
    column = [week[calendar.WEDNESDAY] for week in calendar.monthcalendar(year, month)]
    return date(year, month, [day for day in column if day][2])


def minutes_open(zone: str, day: date) -> list[datetime]:
    """Return each minute (UTC) at which the wall clock shows that day and a time from 01:00 until before 05:00."""
    place = ZoneInfo(zone)
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=14)
    found = []
    for number in range(40 * 60):
        moment = begin + number * MINUTE
        local = moment.astimezone(place)
        if local.date() == day and OPENS <= local.hour < CLOSES:
            found.append(moment)
    return found


def changes(zone: str) -> list[date]:
    """Return the local days on which the offset from UTC is another at their end than at their beginning."""
    place = ZoneInfo(zone)
    found = []
    moment, end = datetime(YEARS[0], 1, 1, tzinfo=UTC), datetime(YEARS[-1] + 1, 1, 1, tzinfo=UTC)
    while moment < end:
        later = moment + timedelta(minutes=30)
        if moment.astimezone(place).utcoffset() != later.astimezone(place).utcoffset():
            found.append(later.astimezone(place).date())
        moment = later
    return found


def table() -> dict[str, dict[str, dict[str, str]]]:
    """Return per zone: the third Wednesdays as opening instants (UTC) by year, and clock changes as day → hours."""
    wednesdays: dict[str, dict[str, str]] = {}
    lengths: dict[str, dict[str, str]] = {}
    for zone in ZONES:
        changed = changes(zone)
        wednesdays[zone] = {}
        for year in YEARS:
            days = [third_wednesday(year, month) for month in range(1, 13)]
            assert not set(days) & set(changed)
            opened = [minutes_open(zone, day)[0] for day in days]
            wednesdays[zone][str(year)] = " ".join(
                f"{day:%m-%d}={moment:%m-%dT%H:%MZ}" for day, moment in zip(days, opened, strict=True)
            )
        lengths[zone] = {day.isoformat(): f"{len(minutes_open(zone, day)) / 60:g}" for day in changed}
    return {"third_wednesdays": wednesdays, "clock_changes": lengths}


def text() -> str:
    """Return the file."""
    return json.dumps(table(), indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    print(text(), end="")
