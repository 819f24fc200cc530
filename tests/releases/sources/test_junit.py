"""Test reports of real writers: counted from their cases, and refused when the numbers disagree."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.utils import translation

from releases.evidence_readers import BadEvidence, evaluate, read
from releases.evidence_readers.junit import DEEPEST
from releases.procedures.load import default

from .test_evidence import BAD, ERROR, OK, SKIP, _junit

LIMITS = default().threshold_values()
SAMPLES = Path(__file__).parent / "samples" / "junit"
# Written by: pytest 9.2, unittest-xml-reporting 4.0, jest-junit, mocha 12 (xunit) and mocha-junit-reporter, CTest 3.31,
# PHPUnit 11.5; the others by hand after the documentation of Gradle 8, Surefire 3, GoogleTest 1.15, Catch2 3,
# xUnit.net 2 and NUnit 3.
COUNTS = {  # tests, failures, errors, skipped, passed, flaky
    "pytest.xml": (8, 3, 1, 2, 2, 0),
    "pytest-collection.xml": (1, 0, 1, 0, 0, 0),
    "unittest.xml": (6, 2, 1, 2, 1, 0),
    "unittest-set-up.xml": (1, 0, 1, 0, 0, 0),
    "jest.xml": (5, 1, 1, 1, 2, 0),
    "mocha.xml": (7, 3, 0, 2, 2, 0),
    "mocha-junit-reporter.xml": (5, 3, 0, 0, 2, 0),
    "gradle.xml": (3, 1, 0, 1, 1, 0),
    "surefire.xml": (4, 1, 0, 0, 3, 1),
    "surefire-class.xml": (1, 0, 1, 0, 0, 0),
    "googletest.xml": (4, 1, 0, 2, 1, 0),
    "catch2.xml": (2, 1, 0, 0, 1, 0),
    "xunit.xml": (3, 1, 0, 1, 1, 0),
    "nunit.xml": (4, 1, 1, 1, 1, 0),
    "nunit-assembly.xml": (2, 0, 1, 0, 1, 0),
    "ctest.xml": (6, 0, 2, 3, 1, 0),
    "phpunit.xml": (4, 0, 1, 1, 2, 0),
}


@pytest.fixture(autouse=True)
def _english() -> Iterator[None]:
    with translation.override("en"):
        yield


def _result(content: bytes) -> str:
    return evaluate("junit", read("junit", content).values, LIMITS)[0]


def test_a_report_is_counted_from_its_cases() -> None:
    reading = read("junit", _junit(OK, BAD, SKIP, ERROR, tests=4, failures=1, errors=1, skipped=1))
    assert reading.values == {"tests": 4, "failures": 1, "errors": 1, "skipped": 1, "passed": 1, "flaky": 0}
    assert reading.summary == "1 of 4 tests passed."
    assert _result(_junit(OK, BAD)) == _result(_junit(OK, ERROR)) == "failed"
    assert _result(_junit(OK, SKIP)) == "passed"


@pytest.mark.parametrize("name", COUNTS)
def test_the_reports_of_the_tools_are_read(name: str) -> None:
    values = read("junit", (SAMPLES / name).read_bytes()).values
    found = tuple(values[key] for key in ("tests", "failures", "errors", "skipped", "passed", "flaky"))
    assert found == COUNTS[name]
    assert evaluate("junit", values, LIMITS)[0] == "failed"
    assert set(COUNTS) == {path.name for path in SAMPLES.iterdir()}


@pytest.mark.parametrize("name", COUNTS)
def test_a_report_supersedes_only_itself(name: str) -> None:
    one = read("junit", (SAMPLES / name).read_bytes())
    assert one.failing and one.must_be_repeated <= one.speaks_of
    for other in COUNTS:
        if other != name:
            assert not one.must_be_repeated <= read("junit", (SAMPLES / other).read_bytes()).speaks_of, other


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("pytest-collection.xml", '<testcase classname="test_col.TestA" name="a"/>'),
        ("unittest-set-up.xml", '<testcase classname="test_u.B" name="test_1"/>'),
        ("jest.xml", '<testcase classname="sum fails" name="sum fails"/><testcase file="b.test.js" name="x y"/>'),
        ("phpunit.xml", '<testcase classname="SetupTest" name="testA"/>'),
        ("surefire-class.xml", '<testcase classname="shop.StockTest" name="counts"/>'),
    ],
)
def test_a_failure_around_tests_is_cleared_by_a_test_from_there(name: str, good: str) -> None:
    failed = read("junit", (SAMPLES / name).read_bytes())
    assert failed.must_be_repeated <= read("junit", _junit(good)).speaks_of
    assert not failed.must_be_repeated <= read("junit", _junit(OK)).speaks_of


@pytest.mark.parametrize(
    "case",
    [
        SKIP,
        '<testcase name="DISABLED_x" classname="c" status="notrun" result="suppressed"/>',
        '<testcase name="x" classname="c" status="disabled"/>',
        '<testcase name="x" classname="c" status="run" result="skipped"/>',
    ],
)
def test_tests_that_did_not_run_do_not_pass(case: str) -> None:
    assert _result(_junit()) == "unknown"
    assert read("junit", _junit(case)).values["skipped"] == 1
    assert _result(_junit(case)) == "unknown" and _result(_junit(case, OK)) == "passed"


def test_a_skipped_test_is_no_rerun_of_a_failed_one() -> None:
    failed = read("junit", _junit(OK, BAD))
    skipped = '<testcase name="b" classname="c"><skipped message="no database"/></testcase>'
    for again in (_junit(OK, skipped), _junit(skipped)):
        assert not failed.must_be_repeated <= read("junit", again).speaks_of
    assert failed.must_be_repeated <= read("junit", _junit(BAD)).speaks_of


def test_an_assembly_that_is_loaded_again_clears_its_failure() -> None:
    failed = (SAMPLES / "nunit-assembly.xml").read_bytes()
    loaded = failed.replace(b'runstate="NotRunnable" result="Failed" label="Invalid"', b'result="Passed"')
    assert _result(failed) == "failed" and _result(loaded) == "passed"
    assert read("junit", failed).must_be_repeated <= read("junit", loaded).speaks_of


def test_a_failure_stated_only_by_an_attribute_counts() -> None:
    assert _result(_junit('<testcase name="x" classname="c" status="fail"/>', OK)) == "failed"


def test_reruns_add_no_test_and_a_flaky_one_is_shown() -> None:
    twice = '<testcase name="b" classname="c"><error message="while cleaning up">x</error></testcase>'
    assert read("junit", _junit(BAD, twice, tests=1, failures=1, errors=1)).values["tests"] == 1
    assert _result(_junit(BAD, '<testcase name="b" classname="c"/>')) == "failed", "two tests may share a name"
    reading = read("junit", (SAMPLES / "surefire.xml").read_bytes())
    assert reading.summary == "3 of 4 tests passed. 1 of them passed only when they were run again."


def test_an_error_of_a_suite_itself_counts() -> None:
    content = (
        b'<testsuites><testsuite name="s" tests="1" errors="1"><error/><testcase name="a"/></testsuite></testsuites>'
    )
    assert read("junit", content).values["errors"] == 1 and _result(content) == "failed"


def test_unwritten_tests_do_not_pass() -> None:
    todo = '<testcase classname="sum todo" name="sum todo"/>'
    assert _result(_junit(todo, tests=0)) == "unknown"
    assert read("junit", _junit(todo, OK, tests=1)).values["passed"] == 1


@pytest.mark.parametrize("encoding", ["Shift_JIS", "Windows-31J", "MS932", "EUC-JP", "ISO-2022-JP", "utf-8", "utf-16"])
def test_japanese_encodings_are_read(encoding: str) -> None:
    codec = {"windows-31j": "cp932", "ms932": "cp932"}.get(encoding.lower(), encoding.lower())
    text = f"<?xml version='1.0' encoding='{encoding}'?><testsuite name='検査'><testcase name='合計'/></testsuite>"
    assert read("junit", text.encode(codec)).tool == "検査"


def test_nested_suites_are_read_quickly_and_to_a_limit() -> None:
    inside = "<testsuite>" * (DEEPEST - 1) + OK + "</testsuite>" * (DEEPEST - 1)
    assert read("junit", f"<testsuites>{inside}</testsuites>".encode()).values["tests"] == 1
    begun = time.process_time()
    with pytest.raises(BadEvidence, match="more than 100 deep"):
        read("junit", b"<testsuite>" * 12_000 + OK.encode() + b"</testsuite>" * 12_000)
    cases = "".join(f'<testcase classname="a.b.c{n % 500}" name="t{n}"/>' for n in range(60_000))
    nested = "<testsuite tests='60000'>" * 50 + cases + "</testsuite>" * 50
    assert read("junit", nested.encode()).values["passed"] == 60_000
    assert time.process_time() - begun < 5


def test_content_outside_the_suites_is_refused() -> None:
    with pytest.raises(BadEvidence, match="outside"):
        read("junit", b"<testsuite><properties><testcase name='a'><failure/></testcase></properties></testsuite>")


@pytest.mark.parametrize("name", ["xunit.xml", "nunit.xml"])
def test_a_truncated_or_edited_dotnet_report_is_refused(name: str) -> None:
    text = (SAMPLES / name).read_text(encoding="utf-8")
    for wrong in (
        text.replace(' total="3"', ' total="4"', 1).replace(
            ' total="4" passed="1" failed="2"', ' total="5" failed="2"', 1
        ),
        text.replace('result="Fail"', 'result="Pass"').replace('result="Failed" label', 'result="Passed" label'),
        text.replace('result="Skip"', 'result="Odd"').replace('result="Skipped"', 'result="Odd"'),
    ):
        assert wrong != text
        with pytest.raises(BadEvidence):
            read("junit", wrong.encode())
