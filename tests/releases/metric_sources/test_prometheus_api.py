"""The source that queries a Prometheus server, against answers in the format of its HTTP API."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from pydantic import ValidationError

from environments.targets.base import TargetSpec
from releases.metric_sources.base import Reading
from releases.metric_sources.prometheus_api import PrometheusApi, PrometheusApiParameters, one_query
from tests.releases.metric_sources.pages import Page, Site, site

QUERIES = {"error_rate": "sum(rate(bad[1m])) / sum(rate(all[1m]))", "service_down": '1 - min(up{job="datasets"})'}


@pytest.fixture
def pages() -> Iterator[Site]:
    with site() as made:
        yield made


def row(name: str, value: Any, **labels: str) -> dict[str, Any]:
    return {"metric": {"ringi_metric": name, **labels}, "value": [1764064800.0, value]}


def read(pages: Site, content: Any, status: int = 200, **more: Any) -> Reading:
    wanted = PrometheusApiParameters.model_validate({"queries": QUERIES, **more})
    path = f"/api/v1/query?{urlencode({'query': one_query(wanted)})}"
    pages.pages[path] = [Page(content if isinstance(content, str) else json.dumps(content), status)]
    return PrometheusApi().read(TargetSpec("a", "e", Path("/"), {"prometheus_url": f"{pages.base}/"}), wanted)


def answered(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"status": "success", "data": {"resultType": "vector", "result": list(rows)}}


def test_all_metrics_are_requested_at_once(pages: Site) -> None:
    reading = read(pages, answered(row("error_rate", "0.25"), row("service_down", "0")))
    assert (reading.up, reading.values, reading.error) == (True, {"error_rate": 0.25, "service_down": 0.0}, "")
    (asked,) = pages.asked
    query = parse_qs(urlsplit(asked).query)["query"][0]
    assert query == (
        'label_replace((sum(rate(bad[1m])) / sum(rate(all[1m]))), "ringi_metric", "error_rate", "", "")'
        ' or label_replace((1 - min(up{job="datasets"})), "ringi_metric", "service_down", "", "")'
    )


def test_the_greatest_of_several_series_counts_without_invalid_numbers(pages: Site) -> None:
    rows = [row("error_rate", "0.1", instance="a"), row("error_rate", "0.3", instance="b")]
    rows += [row("error_rate", "NaN", instance="c"), row("service_down", "+Inf"), {"metric": {}, "value": []}]
    assert read(pages, answered(*rows)).values.get("error_rate") == 0.3
    assert "service_down" not in read(pages, answered(*rows)).values


@pytest.mark.parametrize(
    ("content", "status"),
    [
        ({"status": "error", "errorType": "bad_data", "error": "parse error"}, 400),
        ({"status": "error", "error": "timed out"}, 200),
        ("<html>", 200),
        (answered(), 503),
        ([], 200),
    ],
)
def test_an_invalid_answer_is_not_up(pages: Site, content: Any, status: int) -> None:
    reading = read(pages, content, status)
    assert (reading.up, reading.values) == (False, {}) and reading.error


def test_an_answer_with_a_part_missing_gives_no_values(pages: Site) -> None:
    """Prometheus 2.53 whose remote storage does not answer: a success, a warning, and a fallback as the value."""
    warned = {"warnings": ['remote_read: Post "http://127.0.0.1:9/read": connect: connection refused']}
    reading = read(pages, answered(row("service_down", "0")) | warned)
    assert reading.values == {} and "connection refused" in reading.error
    assert read(pages, answered(row("service_down", "0")) | {"warnings": []}).values == {"service_down": 0.0}


def test_an_infinite_series_is_not_hidden_by_a_finite_one(pages: Site) -> None:
    """Failed requests by successful ones: infinite where each request failed."""
    rows = [row("error_rate", "+Inf", handler="/pay"), row("error_rate", "0", handler="/"), row("service_down", "0")]
    for listed in (rows, rows[::-1]):
        assert read(pages, answered(*listed)).values == {"service_down": 0.0}


def test_a_missing_prometheus_does_not_mean_a_down_service(pages: Site) -> None:
    wanted = PrometheusApiParameters.model_validate({"queries": QUERIES})
    assert PrometheusApi().derive(None, read(pages, "", 500), wanted) == {"error_rate": None, "service_down": None}


def test_an_old_scrape_is_stale(pages: Site) -> None:
    asked = {"scraped": 'timestamp(up{job="datasets"})'}
    fresh = read(pages, answered(row("error_rate", "0"), row("scraped", str(time.time() - 30))), **asked)
    assert not fresh.stale and fresh.values == {"error_rate": 0.0}
    assert read(pages, answered(row("error_rate", "0"), row("scraped", str(time.time() - 301))), **asked).stale
    assert read(pages, answered(row("error_rate", "0")), **asked).stale, "never scraped"
    milliseconds = row("scraped", str(time.time() * 1000))
    assert read(pages, answered(row("error_rate", "0"), milliseconds), **asked).stale


@pytest.mark.parametrize("wrong", [{"queries": {}}, {"queries": {"Bad name": "up"}}, {"queries": {"a": ""}}, {}])
def test_parameters_are_checked_when_they_are_entered(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PrometheusApiParameters.model_validate(wrong)
