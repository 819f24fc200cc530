"""The metric source for JSON, or a text of the service, served over HTTP; used by monitoring and checks."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

from pydantic import Field, model_validator

from environments.targets.base import Parameters, TargetSpec
from environments.targets.json_paths import ABSENT, at_path, number_in
from environments.targets.words import gettext as _
from releases.metric_sources.base import NOTHING, MetricName, MetricSource, Reading, is_stale, provided_by
from releases.metric_sources.pages import page_of


class JsonHttpParameters(Parameters):
    """url: address of the page; empty = `metrics_url` of the target. seconds: deadline, at most 5.

    values: metric (or requests, errors, duration_sum, duration_count, started) → dotted path; a list found there
    counts by its greatest number, true as 1. time: path of the time of the numbers (RFC 3339 or seconds since 1970);
    one more than stale_seconds away is stale. own: the service itself serves the page, so a missing answer means it
    is down. text: the page must contain it; it then need not be JSON, and no values are needed.
    """

    url: str = ""
    values: dict[MetricName, str] = Field(default_factory=dict)
    text: str = ""
    time: str = ""
    stale_seconds: float = Field(default=300.0, gt=0)
    own: bool = False
    seconds: float = Field(default=5.0, gt=0, le=5)

    @model_validator(mode="after")
    def _something(self) -> "JsonHttpParameters":
        if not self.values and not (self.text and self.own):
            raise ValueError(_("name values, or the text of a page of the service itself (own)"))
        return self


class JsonHttp(MetricSource):
    """Reads numbers from a JSON page by their paths."""

    name: ClassVar[str] = "json_http"
    parameters: ClassVar[type[Parameters]] = JsonHttpParameters

    def read(
        self, target: TargetSpec, parameters: JsonHttpParameters, configuration: Mapping[str, str] = NOTHING
    ) -> Reading:
        """Read once. No answer or a status of 500 and above is not up; missing numbers are left out."""
        at, page = page_of(target, parameters.url, parameters.seconds)
        if isinstance(page, Reading):
            return page
        if parameters.text not in page.body.decode("utf-8", "replace"):
            return Reading(at, True, {}, _("The page does not contain “%(text)s”.") % {"text": parameters.text})
        try:
            content = json.loads(page.body)
        except ValueError:
            if not parameters.text:
                return Reading(at, True, {}, _("The body is not JSON."))
            content = None
        found = {name: number_in(at_path(content, path)) for name, path in parameters.values.items()}
        values = {name: value for name, value in found.items() if value is not None}
        if not parameters.time:
            return Reading(at, True, values)
        stale = is_stale(seconds_in(at_path(content, parameters.time)), at, parameters.stale_seconds)
        return Reading(at, True, values, _("The measured values are stale.") if stale else "", stale)

    def own(self, parameters: JsonHttpParameters) -> bool:
        """Return the parameter `own`."""
        return parameters.own

    def provides(self, parameters: JsonHttpParameters) -> frozenset[str]:
        """Return the metrics that are read."""
        found = provided_by(parameters.values)
        return found | {"service_down"} if parameters.own else found


def seconds_in(found: Any) -> float | None:
    """Return a time as seconds since 1970, from a number or RFC 3339 text; without an offset it is UTC."""
    if found == ABSENT or isinstance(found, bool):
        return None
    if isinstance(found, int | float):
        return float(found)
    try:
        moment = datetime.fromisoformat(str(found))
    except ValueError:
        return None
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
