"""The period of an audit question: by default a fiscal year, in the office's zone."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.http import HttpRequest

from audit.clock import now
from environments.times import ZONE
from releases.admin.pages.timeline.page import moment_of
from releases.queries import fiscal_year as years


@dataclass(frozen=True)
class Period:
    """A period from `since` until before `until`; both are aware."""

    since: datetime
    until: datetime

    @property
    def first_day(self) -> str:
        """Return the first day as the form takes it."""
        return self.since.astimezone(ZoneInfo(ZONE)).date().isoformat()

    @property
    def last_day(self) -> str:
        """Return the last day as the form takes it."""
        return (self.until - timedelta(microseconds=1)).astimezone(ZoneInfo(ZONE)).date().isoformat()

    @property
    def words(self) -> str:
        """Return both days in readable form."""
        return f"{self.first_day} – {self.last_day}".replace("-", "/")

    @property
    def query(self) -> str:
        """Return the period as part of an address."""
        return f"since={self.first_day}&until={self.last_day}"


def fiscal_year(moment: datetime) -> Period:
    """Return the fiscal year (from April by default) that contains a moment."""
    return Period(*years.bounds(years.fiscal_year(moment)))


def period_of(request: HttpRequest) -> Period:
    """Return the period of a request; `since` and `until` are days, both inclusive."""
    year = fiscal_year(now())
    since = moment_of(request.GET.get("since", "").strip()[:40])
    until = moment_of(request.GET.get("until", "").strip()[:40], end=True)
    if since is None and until is None:
        return year
    since = since or fiscal_year(until or year.since).since
    until = until or fiscal_year(since).until
    return Period(since, until) if since < until else year
