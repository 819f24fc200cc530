"""The source for pages in the text format of Prometheus."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from environments.targets.base import TargetSpec
from releases.metric_sources.base import Reading
from releases.metric_sources.prometheus_text import PrometheusText, PrometheusTextParameters
from tests.releases.metric_sources.pages import Page, Site, site

AT = datetime(2026, 3, 18, tzinfo=UTC)
PAGE = """# TYPE http_requests_total counter
http_requests_total{status="200"} 90
http_requests_total{status="404"} 5
http_requests_total{status="500"} 3
http_requests_total{status="503"} 2
# TYPE http_request_duration_seconds summary
http_request_duration_seconds_sum 12.5
http_request_duration_seconds_count 100
# TYPE resource_use_ratio gauge
resource_use_ratio{part="threads"} 0.25
resource_use_ratio{part="memory"} 0.5
"""


@pytest.fixture
def pages() -> Iterator[Site]:
    with site() as made:
        yield made


def read(pages: Site, page: Page, **parameters: object) -> Reading:
    pages.pages["/metrics"] = [page]
    target = TargetSpec("a", "e", Path("/"), {"metrics_url": f"{pages.base}/metrics"})
    return PrometheusText().read(target, PrometheusTextParameters.model_validate(parameters))


def derive(earlier: dict[str, float] | None, now: dict[str, float], seconds: float = 60) -> dict[str, float | None]:
    before = None if earlier is None else Reading(AT, True, earlier)
    return PrometheusText().derive(
        before, Reading(AT + timedelta(seconds=seconds), True, now), PrometheusTextParameters()
    )


def numbers(requests: float, errors: float, seconds: float, **more: float) -> dict[str, float]:
    return {"requests": requests, "errors": errors, "duration_sum": seconds, "duration_count": requests, **more}


def test_the_numbers_and_the_worst_resource_are_read(pages: Site) -> None:
    reading = read(pages, Page(PAGE))
    assert reading.up and not reading.error
    assert reading.values == numbers(100, 5, 12.5, resource_use=0.5)


def test_other_metric_names_are_read(pages: Site) -> None:
    page = Page('app_calls{code="ok"} 7\napp_calls{code="bad"} 3\nload 0.1\n')
    reading = read(pages, page, requests="app_calls", status_label="code", error_status="bad", resource_use="load")
    assert reading.values == {"requests": 10, "errors": 3, "resource_use": 0.1}


@pytest.mark.parametrize("labels", ['{code="500"}', "", '{status=""}'])
def test_requests_without_the_label_of_their_status_have_no_error_rate(pages: Site, labels: str) -> None:
    """A Go service counts by `code`: not one of its errors would be seen."""
    reading = read(pages, Page(f'http_requests_total{{status="200"}} 9\nhttp_requests_total{labels} 90\n'))
    assert reading.values == {"requests": 99} and "“status”" in reading.error


def test_a_series_with_an_old_time_is_stale_beside_a_fresh_one(pages: Site) -> None:
    """A page of /federate has the time of each series; pages of others have times of series that nobody reads."""
    fresh, old, ahead = (int((time.time() + seconds) * 1000) for seconds in (-5, -3600, 3600))
    assert not read(pages, Page(f"resource_use_ratio 0.1 {fresh}\nother 1 {old}\n")).stale
    for wrong in (old, ahead):
        page = f'resource_use_ratio{{part="a"}} 0.1 {fresh}\nresource_use_ratio{{part="b"}} 0.1 {wrong}\n'
        assert read(pages, Page(page)).stale


def test_a_declared_counter_without_values_is_zero_and_an_undeclared_one_is_unknown(pages: Site) -> None:
    assert read(pages, Page("# TYPE http_requests_total counter\n")).values == {"requests": 0, "errors": 0}
    assert read(pages, Page("other 1\n")).values == {}


def test_invalid_numbers_are_left_out(pages: Site) -> None:
    assert read(pages, Page("resource_use_ratio NaN\nhttp_request_duration_seconds_sum +Inf\n")).values == {}


@pytest.mark.parametrize("body", ["<html>", "a b c d", "a{b= 1", "http_requests_total{status} x", "\0"])
def test_an_unreadable_page_is_up_without_values(pages: Site, body: str) -> None:
    reading = read(pages, Page(body + "\n"))
    assert (reading.up, reading.values) == (True, {})
    assert reading.error
    derived = PrometheusText().derive(Reading(AT, True, numbers(1, 0, 1)), reading, PrometheusTextParameters())
    assert derived == dict.fromkeys(("error_rate", "response_time", "resource_use", "service_down"))


@pytest.mark.parametrize(("status", "up"), [(404, True), (302, True), (500, False), (503, False)])
def test_another_status_gives_no_values(pages: Site, status: int, up: bool) -> None:
    pages.pages["/elsewhere"] = [Page(PAGE)]
    reading = read(pages, Page(PAGE, status, {"Location": "/elsewhere"}))
    assert (reading.up, reading.values) == (up, {})
    assert pages.asked == ["/metrics"]


@pytest.mark.parametrize("announce", [True, False])
def test_a_trickling_page_is_cut_at_the_deadline(pages: Site, announce: bool) -> None:
    began = time.monotonic()
    reading = read(pages, Page(PAGE, trickle=0.05, announce=announce), seconds=0.3)
    assert time.monotonic() - began < 1
    assert (reading.up, reading.values) == (False, {})
    assert "within 0.3 s" in reading.error


def test_rates_are_those_of_the_requests_in_between() -> None:
    derived = derive(numbers(100, 50, 10), numbers(150, 60, 11, resource_use=0.4))
    assert derived == {"error_rate": 0.2, "response_time": 0.02, "resource_use": 0.4, "service_down": 0}


def test_an_interval_without_requests_is_no_data() -> None:
    derived = derive(numbers(100, 50, 10), numbers(100, 50, 10))
    assert (derived["error_rate"], derived["response_time"]) == (None, None)


def test_every_counter_restarts_from_zero_after_a_restart() -> None:
    assert derive(numbers(100, 50, 10), numbers(20, 5, 1))["error_rate"] == 0.25
    # More errors than before, but fewer requests: the errors too are those since the restart.
    assert derive(numbers(100, 1, 10), numbers(20, 5, 1))["error_rate"] == 0.25
    # The counter has overtaken its old value; only the start of the process reveals the restart.
    began = {"before": AT.timestamp() - 900, "now": AT.timestamp() + 30}
    overtaken = derive(numbers(100, 0, 10, started=began["before"]), numbers(200, 50, 12, started=began["now"]))
    assert overtaken["error_rate"] == 0.25
    assert overtaken["response_time"] == pytest.approx(0.06)


@pytest.mark.parametrize("started", [(100.0, 200.0), (200.0, 100.0), (100.0, 100.0)])
def test_another_process_behind_the_same_address_is_no_restart(started: tuple[float, float]) -> None:
    """Ten requests since the last reading, all failed; two processes answer in turn and have run for days."""
    one, other = (AT.timestamp() - 86400 + seconds for seconds in started)
    derived = derive(numbers(1000, 0, 10, started=one), numbers(990, 10, 10, started=other))
    assert (derived["error_rate"], derived["response_time"]) == (None, None)


def test_a_reading_that_is_not_later_or_not_up_gives_no_rates() -> None:
    assert derive(numbers(100, 0, 1), numbers(200, 0, 2), seconds=0)["error_rate"] is None
    gone = PrometheusText().derive(
        Reading(AT, False, {}), Reading(AT + timedelta(seconds=1), True, numbers(9, 9, 1)), PrometheusTextParameters()
    )
    assert (gone["error_rate"], gone["service_down"]) == (None, 0)


@pytest.mark.parametrize("wrong", [{"error_status": "("}, {"seconds": 6}, {"seconds": 0}])
def test_invalid_parameters_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        PrometheusTextParameters.model_validate(wrong)
