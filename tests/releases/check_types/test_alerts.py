"""The check of firing alerts, against answers in an Alertmanager's format."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from environments.targets.base import TargetSpec
from releases.check_types.alerts import Alerts, AlertsParameters
from releases.check_types.base import CheckContext, CheckResult, Result
from releases.metric_sources.alert_list import ACTIVE
from tests.releases.metric_sources.pages import Page, Site, site


@pytest.fixture
def pages() -> Iterator[Site]:
    with site() as made:
        yield made


def alert(name: str, severity: str | None = "warning", state: str = "active", **fields: Any) -> dict[str, Any]:
    """One alert as the API v2 of an Alertmanager shows it."""
    labels = {"alertname": name, "service": "datasets"} | ({"severity": severity} if severity is not None else {})
    return {
        "labels": labels,
        "annotations": {},
        "startsAt": "2026-11-25T10:00:00.000Z",
        "endsAt": "2999-01-01T00:00:00.000Z",
        "fingerprint": f"f-{name}",
        "status": {"state": state, "silencedBy": [], "inhibitedBy": []},
        **fields,
    }


def check(pages: Site, content: Any, status: int = 200, **parameters: Any) -> CheckResult:
    pages.pages[ACTIVE] = pages.pages["/list"] = [Page(json.dumps(content), status)]
    url = f"{pages.base}/list" if parameters.get("shape") == "json" else pages.base
    context = CheckContext(TargetSpec("a", "e", Path("/"), {"alerts_url": url}))
    return Alerts().run(context, AlertsParameters.model_validate(parameters))


@pytest.mark.parametrize(
    ("alerts", "parameters", "expected", "value"),
    [
        ([], {}, Result.PASSED, "0 of 0 firing"),
        ([alert("A", "info")], {}, Result.PASSED, "0 of 1 firing"),
        ([alert("A", "info")], {"highest": ""}, Result.FAILED, "1 of 1 firing"),
        ([alert("A", "warning")], {}, Result.FAILED, "1 of 1 firing"),
        ([alert("A", "warning")], {"highest": "warning"}, Result.PASSED, "0 of 1 firing"),
        ([alert("A", "page-me")], {"highest": "critical"}, Result.FAILED, "1 of 1 firing"),
        ([alert("A", None)], {"highest": "critical"}, Result.FAILED, "1 of 1 firing"),
        ([alert("A", state="suppressed")], {}, Result.PASSED, "0 of 0 firing"),
        ([alert("A", endsAt="2020-01-01T00:00:00Z")], {}, Result.PASSED, "0 of 0 firing"),
        ([alert("A", endsAt="0001-01-01T00:00:00Z")], {}, Result.FAILED, "1 of 1 firing"),
        ([alert("A")], {"labels": {"service": "other"}}, Result.PASSED, "0 of 0 firing"),
        ([alert("A")], {"labels": {"service": "datasets"}}, Result.FAILED, "1 of 1 firing"),
    ],
)
def test_the_check_passes_when_no_alert_exceeds_the_level(
    pages: Site, alerts: list[Any], parameters: dict[str, Any], expected: Result, value: str
) -> None:
    result = check(pages, alerts, **parameters)
    assert (result.result, result.value) == (expected, value), result.output
    assert pages.asked == [ACTIVE]


def test_a_custom_list_is_read_by_its_paths(pages: Site) -> None:
    own = {
        "data": {
            "rows": [
                {"title": "disk", "rank": "critical", "now": "firing"},
                {"title": "x", "rank": "critical", "now": "ok"},
            ]
        }
    }
    paths = {"shape": "json", "items": "data.rows", "name": "title", "level": "rank", "state": "now"}
    result = check(pages, own, **paths)
    assert (result.result, result.value) == (Result.FAILED, "1 of 1 firing") and "disk" in result.output
    assert check(pages, {"data": {}}, **paths).result is Result.ERROR
    # The state of no row is known: that is no silence.
    unread = check(pages, own, **paths | {"state": "status"})
    assert unread.result is Result.ERROR and "status" in unread.output


@pytest.mark.parametrize("content", [{"status": "error"}, "text", [1], None])
def test_an_invalid_list_is_an_error_and_never_passes(pages: Site, content: Any) -> None:
    assert check(pages, content).result is Result.ERROR
    assert check(pages, [], status=503).result is Result.ERROR


def test_a_list_without_the_alert_that_always_fires_is_no_silence(pages: Site) -> None:
    """Prometheus may be dead, and its Alertmanager then lists nothing."""
    always: dict[str, Any] = {"always": "Watchdog", "labels": {"service": "datasets"}, "highest": ""}
    beat = alert("Watchdog", "none") | {"labels": {"alertname": "Watchdog"}}
    assert check(pages, []).result is Result.PASSED
    missing = check(pages, [], **always)
    assert missing.result is Result.ERROR and "Watchdog" in missing.output
    assert check(pages, [beat | {"endsAt": "2020-01-01T00:00:00Z"}], **always).result is Result.ERROR
    there = check(pages, [beat], **always)
    assert (there.result, there.value) == (Result.PASSED, "0 of 0 firing")
    other = check(pages, [beat, alert("A", "critical")], **always)
    assert (other.result, other.value) == (Result.FAILED, "1 of 1 firing")
    unlabelled = check(pages, [beat], always="Watchdog", highest="")
    assert unlabelled.value == "0 of 0 firing", "the alert that always fires is no alert of the target"


def test_a_target_without_a_list_is_no_data() -> None:
    context = CheckContext(TargetSpec("a", "e", Path("/"), {}))
    assert Alerts().run(context, AlertsParameters()).result is Result.NO_DATA


@pytest.mark.parametrize("wrong", [{"highest": "loud"}, {"levels": []}, {"shape": "xml"}, {"seconds": 9}])
def test_parameters_are_checked_when_the_plan_is_made(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        AlertsParameters.model_validate(wrong)
