"""The metric source for pages in the text format of Prometheus; used by watches and checks."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import ClassVar

from django.utils.translation import gettext as _
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from pydantic import Field, field_validator

from releases.metrics.base import MetricSource, Reading
from releases.metrics.fetch import NoAnswer, fetch
from releases.steps.base import Parameters, TargetSpec

COUNTERS = ("requests", "errors", "duration_sum", "duration_count")


class PrometheusTextParameters(Parameters):
    """Where the numbers are and what they are called.

    url: address of the page; empty = `metrics_url` of the target. seconds: deadline of one look, at most 5.
    requests: counter with the label `status_label`; where that matches `error_status` they are errors.
    duration_sum, duration_count: seconds spent and number of requests.
    resource_use: gauge 0..1, the worst counts.
    started: gauge with the start of the process; when it changes, every counter began anew.
    """

    url: str = ""
    seconds: float = Field(default=5.0, gt=0, le=5)
    requests: str = "http_requests_total"
    status_label: str = "status"
    error_status: str = "5.."
    duration_sum: str = "http_request_duration_seconds_sum"
    duration_count: str = "http_request_duration_seconds_count"
    resource_use: str = "resource_use_ratio"
    started: str = "process_start_time_seconds"

    @field_validator("error_status")
    @classmethod
    def _is_a_pattern(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        return value


class PrometheusText(MetricSource):
    """Reads counters and gauges from a page in the text format of Prometheus."""

    name: ClassVar[str] = "prometheus_text"
    parameters: ClassVar[type[Parameters]] = PrometheusTextParameters

    def read(self, target: TargetSpec, parameters: PrometheusTextParameters) -> Reading:
        """Look once. No answer or one of 500 and above is not up; an unreadable page is up without values."""
        at = datetime.now(UTC)
        url = parameters.url or str(target.settings.get("metrics_url", ""))
        if not url:
            return Reading(at, False, {}, _("The target has no metrics_url."))
        try:
            page = fetch(url, seconds=parameters.seconds)
        except NoAnswer as error:
            return Reading(at, False, {}, str(error))
        if page.status != 200:
            return Reading(at, page.status < 500, {}, _("The page answered %(status)s.") % {"status": page.status})
        try:
            families = list(text_string_to_metric_families(page.body.decode("utf-8")))
        except (ValueError, KeyError, IndexError, AttributeError) as error:
            # The parser has no error of its own: it fails as it meets what it did not expect.
            return Reading(at, True, {}, _("The page can't be read: %(why)s") % {"why": f"{error}"[:200]})
        return Reading(at, True, values_of(families, parameters))

    def derive(
        self, earlier: Reading | None, now: Reading, parameters: PrometheusTextParameters
    ) -> dict[str, float | None]:
        """Return the watched metrics; see the contract."""
        grown = _growth(earlier, now)
        requests, errors = grown.get("requests", 0.0), grown.get("errors")
        seconds, count = grown.get("duration_sum"), grown.get("duration_count", 0.0)
        return {
            "error_rate": min(1.0, errors / requests) if requests > 0 and errors is not None else None,
            "response_time": seconds / count if count > 0 and seconds is not None else None,
            "resource_use": now.values.get("resource_use") if now.up else None,
            "service_down": 0.0 if now.up else 1.0,
        }


def values_of(families: Iterable[Metric], parameters: PrometheusTextParameters) -> dict[str, float]:
    """Return the raw values by our names; what the page does not have, or has as NaN or Inf, is left out.

    A counter that is declared but has no sample yet is 0: nothing was counted so far.
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
        values["errors"] = sum(
            value for labels, value in requests if is_error.fullmatch(labels.get(parameters.status_label, ""))
        )
    for name in ("duration_sum", "duration_count"):
        found = samples.get(getattr(parameters, name))
        if found:
            values[name] = sum(value for _labels, value in found)
    for name in ("resource_use", "started"):
        found = samples.get(getattr(parameters, name))
        if found:
            values[name] = max(value for _labels, value in found)
    return {name: value for name, value in values.items() if math.isfinite(value)}


def _growth(earlier: Reading | None, now: Reading) -> dict[str, float]:
    """Return how far each counter grew since `earlier`; after a restart all of them count from zero."""
    if earlier is None or not earlier.up or not now.up or now.at <= earlier.at:
        return {}
    both = [name for name in COUNTERS if name in earlier.values and name in now.values]
    begun, before = now.values.get("started"), earlier.values.get("started")
    restarted = begun is not None and before is not None and begun != before
    # One that fell means that all began anew: the others may have overtaken their old values already.
    if restarted or any(now.values[name] < earlier.values[name] for name in both):
        return {name: now.values[name] for name in both}
    return {name: now.values[name] - earlier.values[name] for name in both}
