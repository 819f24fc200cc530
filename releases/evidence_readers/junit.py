"""JUnit XML of many writers: tests are counted from their cases, and the numbers of a suite must agree."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal
from xml.etree.ElementTree import Element

from django.utils.translation import gettext as _

from releases.evidence_readers.base import (
    BadEvidence,
    Document,
    EvidenceType,
    Form,
    Judgement,
    Reading,
    Values,
    count_of,
)

# Depth of nested suites; no tool nests them deeper.
DEEPEST = 100
Result = Literal["passed", "flaky", "failures", "errors", "skipped"]
_SUITES = ("testsuites", "testsuite")
# Values of GoogleTest and CTest in `status` or `result`.
_NOT_RUN = frozenset({"notrun", "disabled", "suppressed", "skipped", "ignored"})
_FAILED = frozenset({"fail", "failed", "failure"})
# Cases around the tests of a class or file: a hook, a fixture, a file that could not be loaded.
_AROUND = re.compile(
    r"initializationError|executionError|classMethod"
    r"|(?:setUp|tearDown)(?:Class|Module) \((?P<of>[^)]+)\)|\"(?:before|after) (?:all|each)\" hook.*",
    re.DOTALL,
)


# jest's name for a file that it could not load.
_NOT_LOADED = "Test suite failed to run"


@dataclass(frozen=True)
class Case:
    """One test of a report. `places`: the class, file and suites that contain it."""

    place: str
    name: str
    result: Result
    places: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Return the subject of the case: a test, or everything in a place where that could not be run."""
        around = _AROUND.fullmatch(self.name)
        if around is not None:
            return f"{around['of'] or self.place}::"
        if _AROUND.fullmatch(self.place) and self.places:
            return f"{self.places[-1]}::"
        if self.place == _NOT_LOADED or not self.place:
            return f"{self.name}::"
        return f"{self.place}::{self.name}"


def reading_of(cases: Iterable[Case], suites: Iterable[str], not_counted: int = 0) -> Reading:
    """Return the reading of a report of tests, of which `not_counted` were listed but not run.

    A failed test counts as one, however often it is listed: tools list reruns and a failure while cleaning up.
    """
    counts = {"failures": 0, "errors": 0, "skipped": not_counted, "passed": -not_counted, "flaky": 0}
    parts, wrong = set[str](), dict[str, Result]()
    listed = list(cases)
    for case in listed:
        if case.result in ("failures", "errors"):
            wrong[case.key] = "errors" if "errors" in (case.result, wrong.get(case.key)) else "failures"
    for case in listed:
        # A skipped test says nothing about the result that it had before.
        if case.result != "skipped":
            parts.update((case.key, *(f"{place}::" for place in case.places)))
        if case.key not in wrong:
            counts["skipped" if case.result == "skipped" else "passed"] += 1
            counts["flaky"] += case.result == "flaky"
    for result in wrong.values():
        counts[result] += 1
    values: Values = {"tests": sum(counts.values()) - counts["flaky"], **counts}
    summary = _("%(passed)d of %(tests)d tests passed.") % values
    if counts["flaky"]:
        summary += " " + _("%(flaky)d of them passed only when they were run again.") % values
    tool = ", ".join(list(dict.fromkeys(filter(None, suites)))[:3])
    return Reading(values, summary, tool, frozenset(parts), frozenset(wrong))


@dataclass
class _Suite:
    """The contents of a suite and its inner suites, added up from the innermost outwards."""

    element: Element
    places: tuple[str, ...]
    cases: list[Case] = field(default_factory=list)
    listed: int = 0
    wrong: int = 0
    own: int = 0


def read(document: Document) -> Reading:
    """Count the cases of a report."""
    root = document.root
    assert root is not None
    cases, names, not_counted = list[Case](), list[str](), 0
    # pytest counts unlisted subtests and mocha unlisted pending tests; Catch2, which names no host, counts assertions.
    more = root.get("name") in ("pytest tests", "Mocha Tests") or any(
        one.get("hostname") == "tbd" for one in root.iter("testsuite")
    )
    stack: list[tuple[_Suite, Iterator[Element]]] = [(_Suite(root, ()), iter(root))]
    while stack:
        suite, rest = stack[-1]
        child = next(rest, None)
        if child is None:
            stack.pop()
            not_counted += _agreed(suite, more=more)
            if _never_began(suite):
                suite.cases.append(Case(suite.element.get("name", ""), "", "errors", suite.places))
            cases += suite.cases
            if suite.cases:
                names.append(suite.element.get("name", ""))
            if stack:
                outer = stack[-1][0]
                outer.listed, outer.wrong = outer.listed + suite.listed, outer.wrong + suite.wrong
        elif child.tag in _SUITES:
            if len(stack) >= DEEPEST:
                raise BadEvidence(_("The report nests suites more than %(depth)d deep.") % {"depth": DEEPEST})
            inner = child.get("name", "")
            stack.append((_Suite(child, (*suite.places, inner) if inner else suite.places), iter(child)))
        elif child.tag == "testcase":
            _take(suite, child)
        elif child.tag in ("error", "failure"):
            place = suite.element.get("name", "")
            suite.cases.append(Case(place, "", "errors", suite.places))
            suite.listed, suite.own, suite.wrong = suite.listed + 1, suite.own + 1, suite.wrong + 1
    if len(cases) < sum(1 for _case in root.iter("testcase")):
        raise BadEvidence(_("The report lists tests outside of its suites."))
    return reading_of(cases, names, not_counted)


