"""Gatling's js/stats.json or global_stats.json: the numbers of all requests together."""

from typing import Any

from releases.evidence_readers.base import Document, Form, Reading
from releases.evidence_readers.performance import measured


def _total(document: Document) -> dict[str, Any]:
    inner = document.object.get("stats", document.object)
    return inner if isinstance(inner, dict) else {}


def _of(stats: dict[str, Any], name: str, part: str) -> Any:
    row = stats.get(name)
    return row.get(part) if isinstance(row, dict) else None


def read(document: Document) -> Reading:
    """Return the third percentile of its configuration (by default the 95th, milliseconds), all and failed requests."""
    stats = _total(document)
    count, failed = (_of(stats, "numberOfRequests", part) for part in ("total", "ko"))
    return measured("Gatling", _of(stats, "percentiles3", "total"), count, failed)


FORM = Form(
    "performance",
    "Gatling stats.json",
    '{"stats": {"numberOfRequests": {"total": …, "ko": …}, "percentiles3": {"total": …}}}',
    lambda document: "numberOfRequests" in _total(document),
    read,
)
