"""The metric sources: one file a source, listed here; read by watches, checks and procedures."""

from __future__ import annotations

from releases.metrics.base import MetricSource
from releases.metrics.prometheus_text import PrometheusText

SOURCES: tuple[MetricSource, ...] = (PrometheusText(),)


class UnknownSource(LookupError):
    """No metric source has this name: a stored one that was removed, or a typing error."""


def source(name: str) -> MetricSource:
    """Return the metric source of that name. Raises UnknownSource."""
    for known in SOURCES:
        if known.name == name:
            return known
    raise UnknownSource(name)
