"""Medians and percentiles of lengths of time."""

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """Seconds of several things: how many, the median, the 90th percentile; None for no values."""

    count: int
    median: float | None
    p90: float | None

    @classmethod
    def of(cls, seconds: Iterable[float | None]) -> "Spread":
        """Compute from the known values; an even number of values has the mean of its two middle ones."""
        known = sorted(value for value in seconds if value is not None)
        if not known:
            return cls(0, None, None)
        middle = len(known) // 2
        median = known[middle] if len(known) % 2 else (known[middle - 1] + known[middle]) / 2
        return cls(len(known), median, known[math.ceil(0.9 * len(known)) - 1])
