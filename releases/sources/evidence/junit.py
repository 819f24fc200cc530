"""JUnit XML: tests are counted from their cases, and what a suite states must agree with them."""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree.ElementTree import Element

from django.utils.translation import gettext as _
from junitparser import Error, Failure, JUnitXmlError, Skipped, TestCase

from releases.sources.evidence.base import (
    BadEvidence,
    Document,
    EvidenceKind,
    Form,
    Judgement,
    Reading,
    Values,
    count_of,
)


def read(document: Document) -> Reading:
    """Count the cases of a report."""
    root = document.root
    assert root is not None
    listed, failing = set[str](), set[str]()
    counts = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    try:
        for element in root.iter("testcase"):
            results = TestCase.fromelem(element).result  # type: ignore[no-untyped-call]
            counts["tests"] += 1
            name = f"{element.get('classname', '')}::{element.get('name', '')}"
            listed.add(name)
            if any(isinstance(result, (Error, Failure)) for result in results):
                failing.add(name)
            if any(isinstance(result, Error) for result in results):
                counts["errors"] += 1
            elif any(isinstance(result, Failure) for result in results):
                counts["failures"] += 1
            elif any(isinstance(result, Skipped) for result in results):
                counts["skipped"] += 1
    except (JUnitXmlError, ValueError, TypeError) as fault:
        raise BadEvidence(_("The file is not a JUnit report: %(fault)s.") % {"fault": fault}) from None
    suites = list(root.iter("testsuite"))
    for suite in [root, *suites]:
        _agrees(suite)
    stated_bad = sum(
        (count_of(suite, "failures") or 0) + (count_of(suite, "errors") or 0)
        for suite in suites
        if suite.find("testsuite") is None
    )
    root_bad = (count_of(root, "failures") or 0) + (count_of(root, "errors") or 0)
    if max(stated_bad, root_bad) > counts["failures"] + counts["errors"]:
        raise BadEvidence(_("The report states failures that it does not list."))
    values: Values = {**counts, "passed": counts["tests"] - sum(counts[name] for name in list(counts)[1:])}
    names = list(dict.fromkeys(suite.get("name", "") for suite in suites if suite.find("testcase") is not None))
    tool = ", ".join(filter(None, names[:3]))
    sentence = _("%(passed)d of %(tests)d tests passed.") % values
    return Reading(values, sentence, tool, frozenset(listed), frozenset(failing))


def _agrees(suite: Element) -> None:
    """Refuse a suite that contradicts itself: cut short, or edited."""
    stated = count_of(suite, "tests")
    bad = [count_of(suite, name) or 0 for name in ("failures", "errors", "skipped")]
    if stated is None:
        return
    if max(bad) > stated:
        raise BadEvidence(
            _("The report states %(bad)d failed or skipped tests of %(tests)d.") % {"bad": max(bad), "tests": stated}
        )
    cases = list(suite.iter("testcase"))
    # A test that fails and then fails to clean up is listed twice by some tools and counted once.
    different = {(case.get("file"), case.get("classname"), case.get("name")) for case in cases}
    if not len(different) <= stated <= len(cases):
        raise BadEvidence(
            _("The report states %(stated)d tests and lists %(listed)d.") % {"stated": stated, "listed": len(cases)}
        )


def judge(values: Mapping[str, str | int], limits: Mapping[str, str | int]) -> Judgement:
    """Compare the failed tests with their limit."""
    failed = int(values["failures"]) + int(values["errors"])
    # Skipped tests have shown nothing.
    if int(values["tests"]) - int(values["skipped"]) <= 0:
        return "unknown", _("No test was run.")
    return "pass" if failed <= int(limits["failed_tests_max"]) else "fail", _(
        "%(failed)d of %(tests)d tests failed; at most %(limit)s may."
    ) % {"failed": failed, "tests": int(values["tests"]), "limit": limits["failed_tests_max"]}


KIND = EvidenceKind(
    "junit",
    judge,
    adds=("tests", "failures", "errors", "skipped"),
    says_nothing=lambda values: values.get("tests") == values.get("skipped") != 0,
)
FORM = Form(
    "junit",
    "JUnit XML",
    '<testsuites><testsuite name="…"><testcase classname="…" name="…"/>',
    lambda document: document.root is not None and document.root.tag in ("testsuites", "testsuite"),
    read,
)
