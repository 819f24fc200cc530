"""The check of the metrics."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from environments.targets.base import TargetSpec
from releases.check_types.base import CheckContext, CheckResult, Result
from releases.check_types.metrics import Metrics, MetricsParameters
from tests.releases.metric_sources.pages import Page, Site, site

ERRORS = [{"metric": "error_rate", "at_most": "0.10"}]
IDLE = {"no_data_passes_when_idle": True}


@pytest.fixture
def pages() -> Iterator[Site]:
    with site() as made:
        yield made


def page(requests: int, errors: int, use: float = 0.5) -> Page:
    return Page(
        f'http_requests_total{{status="200"}} {requests - errors}\n'
        f'http_requests_total{{status="500"}} {errors}\n'
        f"http_request_duration_seconds_sum {requests / 100}\n"
        f"http_request_duration_seconds_count {requests}\n"
        f"resource_use_ratio {use}\n"
    )


def check(pages: Site, *given: Page, limits: Any = ERRORS, **parameters: Any) -> CheckResult:
    pages.pages["/metrics"] = list(given)
    target = TargetSpec("a", "e", Path("/"), {"metrics_url": f"{pages.base}/metrics"})
    wanted = {"limits": limits, "interval_seconds": 0.01, **parameters}
    return Metrics().run(CheckContext(target), MetricsParameters.model_validate(wanted))


def test_the_check_compares_the_interval_between_two_readings(pages: Site) -> None:
    passed = check(pages, page(100, 90), page(200, 100))
    assert (passed.result, passed.value, passed.limit) == (Result.PASSED, "error_rate 0.1", "error_rate ≤ 0.1")
    failed = check(pages, page(100, 0), page(200, 11))
    assert failed.result is Result.FAILED
    assert "error_rate" in failed.output


def test_every_limit_must_hold(pages: Site) -> None:
    limits = [*ERRORS, {"metric": "response_time", "at_most": 0.02}, {"metric": "resource_use", "at_most": 0.4}]
    result = check(pages, page(100, 0), page(200, 0), limits=limits)
    assert result.result is Result.FAILED
    assert result.value == "error_rate 0, response_time 0.01, resource_use 0.5"


def test_missing_requests_are_no_data_unless_idle_may_pass(pages: Site) -> None:
    assert check(pages, page(100, 0)).result is Result.NO_DATA
    assert check(pages, page(100, 0), **IDLE).result is Result.PASSED


def test_a_missing_number_never_counts_as_idle(pages: Site) -> None:
    assert check(pages, Page("other 1\n"), **IDLE).result is Result.NO_DATA
    assert check(pages, Page("broken {\n"), **IDLE).result is Result.NO_DATA
    time_limit = [{"metric": "response_time", "at_most": 1}]
    counts = [Page(f"http_request_duration_seconds_count {number}\n") for number in (1, 9)]
    assert check(pages, *counts, limits=time_limit, **IDLE).result is Result.NO_DATA
    use = [{"metric": "resource_use", "at_most": 1}]
    assert check(pages, Page('http_requests_total{status="200"} 1\n'), limits=use, **IDLE).result is Result.NO_DATA


def test_one_reading_gives_no_rates(pages: Site) -> None:
    assert check(pages, page(100, 0), interval_seconds=0, **IDLE).result is Result.NO_DATA
    use = [{"metric": "resource_use", "at_most": 0.9}]
    assert check(pages, page(100, 0), limits=use, interval_seconds=0).result is Result.PASSED
    assert len(pages.asked) == 2


def test_a_service_that_is_down_fails_or_is_an_error(pages: Site) -> None:
    down = [{"metric": "service_down", "at_most": "0"}]
    assert check(pages, page(1, 0), Page("", 502), limits=down).result is Result.FAILED
    result = check(pages, page(1, 0), Page("", 502), **IDLE)
    assert result.result is Result.ERROR
    assert "502" in result.output


@pytest.mark.parametrize(
    "wrong",
    [
        {"limits": []},
        {"limits": [{"metric": "speed", "at_most": 1}]},
        {"limits": [{"metric": "error_rate", "at_most": "NaN"}]},
        {"limits": ERRORS, "source": "no such source"},
        {"limits": ERRORS, "source_parameters": {"error_status": "("}},
        {"limits": ERRORS, "interval_seconds": 61},
    ],
)
def test_invalid_parameters_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        MetricsParameters.model_validate(wrong)