def _never_began(suite: _Suite) -> bool:
    """Tell whether PHPUnit lists a class without its tests: it does so where `setUpBeforeClass` failed or skipped."""
    stated = suite.element.attrib
    return not suite.listed and "file" in stated and stated.get("tests") == stated.get("assertions") == "0"


def _take(suite: _Suite, element: Element) -> None:
    place, file = element.get("classname") or "", element.get("file") or ""
    places = tuple(filter(None, (*_places(place), file, *suite.places)))
    case = Case(place, element.get("name") or "", _result(element), places)
    suite.cases.append(case)
    suite.listed, suite.own = suite.listed + 1, suite.own + 1
    faults = sum(1 for one in element if one.tag in ("failure", "error"))
    suite.wrong += max(faults, int(case.result in ("failures", "errors")))


def _places(place: str) -> list[str]:
    """Return a class and its parents: a.b.C, a.b, a."""
    ends = [match.start() for match in re.finditer(r"[. ]", place)][:20]
    return [place, *(place[:end] for end in ends)]


def _result(case: Element) -> Result:
    tags = {child.tag for child in case}
    stated = {(case.get(name) or "").lower() for name in ("status", "result")}
    if "error" in tags:
        return "errors"
    if "failure" in tags or stated & _FAILED:
        return "failures"
    if "skipped" in tags or stated & _NOT_RUN:
        return "errors" if _could_not_run(case) else "skipped"
    return "flaky" if tags & {"flakyFailure", "flakyError"} else "passed"


def _could_not_run(case: Element) -> bool:
    """Tell whether CTest had no program or file for a test: it lists that as skipped, and fails by it."""
    why = case.find("skipped")
    return case.get("status") == "notrun" and why is not None and not why.get("message", "SKIP_").startswith("SKIP_")


def _agreed(suite: _Suite, *, more: bool) -> int:
    """Refuse a suite that contradicts itself, truncated or edited; return the number of sound cases left uncounted.

    A tool may count the tests of the suite alone or include those of inner suites, and omit hooks.
    """
    stated = count_of(suite.element, "tests")
    bad = [count_of(suite.element, name) or 0 for name in ("failures", "errors", "skipped")]
    if bad[0] + bad[1] > suite.wrong:
        raise BadEvidence(_("The report states failures that it does not list."))
    if stated is None:
        return 0
    if max(bad) > max(stated, suite.listed):
        text = _("The report states %(bad)d failed or skipped tests of %(tests)d.")
        raise BadEvidence(text % {"bad": max(bad), "tests": stated})
    if stated > suite.listed and not more:
        text = _("The report states %(stated)d tests and lists %(listed)d.")
        raise BadEvidence(text % {"stated": stated, "listed": suite.listed})
    # jest lists unwritten tests beside those that it counts.
    own = len({f"{case.place}::{case.name}" for case in suite.cases if case.result not in ("failures", "errors")})
    return max(0, own - stated) if suite.own == suite.listed else 0


def evaluate(values: Mapping[str, str | int], limits: Mapping[str, str | int]) -> Judgement:
    """Compare the failed tests with their limit."""
    failed = int(values["failures"]) + int(values["errors"])
    # Skipped tests show nothing.
    if int(values["tests"]) - int(values["skipped"]) <= 0:
        return "unknown", _("No test was run.")
    return "passed" if failed <= int(limits["failed_tests_max"]) else "failed", _(
        "%(failed)d of %(tests)d tests failed; at most %(limit)s may fail."
    ) % {"failed": failed, "tests": int(values["tests"]), "limit": limits["failed_tests_max"]}


KIND = EvidenceType(
    "junit",
    evaluate,
    adds=("tests", "failures", "errors", "skipped"),
    says_nothing=lambda values: values.get("tests") == values.get("skipped") != 0,
)
FORM = Form(
    "junit",
    "JUnit XML",
    '<testsuites><testsuite name="…"><testcase classname="…" name="…"/>',
    lambda document: document.root is not None and document.root.tag in _SUITES,
    read,
)
