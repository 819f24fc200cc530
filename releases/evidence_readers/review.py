"""A statement about a code review: the reviewer and the decision."""

from collections.abc import Mapping

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

INCOMPLETE = "incomplete"


def read(document: Document) -> Reading:
    """Return reviewer and decision."""
    statement = document.object
    decision = words_of(statement, "decision")
    if decision not in ("approved", "changes_requested"):
        raise BadEvidence(_("The “decision” of a review must be “approved” or “changes_requested”."))
    values: Values = {"reviewer": words_of(statement, "reviewer"), "decision": decision}
    return Reading(values, _("%(reviewer)s reviewed the commit: %(decision)s.") % values, str(values["reviewer"]))


def evaluate(values: Mapping[str, str | int], limits: Mapping[str, str | int]) -> Judgement:
    """Pass an approved review. What the forge says is incomplete while commits lack a reviewed merge request."""
    if values["decision"] == INCOMPLETE:
        text = _("%(reviewer)s: commits without a merge request that another person approved: %(commits)d.")
        return "failed", text % {"reviewer": values["reviewer"], "commits": values["commits"]}
    return "passed" if values["decision"] == "approved" else "failed", _("%(reviewer)s: %(decision)s.") % {
        "reviewer": values["reviewer"],
        "decision": values["decision"],
    }


# Each reviewer's last decision counts, whatever the file's name. Where the forge knows no review of some commits, a
# review that was uploaded counts as it does without a forge.
KIND = EvidenceType("review", evaluate, named=False, says_nothing=lambda values: values.get("decision") == INCOMPLETE)
FORM = Form(
    "review",
    "statement",
    '{"reviewer": "…", "decision": "approved"}',
    lambda document: "decision" in document.object or "reviewer" in document.object,
    read,
)
