"""The instant of a local time. It runs on the hosts of targets too."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo


def instant(wall: datetime, zone: str) -> datetime:
    """Return the instant (UTC) of a naive local time: after the gap if in one, the earlier if twice."""
    place = ZoneInfo(zone)
    early = wall.replace(tzinfo=place, fold=0)
    as_utc = early.astimezone(UTC)
    if as_utc.astimezone(place).replace(tzinfo=None) == wall:
        return as_utc
    # In a gap fold=0 counts with the offset before it and fold=1 with the one after: the jump lies between.
    before = early.utcoffset()
    low, high = wall.replace(tzinfo=place, fold=1).astimezone(UTC), as_utc
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) // 2
        middle = middle.replace(microsecond=0)
        if middle.astimezone(place).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high
