"""The contract of a metric source: reads the present state of a target as numbers. Sources know no model."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Annotated, Any, ClassVar

from environments.targets.base import Parameters, StepFailed, TargetSpec
from environments.targets.declared import StringConstraints
from environments.targets.ssh import call, place
from releases.metric_sources.counters import COUNTERS, DERIVED, derived

NOTHING: Mapping[str, str] = MappingProxyType({})
# A source answers within 5 s; reaching its host takes at most as long.
SECONDS_ELSEWHERE = 10.0
# Permitted names of a source's numbers: a metric, or one of the counters behind two metrics.
MetricName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=60)]


@dataclass(frozen=True)
class Reading:
    """One reading of a target at `at` (aware, UTC): raw numbers by name; `up` = the source answered.

    error: why numbers are missing. stale: the numbers are older than the source's limit.
    """

    at: datetime
    up: bool
    values: dict[str, float]
    error: str = ""
    stale: bool = False


class MetricSource(ABC):
    """One metric source. `read` reads once, `derive` turns two readings into the monitored metrics."""

    name: ClassVar[str]
    parameters: ClassVar[type[Parameters]]
    # Whether `read` needs the target's configuration (with secrets); other sources do not get it.
    needs_configuration: ClassVar[bool] = False
    # Whether `read` runs a program of the target.
    runs_program: ClassVar[bool] = False

    @abstractmethod
    def read(self, target: TargetSpec, parameters: Any, configuration: Mapping[str, str] = NOTHING) -> Reading:
        """Read once, within 5 s; a source without an answer returns up=False with the reason in `error`."""

    def own(self, parameters: Any) -> bool:
        """Tell whether the service itself answers, so that a missing answer means a down service."""
        return False

    @abstractmethod
    def provides(self, parameters: Any) -> frozenset[str]:
        """Return the names of the metrics that the source can provide."""

    def remember(self, earlier: Reading | None, now: Reading, parameters: Any) -> Reading:
        """Return the present reading with the values of the earlier one that a later reading needs."""
        return now

    def derive(self, earlier: Reading | None, now: Reading, parameters: Any) -> dict[str, float | None]:
        """Return metric name → value, None for no data.

        error_rate: share 0..1 of requests since `earlier`; response_time: seconds, mean since `earlier`. A counter
        that fell (restart) counts from zero, never negative; no requests in between = no data for rate and time.
        Any other name is the value as read (resource_use: share 0..1, the worst of the target's; service_down: 0, 1, or
        no data for another page than that of the numbers: a proxy may have given it).
        """
        found = derived(earlier, now) if now.up else {}
        if self.own(parameters):
            unread = now.up and bool(now.error) and not now.values
            found["service_down"] = None if unread else float(not now.up)
        return {name: found.get(name) for name in self.provides(parameters)}


class TargetSource(MetricSource):
    """A source on the target itself: it is read on the target's host."""

    def read(self, target: TargetSpec, parameters: Any, configuration: Mapping[str, str] = NOTHING) -> Reading:
        """Read once; a host or a data store that cannot be used returns up=False."""
        at = datetime.now(UTC)
        try:
            if not place.lies_elsewhere(target):
                return self.look(target, parameters, configuration)
            found = call.ask(
                target, "look", kind=self, parameters=parameters, configuration=configuration, seconds=SECONDS_ELSEWHERE
            )
        except StepFailed as failed:
            return Reading(at, False, {}, str(failed)[:200])
        return Reading(**found)

    def answer(self, target: TargetSpec, parameters: Any, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the reading as JSON, on the host; given: configuration."""
        return asdict(self.look(target, parameters, given["configuration"]))

    @abstractmethod
    def look(self, target: TargetSpec, parameters: Any, configuration: Mapping[str, str] = NOTHING) -> Reading:
        """Read once, on the machine of the target; see MetricSource.read."""


def greatest(numbers: Iterable[tuple[str, float | None]]) -> dict[str, float]:
    """Return name → the greatest of its numbers; None is left out."""
    found: dict[str, float] = {}
    for name, number in numbers:
        if number is not None:
            found[name] = max(number, found.get(name, number))
    return found


def is_stale(measured: float | None, at: datetime, seconds: float) -> bool:
    """Tell whether a time (seconds since 1970) is no proof of fresh numbers: unknown, older than so many seconds, or as
    far ahead of `at`, as milliseconds are. A time ahead would never become old.
    """
    return measured is None or abs(at.timestamp() - measured) > seconds


def provided_by(names: Mapping[str, Any]) -> frozenset[str]:
    """Return the metrics behind these names: counters provide the derived ones, other names themselves."""
    found = {name for name in names if name not in COUNTERS}
    return frozenset(found | {metric for metric, needs in DERIVED.items() if needs <= set(names)})
