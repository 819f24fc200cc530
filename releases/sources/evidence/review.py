"""A statement about a review of the code: who reviewed it, and the verdict."""

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


def read(document: Document) -> Reading:
    """Take reviewer and verdict."""
    statement = document.object
    verdict = words_of(statement, "verdict")
    if verdict not in ("approved", "changes_requested"):
        raise BadEvidence(_("The “verdict” of a review must be “approved” or “changes_requested”."))
    values: Values = {"reviewer": words_of(statement, "reviewer"), "verdict": verdict}
    return Reading(values, _("%(reviewer)s reviewed the commit: %(verdict)s.") % values, str(values["reviewer"]))


def judge(values: Mapping[str, str | int], limits: Mapping[str, str | int]) -> Judgement:
    """Pass what was approved."""
    return "pass" if values["verdict"] == "approved" else "fail", _("%(reviewer)s: %(verdict)s.") % {
        "reviewer": values["reviewer"],
        "verdict": values["verdict"],
    }


# Each reviewer's last word counts, whatever the file is called.
KIND = EvidenceKind("review", judge, named=False)
FORM = Form(
    "review",
    "statement",
    '{"reviewer": "…", "verdict": "approved"}',
    lambda document: "verdict" in document.object or "reviewer" in document.object,
    read,
)
