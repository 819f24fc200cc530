"""Findings of a security scan by severity: the common form of scanners' reports, and a plain statement."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from django.utils.translation import gettext as _

from releases.evidence_readers.base import (
    BadEvidence,
    Document,
    EvidenceType,
    Form,
    Judgement,
    Reading,
    Values,
    words_of,
)

SEVERITIES = ("critical", "high", "medium", "low")
# Scanners' further names for them; any other one has no known severity.
_ALSO = {"moderate": "medium", "negligible": "low", "info": "low", "informational": "low", "none": "low"}


def counted(
    tool: str, severities: Iterable[Any], *, unrated: int = 0, examined: Any = True, of: Iterable[Any] = ()
) -> Reading:
    """Count findings by their severity in the scanner's own words.

    unrated: parts that the scanner could not examine or rate; a finding of unknown severity is one too. examined:
    the parts that the report says were scanned. Raises BadEvidence for a report without findings and without any. of:
    the names of the scanned images or projects; a scan of other ones does not supersede it.
    """
    values: Values = {"tool": tool, **dict.fromkeys(SEVERITIES, 0), "unrated": unrated}
    for severity in severities:
        word = str(severity).lower()
        name = _ALSO.get(word, word) if _ALSO.get(word, word) in SEVERITIES else "unrated"
        values[name] = int(values[name]) + 1
    if not examined and not any(values[name] for name in (*SEVERITIES, "unrated")):
        raise BadEvidence(_("The report names nothing that was scanned."))
    return replace(_reading(values), parts=frozenset(f"{tool} {_untagged(name)}" for name in of if name))


def _untagged(name: Any) -> str:
    """Return the name of an image without tag and digest: a scan of the image that was built again is a newer one."""
    return re.sub(r":[^/]*$", "", str(name).partition("@")[0])


def objects(value: Any) -> list[dict[str, Any]]:
    """Return the objects of a list, an empty list for nothing. Raises BadEvidence for anything else."""
    if value is None:
        return []
    if not isinstance(value, list) or any(not isinstance(one, dict) for one in value):
        raise BadEvidence(_("A list in the report contains an entry that is not an object."))
    return value


def read(document: Document) -> Reading:
    """Return the counts; each severity must be counted."""
    statement = document.object
    values: Values = {"tool": words_of(statement, "tool")}
    for name in SEVERITIES:
        count = statement.get(name)
        if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count < 10**9:
            raise BadEvidence(_("The statement does not count “%(name)s” findings.") % {"name": name})
        values[name] = count
    return _reading(values | {"unrated": 0})


def _reading(values: Values) -> Reading:
    summary = _("%(tool)s found %(critical)d critical, %(high)d high, %(medium)d medium, %(low)d low.") % values
    if values["unrated"]:
        summary += " " + _("%(unrated)d findings have no severity or were not examined.") % values
    return Reading(values, summary, str(values["tool"]))


def evaluate(values: Mapping[str, str | int], limits: Mapping[str, str | int]) -> Judgement:
    """Compare the critical and high findings with their limit."""
    grave = int(values["critical"]) + int(values["high"])
    within = grave <= int(limits["security_findings_max"])
    if within and int(values.get("unrated", 0)):
        text = _("%(unrated)d findings have no severity or were not examined. Rate them in the scanner and scan again.")
        return "unknown", text % {"unrated": values["unrated"]}
    text = _("The scan found %(grave)d critical and high findings; at most %(limit)s are allowed.")
    return "passed" if within else "failed", text % {"grave": grave, "limit": limits["security_findings_max"]}


KIND = EvidenceType("security_scan", evaluate, adds=("critical", "high"))
FORM = Form(
    "security_scan",
    "statement",
    '{"tool": "…", "critical": 0, "high": 0, "medium": 0, "low": 0}',
    lambda document: any(name in document.object for name in SEVERITIES),
    read,
)
