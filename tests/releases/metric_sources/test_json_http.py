"""The source for JSON over HTTP."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from environments.targets.base import TargetSpec
from releases.metric_sources.base import Reading
from releases.metric_sources.json_http import JsonHttp, JsonHttpParameters
from tests.releases.metric_sources.pages import Page, Site, site

CONTENT = {"http": {"all": 100, "bad": 5}, "load": [0.2, 0.7, "x"], "ok": True, "at": "2026-03-18T00:00:00Z"}
VALUES = {"requests": "http.all", "errors": "http.bad", "resource_use": "load", "healthy": "ok"}


@pytest.fixture
def pages() -> Iterator[Site]:
    with site() as made:
        yield made


def read(pages: Site, content: Any, status: int = 200, **more: Any) -> Reading:
    pages.pages["/metrics"] = [Page(content if isinstance(content, str) else json.dumps(content), status)]
    wanted = JsonHttpParameters.model_validate({"values": VALUES, **more})
    return JsonHttp().read(TargetSpec("a", "e", Path("/"), {"metrics_url": f"{pages.base}/metrics"}), wanted)


def test_numbers_are_found_by_their_paths(pages: Site) -> None:
    reading = read(pages, CONTENT)
    assert (reading.up, reading.error) == (True, "")
    assert reading.values == {"requests": 100, "errors": 5, "resource_use": 0.7, "healthy": 1}


def test_invalid_numbers_are_left_out(pages: Site) -> None:
    assert read(pages, {"http": {"all": "100", "bad": None}, "load": [], "ok": {}}).values == {}
    assert read(pages, '{"http": {"all": NaN, "bad": 1e999}}').values == {}


@pytest.mark.parametrize(("status", "up"), [(404, True), (302, True), (503, False)])
def test_another_status_gives_no_values(pages: Site, status: int, up: bool) -> None:
    reading = read(pages, CONTENT, status)
    assert (reading.up, reading.values) == (up, {}) and reading.error


def test_an_invalid_json_page_is_reported(pages: Site) -> None:
    reading = read(pages, "<html>")
    assert (reading.up, reading.values) == (True, {}) and reading.error


@pytest.mark.parametrize(
    ("at", "stale"),
    [
        (lambda: time.time() - 10, False),
        (lambda: (datetime.now(UTC) - timedelta(seconds=10)).isoformat(), False),
        (lambda: time.time() - 400, True),
        (lambda: "2026-03-18T00:00:00Z", True),
        (lambda: "yesterday", True),
        (lambda: time.time() + 10, False),
        (lambda: (time.time() - 86400) * 1000, True),
        (lambda: "2099-01-01T00:00:00Z", True),
        (lambda: None, True),
    ],
)
def test_numbers_are_stale_by_their_own_time(pages: Site, at: Any, stale: bool) -> None:
    assert read(pages, {**CONTENT, "at": at()}, time="at").stale is stale


def test_a_page_of_the_service_itself_shows_whether_it_is_down(pages: Site) -> None:
    wanted = JsonHttpParameters.model_validate({"values": VALUES, "own": True})
    kind, down = JsonHttp(), read(pages, "", 503)
    assert kind.derive(None, down, wanted)["service_down"] == 1.0
    assert kind.derive(None, read(pages, CONTENT), wanted)["service_down"] == 0.0
    assert kind.derive(None, read(pages, {"status": "ok"}), wanted)["service_down"] == 0.0
    assert "service_down" not in kind.derive(None, down, JsonHttpParameters.model_validate({"values": VALUES}))


@pytest.mark.parametrize(
    ("content", "status", "down"),
    [("Ok\n", 200, 0.0), ("<html>We are back soon.</html>", 200, None), ("Ok", 404, None), ("Ok", 503, 1.0)],
)
def test_a_page_without_numbers_shows_the_service_by_its_text(
    pages: Site, content: str, status: int, down: float | None
) -> None:
    asked: dict[str, Any] = {"values": {}, "text": "Ok", "own": True}
    reading = read(pages, content, status, **asked)
    found = JsonHttp().derive(None, reading, JsonHttpParameters.model_validate(asked))
    assert found == {"service_down": down} and bool(reading.error) is (down != 0.0)


@pytest.mark.parametrize("wrong", [{}, {"text": "Ok"}, {"own": True}])
def test_a_page_names_values_or_the_text_of_the_service(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="name values, or the text"):
        JsonHttpParameters.model_validate(wrong)
