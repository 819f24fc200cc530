"""The check of one page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from environments.targets.base import TargetSpec
from releases.check_types.base import CheckContext, CheckResult, Result
from releases.check_types.http import Http, HttpParameters
from tests.releases.metric_sources.pages import Page, Site, site


@pytest.fixture
def pages() -> Iterator[Site]:
    with site() as made:
        yield made


def check(pages: Site, page: Page, **parameters: Any) -> CheckResult:
    pages.pages["/page"] = [page]
    target = TargetSpec("a", "e", Path("/"), {"urls": {"base": f"{pages.base}/"}})
    context = CheckContext(target, {"PASSWORD": "hidden-7"})
    return Http().run(context, HttpParameters.model_validate({"path": "/page", **parameters}))


def test_the_expected_status_passes_and_the_answer_is_kept(pages: Site) -> None:
    result = check(pages, Page("hello\nwith hidden-7"))
    assert result.result is Result.PASSED
    assert result.value.startswith("200, 0.")
    assert result.limit == "200, ≤ 5 s"
    assert result.output == "GET /page\nhello\nwith ****"


def test_another_status_fails_and_an_expected_error_passes(pages: Site) -> None:
    assert check(pages, Page("", 500)).result is Result.FAILED
    assert check(pages, Page("", 404), status=404).result is Result.PASSED
    assert check(pages, Page("", 200), status=404).result is Result.FAILED


def test_redirects_are_not_followed(pages: Site) -> None:
    pages.pages["/other"] = [Page("fine")]
    assert check(pages, Page("", 302, {"Location": "/other"})).result is Result.FAILED
    assert pages.asked == ["/page"]


def test_what_a_cache_has_kept_says_nothing_about_the_service(pages: Site) -> None:
    kept = check(pages, Page("1.3.0", 200, {"Age": "86"}), contains="1.3.0")
    assert kept.result is Result.STALE and "86 seconds old" in kept.output
    assert check(pages, Page("1.3.0", 500, {"Age": "86"})).result is Result.STALE
    for fresh in ("0", "soon"):
        assert check(pages, Page("1.3.0", 200, {"Age": fresh})).result is Result.PASSED


def test_the_body_must_contain_the_text(pages: Site) -> None:
    assert check(pages, Page("データ一覧"), contains="データ").result is Result.PASSED
    assert check(pages, Page("nothing"), contains="データ").result is Result.FAILED


@pytest.mark.parametrize(
    ("wanted", "result"),
    [
        ({"version": "1.3.0", "rows.1.id": 2}, Result.PASSED),
        ({"ok": True}, Result.PASSED),
        ({"ok": 1}, Result.FAILED),
        ({"version": "1.3.1"}, Result.FAILED),
        ({"rows.2.id": 2}, Result.FAILED),
        ({"none": None}, Result.FAILED),
    ],
)
def test_the_json_must_hold_the_values(pages: Site, wanted: dict[str, object], result: Result) -> None:
    page = Page('{"version": "1.3.0", "ok": true, "rows": [{"id": 1}, {"id": 2}]}')
    assert check(pages, page, json_equals=wanted).result is result


def test_an_invalid_json_body_fails(pages: Site) -> None:
    assert check(pages, Page("<html>"), json_equals={"a": 1}).result is Result.FAILED


@pytest.mark.parametrize("announce", [True, False])
def test_a_slow_answer_fails(pages: Site, announce: bool) -> None:
    result = check(pages, Page("x" * 100, trickle=0.05, announce=announce), seconds=0.2)
    assert (result.result, result.value) == (Result.FAILED, "> 0.2 s")


@pytest.mark.parametrize("path", ["//other.test/", "http://other.test/", "x", "/a b", "/a\\b", "/a\r\nX: y", "/é", ""])
def test_a_path_outside_the_target_is_refused(path: str) -> None:
    with pytest.raises(ValidationError):
        HttpParameters(path=path)
