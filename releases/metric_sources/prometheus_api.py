"""The metric source that queries a Prometheus server by its HTTP API (/api/v1/query); used by monitoring and checks."""

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar
from urllib.parse import urlencode

from pydantic import Field, StringConstraints

from environments.targets.base import Parameters, TargetSpec
from environments.targets.json_paths import at_path
from environments.targets.words import gettext as _
from releases.metric_sources.base import NOTHING, MetricName, MetricSource, Reading, is_stale, provided_by
from releases.metric_sources.fetch import NoAnswer, ask

Query = Annotated[str, StringConstraints(min_length=1, max_length=2000)]
# The label that distinguishes the answers of one request, and the answer with the time of the last scrape.
LABEL, SCRAPED = "ringi_metric", "scraped"


class PrometheusApiParameters(Parameters):
    """url: address of the server; empty = `prometheus_url` of the target. seconds: deadline, at most 5.

    queries: metric (or requests, errors, duration_sum, duration_count, started) → PromQL; of several series the
    greatest counts. scraped: PromQL of the time of the last scrape (seconds since 1970, such as
    `timestamp(up{job="datasets"})`); older than stale_seconds is stale. service_down is a query like any other: an
    unreachable Prometheus says nothing about the service.
    """

    url: str = ""
    queries: dict[MetricName, Query] = Field(min_length=1)
    scraped: str = Field(default="", max_length=2000)
    stale_seconds: float = Field(default=300.0, gt=0)
    seconds: float = Field(default=5.0, gt=0, le=5)


class PrometheusApi(MetricSource):
    """Queries a Prometheus server for all metrics in one instant query."""

    name: ClassVar[str] = "prometheus_api"
    parameters: ClassVar[type[Parameters]] = PrometheusApiParameters

    def read(
        self, target: TargetSpec, parameters: PrometheusApiParameters, configuration: Mapping[str, str] = NOTHING
    ) -> Reading:
        """Query once. A metric without a series is left out; a failed query gives no numbers, nor does one with a
        warning: series may be missing, and a fallback in the query then stands for them.
        """
        at = datetime.now(UTC)
        base = (parameters.url or str(target.settings.get("prometheus_url", ""))).rstrip("/")
        if not base:
            return Reading(at, False, {}, _("The target options have no “prometheus_url”."))
        url = f"{base}/api/v1/query?{urlencode({'query': one_query(parameters)})}"
        try:
            answer = ask(url, target, seconds=parameters.seconds)
        except NoAnswer as error:
            return Reading(at, False, {}, str(error))
        try:
            content = json.loads(answer.body)
        except ValueError:
            content = None
        if answer.status != 200 or at_path(content, "status") != "success":
            why = str(at_path(content, "error"))[:200] if isinstance(content, dict) else str(answer.status)
            return Reading(at, False, {}, _("Prometheus answered: %(why)s") % {"why": why})
        if warnings := content.get("warnings"):
            return Reading(at, False, {}, _("Prometheus answered: %(why)s") % {"why": str(warnings)[:200]})
        values = values_of(at_path(content, "data.result"))
        scraped = values.pop(SCRAPED, None)
        if not parameters.scraped:
            return Reading(at, True, values)
        stale = is_stale(scraped, at, parameters.stale_seconds)
        return Reading(at, True, values, _("The measured values are stale.") if stale else "", stale)

    def provides(self, parameters: PrometheusApiParameters) -> frozenset[str]:
        """Return the queried metrics."""
        return provided_by(parameters.queries)


def one_query(parameters: PrometheusApiParameters) -> str:
    """Return all queries as one, each marked with its own label."""
    queries: dict[str, str] = dict(parameters.queries)
    if parameters.scraped:
        queries[SCRAPED] = parameters.scraped
    marked = [f'label_replace(({text}), "{LABEL}", "{name}", "", "")' for name, text in queries.items()]
    return " or ".join(marked)


def values_of(rows: Any) -> dict[str, float]:
    """Return name → the greatest value of the series with its mark; NaN is left out, so is a name with infinity."""
    values: dict[str, float] = {}
    for row in rows if isinstance(rows, list) else ():
        name, pair = at_path(row, f"metric.{LABEL}"), at_path(row, "value")
        try:
            number = float(pair[1])
        except (TypeError, ValueError, IndexError):
            continue
        if not math.isnan(number):
            values[str(name)] = max(number, values.get(str(name), -math.inf))
    return {name: number for name, number in values.items() if math.isfinite(number)}
