"""The source that counts alerts: firing ones, and those that began within the hour."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from environments.targets.base import TargetSpec
from releases.metric_sources.alert_list import ACTIVE
from releases.metric_sources.alerts import Alerts, AlertsSourceParameters
from releases.metric_sources.base import Reading
from tests.releases.metric_sources.pages import Page, Site, site

WANTED = AlertsSourceParameters()


@pytest.fixture
def pages() -> Iterator[Site]:
    with site() as made:
        yield made


def alert(key: str, minutes: float, severity: str = "warning") -> dict[str, Any]:
    began = datetime.now(UTC) - timedelta(minutes=minutes)
    labels = {"alertname": key, "severity": severity}
    return {"labels": labels, "fingerprint": key, "startsAt": began.isoformat(), "status": {"state": "active"}}


def read(pages: Site, *alerts: dict[str, Any]) -> Reading:
    pages.pages[ACTIVE] = [Page(json.dumps(alerts))]
    return Alerts().read(TargetSpec("a", "e", Path("/"), {"alerts_url": pages.base}), WANTED)


def counts(earlier: Reading | None, now: Reading) -> tuple[float | None, float | None]:
    found = Alerts().derive(earlier, now, WANTED)
    return found["alerts_firing"], found["alerts_per_hour"]


def test_alerts_that_began_within_the_hour_count_even_when_resolved(pages: Site) -> None:
    first = read(pages, alert("a", 10), alert("b", 90), alert("c", 5, "info"))
    assert counts(None, first) == (2, 1)
    first = Alerts().remember(None, first, WANTED)
    second = read(pages, alert("d", 1, "critical"))
    assert counts(first, second) == (1, 2), "a has gone out and counts on"
    second = Alerts().remember(first, second, WANTED)
    assert counts(second, read(pages)) == (0, 2)


def test_alerts_older_than_an_hour_do_not_count(pages: Site) -> None:
    first = read(pages, alert("a", 59))
    later = read(pages)
    assert counts(first, later) == (0, 1)
    assert counts(first, Reading(later.at + timedelta(minutes=2), True, {"alerts_firing": 0.0})) == (0, 0)


def test_a_continuously_firing_alert_is_counted_once(pages: Site) -> None:
    looks = None
    began = alert("a", 3)
    for _ in range(3):
        looks = Alerts().remember(looks, read(pages, began), WANTED)
        assert counts(looks, looks) == (1, 1)


def test_a_missing_list_gives_no_count(pages: Site) -> None:
    pages.pages[ACTIVE] = [Page("", 500)]
    gone = Alerts().read(TargetSpec("a", "e", Path("/"), {"alerts_url": pages.base}), WANTED)
    assert not gone.up and counts(None, gone) == (None, None)
