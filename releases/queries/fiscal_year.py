"""Fiscal years: when one begins and ends. Numbers of changes, periods of pages and closed years follow them."""

from datetime import datetime
from zoneinfo import ZoneInfo

from django.conf import settings

from environments import calendar
from environments.times import ZONE


def fiscal_year(moment: datetime) -> int:
    """Return the fiscal year that contains a moment, named after the calendar year in which it begins."""
    local = moment.astimezone(ZoneInfo(ZONE))
    return local.year if local.month >= settings.FISCAL_YEAR_START_MONTH else local.year - 1


def bounds(year: int) -> tuple[datetime, datetime]:
    """Return the first moment of a fiscal year and that of the next one."""
    first, following = (datetime(y, settings.FISCAL_YEAR_START_MONTH, 1) for y in (year, year + 1))  # noqa: DTZ001
    return calendar.instant(first, ZONE), calendar.instant(following, ZONE)
