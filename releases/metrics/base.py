"""The contract of a metric source: reads the present state of a target as numbers. Sources know no model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from releases.steps.base import Parameters, TargetSpec


@dataclass(frozen=True)
class Reading:
    """One look at a target at `at` (aware, UTC): raw numbers by name; `up` = the source answered."""

    at: datetime
    up: bool
    values: dict[str, float]
    error: str = ""


class MetricSource(ABC):
    """One kind of source. `read` looks once, `derive` turns two readings into the watched metrics."""

    name: ClassVar[str]
    parameters: ClassVar[type[Parameters]]

    @abstractmethod
    def read(self, target: TargetSpec, parameters: Any) -> Reading:
        """Look once, within 5 s; a source that does not answer gives up=False with the reason in `error`."""

    @abstractmethod
    def derive(self, earlier: Reading | None, now: Reading, parameters: Any) -> dict[str, float | None]:
        """Return metric name → value, None for no data.

        Names: error_rate (share 0..1 of requests since `earlier`), response_time (seconds, mean since
        `earlier`), resource_use (share 0..1, the worst of the target's), service_down (0 or 1). A counter
        that fell (restart) counts from zero, never negative; no requests in between = no data for rate
        and time.
        """
