"""The check type that compares a metric source's numbers with limits; used by deployments."""

import time
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field, ValidationError, model_validator

from environments.targets.base import Parameters
from environments.targets.words import gettext as _
from releases.check_types.base import CheckContext, CheckResult, CheckType, Result
from releases.metric_sources import UnknownSource, source
from releases.metric_sources.base import NOTHING, MetricName, Reading
from releases.procedures.places import message_of

COUNTED_BY = {"error_rate": "requests", "response_time": "duration_count"}


class Limit(Parameters):
    """metric: one of the source's; at_most: highest value that passes."""

    metric: MetricName
    at_most: float = Field(ge=0, allow_inf_nan=False)


class MetricsParameters(Parameters):
    """source, source_parameters: the origin of the numbers. limits: all of them must hold.

    interval_seconds: time between two readings; 0 reads once: only resource_use and service_down are known.
    no_data_passes_when_idle: without a request in between, rates and times have no data; True passes that.
    """

    limits: tuple[Limit, ...] = Field(min_length=1)
    source: str = "prometheus_text"
    source_parameters: dict[str, Any] = Field(default_factory=dict)
    interval_seconds: float = Field(default=5.0, ge=0, le=60)
    no_data_passes_when_idle: bool = False

    @model_validator(mode="after")
    def _fits_the_source(self) -> "MetricsParameters":
        try:
            reader = source(self.source)
            wanted = reader.parameters.model_validate(self.source_parameters)
        except UnknownSource:
            raise ValueError(_("no metric source is called %(name)s") % {"name": self.source}) from None
        except ValidationError as error:
            fault = error.errors()[0]
            place = ".".join(["source_parameters", *map(str, fault["loc"])])
            raise ValueError(_("%(place)s: %(fault)s") % {"place": place, "fault": message_of(fault)}) from error
        if strange := sorted({row.metric for row in self.limits} - reader.provides(wanted)):
            raise ValueError(_("the source does not give %(metrics)s") % {"metrics": ", ".join(strange)})
        return self


class Metrics(CheckType):
    """Reads the service's numbers twice and compares the change in between with limits."""

    name: ClassVar[str] = "metrics"
    parameters: ClassVar[type[Parameters]] = MetricsParameters

    def run(self, context: CheckContext, parameters: MetricsParameters) -> CheckResult:
        """Measure once. A limit without data never passes, except for an idle service where that is allowed."""
        reader = source(parameters.source)
        wanted = reader.parameters.model_validate(parameters.source_parameters)
        given = context.configuration if reader.needs_configuration else NOTHING
        earlier = None
        if parameters.interval_seconds:
            earlier = reader.read(context.target, wanted, given)
            time.sleep(parameters.interval_seconds)  # the measured interval
        now = reader.read(context.target, wanted, given)
        values = {} if now.stale else reader.derive(earlier, now, wanted)
        limit = ", ".join(f"{row.metric} ≤ {row.at_most:g}" for row in parameters.limits)
        value = ", ".join(f"{row.metric} {_number(values.get(row.metric))}" for row in parameters.limits)
        result, lines = evaluate(parameters, values, earlier, now)
        errors = [reading.error for reading in (earlier, now) if reading is not None and reading.error]
        return CheckResult(result, value, limit, "\n".join([*lines, *errors]))


def evaluate(
    parameters: MetricsParameters, values: Mapping[str, float | None], earlier: Reading | None, now: Reading
) -> tuple[Result, list[str]]:
    """Return the worst result over all limits, and a sentence for each that does not pass."""
    failed, missing = [], []
    for row in parameters.limits:
        value = values.get(row.metric)
        if value is not None and value > row.at_most:
            failed.append(_("%(metric)s is above its limit.") % {"metric": row.metric})
        elif value is None and not (parameters.no_data_passes_when_idle and idle(row.metric, earlier, now)):
            missing.append(_("%(metric)s has no data.") % {"metric": row.metric})
    if failed:
        return Result.FAILED, failed + missing
    if missing and now.stale:
        return Result.STALE, missing
    if missing:
        # Without an answer nothing was measured; with one, the numbers are missing.
        return (Result.NO_DATA if now.up and (earlier is None or earlier.up) else Result.ERROR), missing
    return Result.PASSED, []


def idle(metric: str, earlier: Reading | None, now: Reading) -> bool:
    """Tell whether a metric lacks data only because no request came: its counter exists and did not grow."""
    counter = COUNTED_BY.get(metric, "")
    if earlier is None or not earlier.up or not now.up or counter not in now.values:
        return False
    return earlier.values.get(counter) == now.values[counter]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"
