"""SARIF 2.1.0: findings of a static analysis by level, with the rules' own defaults and suppressions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from releases.sources.evidence.base import (
    BadEvidence,
    Document,
    EvidenceKind,
    Form,
    Judgement,
    Outcome,
    Reading,
    Values,
)


def read(document: Document) -> Reading:
    """Count the results by level."""
    report = document.object
    if not isinstance(report["runs"], list):
        raise BadEvidence(_("The file is not a SARIF 2.1.0 report."))
    tools: dict[str, bool] = {}
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
        before = counts["errors"]
        levels = _rule_levels(run)
        for result in results:
            if not isinstance(result, dict):
                raise BadEvidence(_("A result of the SARIF report is not an object."))
            counts[_result_level(result, levels)] += 1
        name = _name(run)
        tools[name] = tools.get(name, True) and counts["errors"] == before and bool(complete)
    values: Values = {**counts, "runs": len(report["runs"]), "complete": complete}
    del values["none"]
    sentence = _("%(errors)d errors, %(warnings)d warnings and %(notes)d notes in %(runs)d runs.") % values
    failing = frozenset(name for name, fine in tools.items() if not fine)
    return Reading(values, sentence, ", ".join(tools), frozenset(tools), failing)


def _name(run: dict[str, Any]) -> str:
    """Return what a run is known by: its tool, and the category that its automation states before the run's own id."""
    tool, automation = run.get("tool"), run.get("automationDetails")
    driver = tool.get("driver") if isinstance(tool, dict) else None
    name = driver.get("name") if isinstance(driver, dict) else None
    stated = automation.get("id") if isinstance(automation, dict) else None
    category = stated.rpartition("/")[0] if isinstance(stated, str) else ""
    return " ".join(part for part in (name if isinstance(name, str) else "", category) if part)


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


def judge(values: Mapping[str, str | int], limits: Mapping[str, str | int]) -> Judgement:
    """Compare the errors with their limit."""
    if not int(values["runs"]):
        return "unknown", _("The analysis was not run.")
    outcome: Outcome = "pass" if int(values["errors"]) <= int(limits["static_errors_max"]) else "fail"
    if outcome == "pass" and not int(values["complete"]):
        return "unknown", _("A run of the analysis did not end well.")
    return outcome, _("%(errors)d errors; at most %(limit)s may be.") % {
        "errors": int(values["errors"]),
        "limit": limits["static_errors_max"],
    }


KIND = EvidenceKind("sarif", judge, adds=("errors",))
FORM = Form(
    "sarif",
    "SARIF 2.1.0",
    '{"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "…"}}, "results": []}]}',
    lambda document: document.object.get("version") == "2.1.0" and "runs" in document.object,
    read,
)
