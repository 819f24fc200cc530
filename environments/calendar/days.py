"""Days and instants: holidays, working days, milestones, and how a time is read and printed."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

import holidays
from django.utils.translation import gettext as _

from environments.times import aware


def latest_safe_start(end: datetime, needed: timedelta) -> datetime:
    """Return the last instant at which a deployment and its rollback, `needed` long, still fit before `end`."""
    return end - needed


def milestone_hours(t0: datetime, milestones: Mapping[str, int]) -> dict[str, datetime]:
    """Return for each milestone of an emergency (key → hours before T-0) when it is due (aware, UTC)."""
    aware(t0)
    return {key: t0.astimezone(UTC) - timedelta(hours=hours) for key, hours in milestones.items()}


def country_fault(country: str) -> str:
    """Return what is wrong with a country code for holidays (ISO 3166, two letters), or an empty text."""
    if country in holidays.list_supported_countries():
        return ""
    return _("The national holidays of “%(country)s” are not known.") % {"country": country}


def holidays_on(
    day: date, country: str, *, language: str = "ja", company: Mapping[date, str] | None = None
) -> list[str]:
    """Return the names of the public holiday and the entered one on a day; empty for neither. country: may be empty."""
    names = [_national(country, day.year, language).get(day, ""), (company or {}).get(day, "")]
    return [name for name in names if name]


def is_working_day(day: date, country: str, *, company: Mapping[date, str] | None = None) -> bool:
    """Tell whether a day is neither of the country's weekend nor public nor entered holiday."""
    return _national(country, day.year, "ja").is_working_day(day) and day not in (company or {})


def working_days_after(day: date, count: int, country: str, *, company: Mapping[date, str] | None = None) -> date:
    """Return the day `count` working days after `day` (no weekend, public or entered holiday)."""
    while count > 0:
        day += timedelta(days=1)
        if is_working_day(day, country, company=company):
            count -= 1
    return day


@lru_cache(maxsize=1024)
def _national(country: str, year: int, language: str) -> holidays.HolidayBase:
    if not country:
        return holidays.HolidayBase(years=year)
    wanted = "ja" if language == "ja" or language.startswith("ja-") else "en_US"
    supported = holidays.country_holidays(country).supported_languages
    return holidays.country_holidays(country, years=year, language=wanted if wanted in supported else None)
