"""The monthly runs of the saved audit tests: when one is due, and those that were kept as events."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from audit.models import Event
from environments import calendar
from environments.times import ZONE

OUTCOME = "audit:run_saved_tests"


@dataclass(frozen=True)
class Run:
    """A kept run. number: of its event, once it has one. results: for each test `test`, `examined`, `rows` (how many),
    `listing` (they are no exceptions), `digest` of all rows and the `first` ones.
    """

    number: int | None
    at: datetime
    since: datetime
    until: datetime
    results: list[dict[str, Any]]

    @property
    def month(self) -> str:
        """Return the month, as 2026/11."""
        return f"{self.since.astimezone(ZoneInfo(ZONE)):%Y/%m}"

    @property
    def exceptions(self) -> int:
        """Return how many tests found exceptions."""
        return sum(1 for one in self.results if one["rows"] and not one["listing"])


def month_before(moment: datetime) -> tuple[datetime, datetime]:
    """Return the first moment of the last month that is over, and that of the next one, in the office's zone."""
    this = moment.astimezone(ZoneInfo(ZONE)).replace(day=1, tzinfo=None)
    begins = (this - timedelta(days=1)).replace(day=1)
    at_midnight = (one.replace(hour=0, minute=0, second=0, microsecond=0) for one in (begins, this))
    since, until = (calendar.instant(one, ZONE) for one in at_midnight)
    return since, until


def runs(most: int = 13) -> list[Run]:
    """Return the newest runs, the last one first."""
    events = Event.objects.filter(operation=OUTCOME, outcome="done").select_related("ledger_entry")
    return [_run(event) for event in events.order_by("-at", "-pk")[:most]]


def _run(event: Event) -> Run:
    kept = event.contents["after"]
    since, until = (datetime.fromisoformat(kept[name]) for name in ("since", "until"))
    number = event.ledger_entry.number if hasattr(event, "ledger_entry") else None
    return Run(number, event.at, since, until, kept["results"])


def missing(moment: datetime) -> list[tuple[datetime, datetime]]:
    """Return the months that are over and were not kept, the oldest first: those behind the newest kept one, or from
    the first event on.
    """
    first = Event.objects.order_by("at").values_list("at", flat=True).first()
    known = first if first is None else next((run.until for run in runs(1)), first)
    found = list[tuple[datetime, datetime]]()
    since, until = month_before(moment)
    while known is not None and until > known:
        found.insert(0, (since, until))
        since, until = month_before(since)
    return found


def due(moment: datetime) -> bool:
    """Tell whether a month is over whose run was not kept."""
    return bool(missing(moment))
