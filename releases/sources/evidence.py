"""Readers of evidence: JUnit, Cobertura, SARIF 2.1.0 and JSON statements, from hostile bytes.

`read` takes a report's own values out of it, `judge` compares them with thresholds. What is missing or counts
nothing is unknown, never a pass.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any, Literal
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring
from django.utils.translation import gettext as _
from junitparser import Error, Failure, JUnitXmlError, Skipped, TestCase

LARGEST = 10 * 1024 * 1024
Values = dict[str, str | int]
Outcome = Literal["pass", "fail", "unknown"]
_ROUNDING = Fraction(1, 2000)
_PLAIN_SHARE = re.compile(r"[0-9]{1,3}(\.[0-9]{0,30})?", re.ASCII)
_SEVERITIES = ("critical", "high", "medium", "low")


class BadEvidence(ValueError):
    """A file that is no evidence of its kind; the message is shown to people."""


@dataclass(frozen=True)
class Reading:
    """What a report says: its values as they stand in it, and one sentence for people."""

    kind: str
    values: Values
    sentence: str


def read(kind: str, content: bytes) -> Reading:
    """Read a report of one of KINDS, at most LARGEST bytes. Raises BadEvidence."""
    reader = _READERS.get(kind)
    if reader is None:
        raise BadEvidence(_("“%(kind)s” is not a kind of evidence.") % {"kind": kind})
    if not content.strip():
        raise BadEvidence(_("The file is empty."))
    if len(content) > LARGEST:
        raise BadEvidence(_("The file is larger than %(size)d MB.") % {"size": LARGEST // 1024 // 1024})
    return reader(content)


def judge(kind: str, values: Mapping[str, str | int], thresholds: Mapping[str, str | int]) -> tuple[Outcome, str]:
    """Compare values with thresholds (key → limit) and say why. A missing limit is unknown."""
    judgement = _JUDGES.get(kind)
    if judgement is None:
        return "unknown", _("“%(kind)s” is not a kind of evidence.") % {"kind": kind}
    try:
        return judgement(values, thresholds)
    except KeyError as absent:
        return "unknown", _("The value “%(name)s” is missing.") % {"name": absent.args[0]}
    except (ValueError, InvalidOperation, ZeroDivisionError, TypeError):
        return "unknown", _("The values cannot be compared.")


def _xml(content: bytes) -> Element:
    try:
        # A coverage file names its document type, so that is allowed; entities and what lies outside are not.
        root: Element = fromstring(content, forbid_dtd=False, forbid_entities=True, forbid_external=True)
    except DefusedXmlException:
        raise BadEvidence(_("The XML file declares entities, which are not read.")) from None
    except (ParseError, LookupError, ValueError) as fault:
        raise BadEvidence(_("The file is not well-formed XML: %(fault)s.") % {"fault": fault}) from None
    return root


def _json(content: bytes) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        named = dict(pairs)
        if len(named) != len(pairs):
            raise BadEvidence(_("A name stands twice in one JSON object."))
        return named

    def constant(name: str) -> Any:
        raise BadEvidence(_("%(name)s is not a number.") % {"name": name})

    try:
        return json.loads(
            content.decode("utf-8-sig"),
            parse_float=Decimal,
            parse_constant=constant,
            object_pairs_hook=unique,
        )
    except UnicodeDecodeError:
        raise BadEvidence(_("The file is not UTF-8.")) from None
    except BadEvidence:
        raise
    except (ValueError, RecursionError, InvalidOperation):
        raise BadEvidence(_("The file is not JSON.")) from None


def _stated(root: Element, name: str) -> int | None:
    text = root.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 12):
        raise BadEvidence(_("“%(name)s” is not a count: %(text)s.") % {"name": name, "text": text[:40]})
    return int(text)


def _junit(content: bytes) -> Reading:
    root = _xml(content)
    if root.tag not in ("testsuites", "testsuite"):
        raise BadEvidence(_("The file is not a JUnit report."))
    counts = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    try:
        for element in root.iter("testcase"):
            results = TestCase.fromelem(element).result  # type: ignore[no-untyped-call]
            counts["tests"] += 1
            if any(isinstance(result, Error) for result in results):
                counts["errors"] += 1
            elif any(isinstance(result, Failure) for result in results):
                counts["failures"] += 1
            elif any(isinstance(result, Skipped) for result in results):
                counts["skipped"] += 1
    except (JUnitXmlError, ValueError, TypeError) as fault:
        raise BadEvidence(_("The file is not a JUnit report: %(fault)s.") % {"fault": fault}) from None
    # A suite that states fewer failures than it lists was edited, one that states more was cut short.
    for suite in root.iter("testsuite"):
        listed = len(list(suite.iter("testcase")))
        stated = _stated(suite, "tests")
        if stated is not None and stated != listed:
            raise BadEvidence(
                _("The report states %(stated)d tests and lists %(listed)d.") % {"stated": stated, "listed": listed}
            )
    stated_bad = sum(
        (_stated(suite, "failures") or 0) + (_stated(suite, "errors") or 0)
        for suite in root.iter("testsuite")
        if suite.find("testsuite") is None
    )
    if stated_bad > counts["failures"] + counts["errors"]:
        raise BadEvidence(_("The report states failures that it does not list."))
    values: Values = {**counts, "passed": counts["tests"] - sum(counts[name] for name in list(counts)[1:])}
    return Reading("junit", values, _("%(passed)d of %(tests)d tests passed.") % values)


def _coverage(content: bytes) -> Reading:
    root = _xml(content)
    if root.tag != "coverage":
        raise BadEvidence(_("The file is not a Cobertura coverage report."))
    valid, covered = _stated(root, "lines-valid"), _stated(root, "lines-covered")
    rate = _share(root.get("line-rate"))
    if valid is None or covered is None:
        if rate is None:
            raise BadEvidence(_("The report names no coverage of lines."))
        return Reading("coverage", {"line_rate": str(rate)}, _("Coverage of lines: %(rate)s.") % {"rate": rate})
    if covered > valid:
        raise BadEvidence(_("The report covers more lines than there are."))
    values: Values = {"lines_covered": covered, "lines_valid": valid}
    if valid:
        if rate is not None and abs(Fraction(rate) - Fraction(covered, valid)) > _ROUNDING:
            raise BadEvidence(
                _("The report contradicts itself: a rate of %(rate)s, but %(covered)d of %(valid)d lines.")
                % {"rate": rate, "covered": covered, "valid": valid}
            )
        values["line_rate"] = str(Decimal(covered) / Decimal(valid))
    return Reading("coverage", values, _("%(lines_covered)d of %(lines_valid)d lines are covered.") % values)


def _share(text: str | None) -> Decimal | None:
    if text is None:
        return None
    # Digits only: an exponent could write a number that fills the memory when it is compared exactly.
    share = Decimal(text) if _PLAIN_SHARE.fullmatch(text) else None
    if share is None or share > 1:
        raise BadEvidence(_("A coverage of “%(text)s” is not between 0 and 1.") % {"text": text[:40]})
    return share


def _sarif(content: bytes) -> Reading:
    report = _json(content)
    if not isinstance(report, dict) or report.get("version") != "2.1.0" or not isinstance(report.get("runs"), list):
        raise BadEvidence(_("The file is not a SARIF 2.1.0 report."))
    counts = {"errors": 0, "warnings": 0, "notes": 0, "suppressed": 0, "none": 0}
    complete = 1
    for run in report["runs"]:
        results = run.get("results") if isinstance(run, dict) else None
        if not isinstance(results, list):
            raise BadEvidence(_("A run of the SARIF report has no list of results."))
        invocations = run.get("invocations", [])
        if not isinstance(invocations, list):
            raise BadEvidence(_("A run of the SARIF report has no list of invocations."))
        if any(isinstance(one, dict) and one.get("executionSuccessful") is False for one in invocations):
            complete = 0
        levels = _rule_levels(run)
        for result in results:
            if not isinstance(result, dict):
                raise BadEvidence(_("A result of the SARIF report is not an object."))
            counts[_result_level(result, levels)] += 1
    values: Values = {**counts, "runs": len(report["runs"]), "complete": complete}
    del values["none"]
    sentence = _("%(errors)d errors, %(warnings)d warnings and %(notes)d notes in %(runs)d runs.") % values
    return Reading("sarif", values, sentence)


def _rule_levels(run: dict[str, Any]) -> dict[str, str]:
    driver = (run.get("tool") or {}).get("driver") or {} if isinstance(run.get("tool"), dict) else {}
    rules = driver.get("rules") if isinstance(driver, dict) else None
    levels = {}
    for rule in rules if isinstance(rules, list) else ():
        if isinstance(rule, dict) and isinstance(rule.get("defaultConfiguration"), dict):
            levels[str(rule.get("id"))] = str(rule["defaultConfiguration"].get("level", "warning"))
    return levels


def _result_level(result: dict[str, Any], levels: Mapping[str, str]) -> str:
    suppressions = result.get("suppressions")
    if isinstance(suppressions, list) and suppressions:
        states = {str(one.get("status", "accepted")) for one in suppressions if isinstance(one, dict)}
        if states == {"accepted"}:
            return "suppressed"
    if result.get("kind", "fail") != "fail":
        return "none"
    level = result.get("level") or levels.get(str(result.get("ruleId")), "warning")
    named = {"error": "errors", "warning": "warnings", "note": "notes", "none": "none"}.get(str(level))
    if named is None:
        raise BadEvidence(_("“%(level)s” is not a level of SARIF.") % {"level": str(level)[:40]})
    return named


def _statement(content: bytes) -> dict[str, Any]:
    statement = _json(content)
    if not isinstance(statement, dict):
        raise BadEvidence(_("The statement is not a JSON object."))
    return statement


def _words(statement: dict[str, Any], name: str) -> str:
    value = statement.get(name)
    if not isinstance(value, str) or not value.strip():
        raise BadEvidence(_("The statement does not say “%(name)s”.") % {"name": name})
    return value.strip()[:200]


def _review(content: bytes) -> Reading:
    statement = _statement(content)
    verdict = _words(statement, "verdict")
    if verdict not in ("approved", "changes_requested"):
        raise BadEvidence(_("The verdict of a review is “approved” or “changes_requested”."))
    values: Values = {"reviewer": _words(statement, "reviewer"), "verdict": verdict}
    return Reading("review", values, _("%(reviewer)s reviewed it: %(verdict)s.") % values)


def _security_scan(content: bytes) -> Reading:
    statement = _statement(content)
    values: Values = {"tool": _words(statement, "tool")}
    for name in _SEVERITIES:
        count = statement.get(name)
        if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count < 10**9:
            raise BadEvidence(_("The statement does not count “%(name)s” findings.") % {"name": name})
        values[name] = count
    sentence = _("%(tool)s found %(critical)d critical, %(high)d high, %(medium)d medium, %(low)d low.") % values
    return Reading("security_scan", values, sentence)


def _performance(content: bytes) -> Reading:
    statement = _statement(content)
    values: Values = {"tool": _words(statement, "tool")}
    for name in ("measured", "baseline"):
        raw = statement.get(name)
        try:
            number = Decimal(raw) if isinstance(raw, int | str | Decimal) and not isinstance(raw, bool) else None
        except InvalidOperation:
            number = None
        if number is None or not number.is_finite() or not 0 < number < 10**9 or number.adjusted() < -12:
            raise BadEvidence(_("“%(name)s” is not a time in seconds above zero.") % {"name": name})
        values[name] = f"{number:.12f}".rstrip("0").rstrip(".")
    sentence = _("%(measured)s s measured against a baseline of %(baseline)s s.") % values
    return Reading("performance", values, sentence)


def _judge_junit(values: Mapping[str, str | int], limits: Mapping[str, str | int]) -> tuple[Outcome, str]:
    failed = int(values["failures"]) + int(values["errors"])
    # Skipped tests have shown nothing.
    if int(values["tests"]) - int(values["skipped"]) <= 0:
        return "unknown", _("No test was run.")
    outcome: Outcome = "pass" if failed <= int(limits["failed_tests_max"]) else "fail"
    return outcome, _("%(failed)d of %(tests)d tests failed; at most %(limit)s may.") % {
        "failed": failed,
        "tests": int(values["tests"]),
        "limit": limits["failed_tests_max"],
    }


def _judge_coverage(values: Mapping[str, str | int], limits: Mapping[str, str | int]) -> tuple[Outcome, str]:
    if values.get("lines_valid") == 0:
        return "unknown", _("No line was counted.")
    # Compared unrounded: 0.89996 stays below 0.9 however it is printed.
    if "lines_valid" in values:
        rate = Fraction(int(values["lines_covered"]), int(values["lines_valid"]))
    else:
        rate = Fraction(Decimal(values["line_rate"]))
    outcome: Outcome = "pass" if rate >= Fraction(Decimal(limits["coverage_min"])) else "fail"
    return outcome, _("Coverage %(rate)s; at least %(limit)s is asked for.") % {
        "rate": values["line_rate"],
        "limit": limits["coverage_min"],
    }


def _judge_sarif(values: Mapping[str, str | int], limits: Mapping[str, str | int]) -> tuple[Outcome, str]:
    if not int(values["runs"]):
        return "unknown", _("The analysis was not run.")
    outcome: Outcome = "pass" if int(values["errors"]) <= int(limits["static_errors_max"]) else "fail"
    if outcome == "pass" and not int(values["complete"]):
        return "unknown", _("A run of the analysis did not end well.")
    return outcome, _("%(errors)d errors; at most %(limit)s may be.") % {
        "errors": int(values["errors"]),
        "limit": limits["static_errors_max"],
    }


def _judge_review(values: Mapping[str, str | int], limits: Mapping[str, str | int]) -> tuple[Outcome, str]:
    approved = values["verdict"] == "approved"
    return "pass" if approved else "fail", _("%(reviewer)s: %(verdict)s.") % {
        "reviewer": values["reviewer"],
        "verdict": values["verdict"],
    }


def _judge_scan(values: Mapping[str, str | int], limits: Mapping[str, str | int]) -> tuple[Outcome, str]:
    grave = int(values["critical"]) + int(values["high"])
    outcome: Outcome = "pass" if grave <= int(limits["security_findings_max"]) else "fail"
    return outcome, _("%(grave)d critical and high findings; at most %(limit)s may be.") % {
        "grave": grave,
        "limit": limits["security_findings_max"],
    }


def _judge_performance(values: Mapping[str, str | int], limits: Mapping[str, str | int]) -> tuple[Outcome, str]:
    ratio = Fraction(Decimal(values["measured"])) / Fraction(Decimal(values["baseline"]))
    outcome: Outcome = "pass" if ratio <= Fraction(Decimal(limits["performance_ratio_max"])) else "fail"
    return outcome, _("%(ratio)s times the baseline; at most %(limit)s times is allowed.") % {
        "ratio": f"{float(ratio):.3f}",
        "limit": limits["performance_ratio_max"],
    }


_READERS: Mapping[str, Callable[[bytes], Reading]] = {
    "junit": _junit,
    "coverage": _coverage,
    "sarif": _sarif,
    "review": _review,
    "security_scan": _security_scan,
    "performance": _performance,
}
_JUDGES: Mapping[str, Callable[[Mapping[str, str | int], Mapping[str, str | int]], tuple[Outcome, str]]] = {
    "junit": _judge_junit,
    "coverage": _judge_coverage,
    "sarif": _judge_sarif,
    "review": _judge_review,
    "security_scan": _judge_scan,
    "performance": _judge_performance,
}
KINDS = tuple(_READERS)
