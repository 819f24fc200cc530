"""SARIF as a security scan: findings by the `security-severity` of their rule, else by their level."""

from dataclasses import replace
from typing import Any

from releases.evidence_readers import sarif
from releases.evidence_readers.base import Document, Form, Reading
from releases.evidence_readers.security_scan import counted

# Least score of each severity, as GitHub's code scanning defines them.
_SCORES = ((9.0, "critical"), (7.0, "high"), (4.0, "medium"), (0.0, "low"))
_LEVELS = {"errors": "high", "warnings": "medium", "notes": "low"}


def _severity(run: sarif.Run, result: dict[str, Any], level: str) -> str:
    """Return the severity of a result; empty for a missing rule, a score that is no number, and where neither a score
    nor a level is stated: the standard's default level is no rating.
    """
    try:
        rules = run.descriptors(result, "rule")
        bags = [rule.get("properties") for rule in rules]
        scores = [
            float(bag["security-severity"]) for bag in bags if isinstance(bag, dict) and "security-severity" in bag
        ]
    except (sarif.Unresolved, TypeError, ValueError):
        return ""
    if not scores:
        return _LEVELS[level] if run.states_level(result, rules) else ""
    return next((name for least, name in _SCORES if max(scores) >= least), "")


def read(document: Document) -> Reading:
    """Count by severity; an unresolved result, one in another file or of an unsuccessful run is not rated."""
    whole = sarif.read(document)
    severities = []
    for row in document.object["runs"]:
        run = sarif.Run(row)
        for result in row.get("results", []):
            level = run.counted_as(result)
            if level in _LEVELS:
                severities.append(_severity(run, result, level))
    unrated = int(whole.values["unresolved"]) + int(whole.values["incomplete"])
    return replace(counted(whole.tool or "SARIF", severities, unrated=unrated), parts=whole.parts)


FORM = Form("security_scan", sarif.FORM.label, sarif.FORM.example, sarif.FORM.fits, read)
