"""Turns counters into rates, over restarts of the counting process; called by all metric sources."""

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

COUNTERS = ("requests", "errors", "duration_sum", "duration_count")
# Metric → its counters.
DERIVED: Mapping[str, frozenset[str]] = {
    "error_rate": frozenset({"requests", "errors"}),
    "response_time": frozenset({"duration_sum", "duration_count"}),
}
STARTED = "started"


class Look(Protocol):
    """The parts of a reading that rates need (see Reading)."""

    @property
    def at(self) -> datetime:
        """The time (aware)."""

    @property
    def up(self) -> bool:
        """Whether there was an answer."""

    @property
    def values(self) -> dict[str, float]:
        """Raw numbers by name."""


def growth(earlier: Look | None, now: Look) -> dict[str, float]:
    """Return the growth of each counter since `earlier`; after a restart all of them count from zero.

    Counters in only one of the readings are left out. A restart in between hides the count before
    it: the growth is then a lower bound, never negative. Nothing for counters of a process that ran at `earlier`
    already (seconds since 1970): another process of the service answered, or a part of its counters is gone.
    """
    if earlier is None or not earlier.up or not now.up or now.at <= earlier.at:
        return {}
    both = [name for name in COUNTERS if name in earlier.values and name in now.values]
    begun, before = now.values.get(STARTED), earlier.values.get(STARTED)
    restarted = begun is not None and before is not None and begun != before
    grown = {name: now.values[name] - earlier.values[name] for name in both}
    # A fallen counter means that all restarted: others may already have overtaken their old values. So do more
    # new errors than new requests.
    if restarted or min(grown.values(), default=0.0) < 0 or grown.get("errors", 0.0) > grown.get("requests", math.inf):
        if begun is not None and before is not None and begun <= earlier.at.timestamp():
            return {}
        return {name: max(0.0, now.values[name]) for name in both}
    return grown


def derived(earlier: Look | None, now: Look) -> dict[str, float | None]:
    """Return the metrics of two readings: available rates, and every other number as read."""
    grown = growth(earlier, now)
    requests, errors = grown.get("requests", 0.0), grown.get("errors")
    seconds, count = grown.get("duration_sum"), grown.get("duration_count", 0.0)
    found: dict[str, float | None] = {
        name: value for name, value in now.values.items() if name not in COUNTERS and name != STARTED
    }
    if requests > 0 and errors is not None:
        found["error_rate"] = min(1.0, errors / requests)
    if count > 0 and seconds is not None:
        found["response_time"] = seconds / count
    return found
