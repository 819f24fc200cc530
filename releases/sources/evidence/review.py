"""A statement about a review of the code: who reviewed it, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping

from django.utils.translation import gettext as _

from releases.sources.evidence.base import (
    BadEvidence,
    EvidenceKind,
    Judgement,
    Reading,
    Values,
    read_statement,
    words_of,
)


def read(content: bytes) -> Reading:
    """Take reviewer and verdict."""
    statement = read_statement(content)
    verdict = words_of(statement, "verdict")
    if verdict not in ("approved", "changes_requested"):
        raise BadEvidence(_("The verdict of a review is “approved” or “changes_requested”."))
    values: Values = {"reviewer": words_of(statement, "reviewer"), "verdict": verdict}
    return Reading("review", values, _("%(reviewer)s reviewed it: %(verdict)s.") % values)


def judge(values: Mapping[str, str | int], limits: Mapping[str, str | int]) -> Judgement:
    """Pass what was approved."""
    return "pass" if values["verdict"] == "approved" else "fail", _("%(reviewer)s: %(verdict)s.") % {
        "reviewer": values["reviewer"],
        "verdict": values["verdict"],
    }


KIND = EvidenceKind("review", read, judge)
