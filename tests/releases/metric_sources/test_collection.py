"""One measurement of a target through all its sources, as its options say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from environments.targets.base import TargetSpec
from releases.metric_sources.alert_list import ACTIVE
from releases.metric_sources.collection import Looked, WrongSources, look, places_of
from tests.releases.metric_sources.pages import Page, Site, site

TEXT = 'http_requests_total{{status="200"}} {ok}\nhttp_requests_total{{status="500"}} {bad}\nresource_use_ratio 0.2\n'


@pytest.fixture
def pages() -> Iterator[Site]:
    with site() as made:
        yield made


def seen(pages: Site, earlier: Looked | None, *sources: dict[str, Any]) -> Looked:
    settings: dict[str, Any] = {"metrics_url": f"{pages.base}/metrics", "alerts_url": pages.base}
    settings |= {"metric_sources": list(sources)} if sources else {}
    target = TargetSpec("a", "e", Path("/"), settings)
    return look(target, places_of(settings), earlier.raw if earlier is not None else {}, {})


def test_the_default_source_is_the_page_of_the_service(pages: Site) -> None:
    pages.pages["/metrics"] = [Page(TEXT.format(ok=90, bad=10)), Page(TEXT.format(ok=150, bad=50))]
    first = seen(pages, None)
    assert first.up and first.values["resource_use"] == 0.2 and first.values["error_rate"] is None
    assert seen(pages, first).values["error_rate"] == 0.4


def test_several_sources_are_one_measurement_and_the_first_one_wins(pages: Site) -> None:
    pages.pages["/metrics"] = [Page(TEXT.format(ok=90, bad=10))]
    pages.pages["/own"] = [Page(json.dumps({"load": 0.9, "queue": 7}))]
    pages.pages[ACTIVE] = [Page("[]")]
    own = {"url": f"{pages.base}/own", "values": {"resource_use": "load", "queue_length": "queue"}}
    found = seen(
        pages, None, {"source": "prometheus_text"}, {"source": "json_http", "parameters": own}, {"source": "alerts"}
    )
    assert (found.values["resource_use"], found.values["queue_length"]) == (0.2, 7.0)
    assert (found.values["alerts_firing"], found.values["alerts_per_hour"]) == (0.0, 0.0)
    assert set(found.raw) == {"prometheus_text", "json_http", "alerts"} and not found.error


def test_an_unreachable_source_is_an_error_of_its_own_metrics_only(pages: Site) -> None:
    pages.pages["/metrics"] = [Page(TEXT.format(ok=90, bad=10))]
    pages.pages[ACTIVE] = [Page("", 500)]
    found = seen(pages, None, {"source": "prometheus_text"}, {"source": "alerts"})
    assert found.up and found.unreadable == {"alerts_firing": "error", "alerts_per_hour": "error"}
    assert found.error == "alerts: The page answered 500."


def test_a_service_that_is_down_has_no_data_and_is_down(pages: Site) -> None:
    pages.pages["/metrics"] = [Page("", 503)]
    found = seen(pages, None)
    assert not found.up and found.unreadable == {} and found.values["service_down"] == 1.0


def test_an_unreadable_page_is_an_error(pages: Site) -> None:
    pages.pages["/metrics"] = [Page("broken {\n")]
    found = seen(pages, None)
    assert found.unreadable == dict.fromkeys(("error_rate", "response_time", "resource_use", "service_down"), "error")


@pytest.mark.parametrize(
    "page",
    [
        Page("no route", 404),
        Page("", 302, {"Location": "/sign-in"}),
        Page("<html>We are back soon.</html>"),
        Page("broken {\n"),
    ],
)
def test_another_page_does_not_show_that_the_service_is_up(pages: Site, page: Page) -> None:
    """A proxy answers so for a service that is gone."""
    pages.pages["/metrics"] = [page]
    target = TargetSpec("a", "e", Path("/"), {"metrics_url": f"{pages.base}/metrics"})
    looked = look(target, places_of({}), {}, {})
    assert looked.values["service_down"] is None and looked.unreadable["service_down"] == "error" and looked.error


def test_old_numbers_are_stale_and_have_no_value(pages: Site) -> None:
    pages.pages["/own"] = [Page(json.dumps({"load": 0.9, "at": "2026-01-01T00:00:00Z"}))]
    own = {"url": f"{pages.base}/own", "values": {"resource_use": "load"}, "time": "at"}
    found = seen(pages, None, {"source": "json_http", "parameters": own})
    assert (found.values, found.unreadable) == ({"resource_use": None}, {"resource_use": "stale"})


def test_a_rate_continues_over_a_failed_measurement(pages: Site) -> None:
    answers = [Page(TEXT.format(ok=90, bad=10)), Page("", 503), Page(TEXT.format(ok=150, bad=50))]
    pages.pages["/metrics"] = answers
    looked = None
    for _ in range(3):
        looked = seen(pages, looked)
    assert looked is not None and looked.values["error_rate"] == 0.4


@pytest.mark.parametrize(
    ("metric_sources", "said"),
    [
        ([], "list"),
        ("prometheus_text", "list"),
        ([{"source": "prometheus_text"}] * 6, "list"),
        ([{"parameters": {}}], "metric_sources.0"),
        ([{"source": "prometheus_text", "more": 1}], "metric_sources.0"),
        ([{"source": "prometheus_text"}, {"source": "graphite"}], "metric_sources.1 names an unknown source: graphite"),
        ([{"source": "json_http", "parameters": {"values": {}}}], "metric_sources.0: name values, or the text"),
        ([{"source": "prometheus_api", "parameters": {"queries": {"x": 1}}}], "metric_sources.0.queries.x: "),
        ([{"source": "sql", "parameters": {"statement": "DROP TABLE x", "values": {"a": "b"}}}], "statement"),
        ([{"source": "prometheus_text", "parameters": {"error_status": "("}}], "error_status"),
    ],
)
def test_invalid_options_are_refused_with_their_place(metric_sources: Any, said: str) -> None:
    with pytest.raises(WrongSources, match=said):
        places_of({"metric_sources": metric_sources})
