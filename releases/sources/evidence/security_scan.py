"""A statement about a security scan: findings by severity."""

from __future__ import annotations

from collections.abc import Mapping

from django.utils.translation import gettext as _

from releases.sources.evidence.base import (
    BadEvidence,
    Document,
    EvidenceKind,
    Form,
    Judgement,
    Reading,
    Values,
    words_of,
)

_SEVERITIES = ("critical", "high", "medium", "low")


def read(document: Document) -> Reading:
    """Take the counts; each severity must be counted."""
    statement = document.object
    values: Values = {"tool": words_of(statement, "tool")}
    for name in _SEVERITIES:
        count = statement.get(name)
        if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count < 10**9:
            raise BadEvidence(_("The statement does not count “%(name)s” findings.") % {"name": name})
        values[name] = count
    sentence = _("%(tool)s found %(critical)d critical, %(high)d high, %(medium)d medium, %(low)d low.") % values
    return Reading(values, sentence, str(values["tool"]))


def judge(values: Mapping[str, str | int], limits: Mapping[str, str | int]) -> Judgement:
    """Compare the grave findings with their limit."""
    grave = int(values["critical"]) + int(values["high"])
    return "pass" if grave <= int(limits["security_findings_max"]) else "fail", _(
        "%(grave)d critical and high findings; at most %(limit)s may be."
    ) % {"grave": grave, "limit": limits["security_findings_max"]}


KIND = EvidenceKind("security_scan", judge, adds=("critical", "high"))
FORM = Form(
    "security_scan",
    "statement",
    '{"tool": "…", "critical": 0, "high": 0, "medium": 0, "low": 0}',
    lambda document: any(name in document.object for name in _SEVERITIES),
    read,
)
