"""JUnit reports of the tools that write them: counted from their cases, and what does not agree is refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.utils import translation

from releases.procedures.load import default
from releases.sources.evidence import judge, read

from .test_evidence import BAD, ERROR, OK, SKIP, _junit

LIMITS = default().threshold_values()


@pytest.fixture(autouse=True)
def _english() -> Iterator[None]:
    with translation.override("en"):
        yield


def _verdict(kind: str, content: bytes) -> str:
    return judge(kind, read(kind, content).values, LIMITS)[0]


def test_junit_is_counted_from_its_cases() -> None:
    reading = read("junit", _junit(OK, OK, BAD, SKIP, ERROR, tests=5, failures=1, errors=1, skipped=1))
    assert reading.values == {"tests": 5, "failures": 1, "errors": 1, "skipped": 1, "passed": 2}
    assert reading.sentence == "2 of 5 tests passed."
    assert _verdict("junit", _junit(OK, BAD)) == "fail"
    assert _verdict("junit", _junit(OK, ERROR)) == "fail"
    assert _verdict("junit", _junit(OK, SKIP)) == "pass"


@pytest.mark.parametrize("content", [_junit(), _junit(SKIP)])
def test_tests_that_did_not_run_are_no_pass(content: bytes) -> None:
    assert _verdict("junit", content) == "unknown"


def test_a_test_that_is_listed_twice_and_counted_once_is_no_contradiction() -> None:
    twice = '<testcase name="b" classname="c"><error message="while cleaning up">x</error></testcase>'
    assert read("junit", _junit(BAD, twice, tests=1, failures=1, errors=1)).values["tests"] == 2


def test_a_deeply_nested_report_is_read_for_what_it_lists() -> None:
    content = b"<testsuite>" * 2000 + OK.encode() + b"</testsuite>" * 2000
    assert read("junit", content).values["tests"] == 1
