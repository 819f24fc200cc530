"""The metric sources: one file a source, listed here; read by watches, checks and procedures."""

from releases.metrics.alerts import Alerts
from releases.metrics.base import MetricSource
from releases.metrics.command import Command
from releases.metrics.json_http import JsonHttp
from releases.metrics.prometheus_api import PrometheusApi
from releases.metrics.prometheus_text import PrometheusText
from releases.metrics.sql import Sql

SOURCES: tuple[MetricSource, ...] = (PrometheusApi(), PrometheusText(), JsonHttp(), Sql(), Command(), Alerts())


class UnknownSource(LookupError):
    """No metric source has this name: a stored one that was removed, or a typing error."""


def source(name: str) -> MetricSource:
    """Return the metric source of that name. Raises UnknownSource."""
    for known in SOURCES:
        if known.name == name:
            return known
    raise UnknownSource(name)
