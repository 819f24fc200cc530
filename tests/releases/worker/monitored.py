"""A monitored service: its page, its triggers, and measurements taken of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from audit.actor import Actor, acting
from releases.models import Measurement, MonitoringPeriod
from releases.worker.measurement import record_measurement
from tests.releases.metric_sources.pages import Page, Site

WORKER = Actor(account_id=None, name="worker-1", kind="worker", channel="worker")
ERRORS = {
    "key": "error_rate",
    "critical": True,
    "metric": "error_rate",
    "comparison": "absolute",
    "limit": "0.10",
    "k": 3,
    "n": 5,
}
RATIO = {
    "key": "response_time",
    "critical": True,
    "metric": "response_time",
    "comparison": "ratio",
    "limit": "3",
    "k": 3,
    "n": 5,
}
Monitored = Callable[..., MonitoringPeriod]


def page(requests: int, errors: int) -> Page:
    """The metrics page of a service after so many requests, so many of them with errors."""
    lines = [
        "# TYPE http_requests_total counter",
        f'http_requests_total{{status="200"}} {requests - errors}',
        f'http_requests_total{{status="500"}} {errors}',
        "# TYPE http_request_duration_seconds summary",
        f"http_request_duration_seconds_sum {requests * 0.01}",
        f"http_request_duration_seconds_count {requests}",
        "# TYPE resource_use_ratio gauge",
        "resource_use_ratio 0.2",
        "",
    ]
    return Page("\n".join(lines), headers={"Content-Type": "text/plain; version=0.0.4"})


def look(monitoring: MonitoringPeriod, service: Site, *pages: Page) -> list[dict[str, Any]]:
    """Take a measurement of each page; return them judged."""
    taken = []
    with acting(WORKER):
        for answer in pages:
            service.pages["/metrics"] = [answer]
            serial = Measurement.objects.filter(period=monitoring).count()
            taken.append(record_measurement(monitoring.pk, due=monitoring.started_at + timedelta(seconds=60 * serial)))
    return [made.values if made is not None else {} for made in taken]
