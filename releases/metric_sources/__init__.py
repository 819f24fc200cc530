"""The metric sources: one file a source, listed here; read by monitoring, checks and procedures."""

from releases.metric_sources.alerts import Alerts
from releases.metric_sources.base import MetricSource
from releases.metric_sources.command import Command
from releases.metric_sources.json_http import JsonHttp
from releases.metric_sources.prometheus_api import PrometheusApi
from releases.metric_sources.prometheus_text import PrometheusText
from releases.metric_sources.sql import Sql

SOURCES: tuple[MetricSource, ...] = (PrometheusApi(), PrometheusText(), JsonHttp(), Sql(), Command(), Alerts())


class UnknownSource(LookupError):
    """No metric source has this name: a removed or misspelt one."""


def source(name: str) -> MetricSource:
    """Return the metric source of that name. Raises UnknownSource."""
    for known in SOURCES:
        if known.name == name:
            return known
    raise UnknownSource(name)
