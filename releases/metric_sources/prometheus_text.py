"""The metric source for pages in the text format of Prometheus; used by monitoring and checks."""

import math
import re
from collections.abc import Iterable, Mapping
from typing import ClassVar

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from pydantic import Field

from environments.targets.base import Parameters, Pattern, TargetSpec
from environments.targets.words import gettext as _
from releases.metric_sources.base import NOTHING, MetricName, MetricSource, Reading, is_stale, provided_by
from releases.metric_sources.counters import COUNTERS
from releases.metric_sources.pages import page_of


class PrometheusTextParameters(Parameters):
    """The address of the page and the names of its numbers.

    url: address of the page; empty = `metrics_url` of the target. seconds: deadline of one reading, at most 5.
    requests: counter with the label `status_label`; where that matches `error_status` they are errors.
    duration_sum, duration_count: seconds spent and number of requests.
    resource_use: gauge 0..1, the worst counts.
    started: gauge with the start of the process; when it changes, every counter has restarted.
    gauges: other metrics (name → gauge, the greatest counts). own: the service itself serves the page.
    stale_seconds: age from which numbers with their own time count as stale.
    """

    url: str = ""
    seconds: float = Field(default=5.0, gt=0, le=5)
    requests: str = "http_requests_total"
    status_label: str = "status"
    error_status: Pattern = "5.."
    duration_sum: str = "http_request_duration_seconds_sum"
    duration_count: str = "http_request_duration_seconds_count"
    resource_use: str = "resource_use_ratio"
    started: str = "process_start_time_seconds"
    gauges: dict[MetricName, str] = Field(default_factory=dict)
    own: bool = True
    stale_seconds: float = Field(default=300.0, gt=0)

    @property
    def used(self) -> set[str]:
        """The names of the series that are read."""
        own = (self.requests, self.duration_sum, self.duration_count, self.resource_use, self.started)
        return {*own, *self.gauges.values()}


class PrometheusText(MetricSource):
    """Reads counters and gauges from a page in the text format of Prometheus."""

    name: ClassVar[str] = "prometheus_text"
    parameters: ClassVar[type[Parameters]] = PrometheusTextParameters

    def read(
        self, target: TargetSpec, parameters: PrometheusTextParameters, configuration: Mapping[str, str] = NOTHING
    ) -> Reading:
        """Read once. No answer or a status of 500 and above is not up; an unreadable page is up without values."""
        at, page = page_of(target, parameters.url, parameters.seconds)
        if isinstance(page, Reading):
            return page
        try:
            families = list(text_string_to_metric_families(page.body.decode("utf-8")))
        except (ValueError, KeyError, IndexError, AttributeError) as error:
            # The parser has no exception of its own: it raises whatever it meets in unexpected input.
            return Reading(at, True, {}, _("The page cannot be read: %(why)s") % {"why": f"{error}"[:200]})
        values, used = values_of(families, parameters), parameters.used
        samples = [sample for family in families for sample in family.samples if sample.name in used]
        times = [float(sample.timestamp) for sample in samples if sample.timestamp]
        if any(is_stale(measured, at, parameters.stale_seconds) for measured in times):
            return Reading(at, True, values, _("The measured values are stale."), True)
        without = "requests" in values and "errors" not in values
        text = _("The metric %(name)s has series without the label “%(label)s”.")
        named = {"name": parameters.requests, "label": parameters.status_label}
        return Reading(at, True, values, text % named if without else "")

    def own(self, parameters: PrometheusTextParameters) -> bool:
        """Return True unless `own` says otherwise: the service itself serves its page."""
        return parameters.own

    def provides(self, parameters: PrometheusTextParameters) -> frozenset[str]:
        """Return the metrics of the page."""
        found = provided_by(dict.fromkeys((*COUNTERS, "resource_use", *parameters.gauges)))
        return found | {"service_down"} if parameters.own else found


def values_of(families: Iterable[Metric], parameters: PrometheusTextParameters) -> dict[str, float]:
    """Return the raw values by Ringi's names; a missing value, NaN and Inf are left out.

    A declared counter without a value is 0: nothing was counted so far. Requests without the label of their status may
    be errors or not, so these are left out.
    """
    samples: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in families:
        if family.type == "counter":
            samples.setdefault(f"{family.name}_total", [])
        for sample in family.samples:
            samples.setdefault(sample.name, []).append((sample.labels, float(sample.value)))
    is_error = re.compile(parameters.error_status)
    values: dict[str, float] = {}
    requests = samples.get(parameters.requests)
    if requests is not None:
        values["requests"] = sum(value for _labels, value in requests)
        states = [(labels.get(parameters.status_label, ""), value) for labels, value in requests]
        if all(state for state, _value in states):
            values["errors"] = sum(value for state, value in states if is_error.fullmatch(state))
    for name in ("duration_sum", "duration_count"):
        found = samples.get(getattr(parameters, name))
        if found:
            values[name] = sum(value for _labels, value in found)
    gauges = {**parameters.gauges, "resource_use": parameters.resource_use, "started": parameters.started}
    for name, gauge in gauges.items():
        found = samples.get(gauge)
        if found:
            values[name] = max(value for _labels, value in found)
    return {name: value for name, value in values.items() if math.isfinite(value)}
