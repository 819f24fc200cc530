"""Is there a granted round about exactly this content, in force now?"""

from releases.gates import authorship, quorum
from releases.gates.base import Answer, Question, not_passed, passed
from releases.gates.content import clause_labels, difference, digest, document
from releases.gates.evidence import worse_since
from releases.models import ApprovalRequest
from releases.procedures.parts import Gate
from releases.step_types.words import gettext as _


def ask(question: Question, gate: Gate) -> Answer:
    """Compare the granted round with the content as it is now, and count its approvals anew: rows read now decide."""
    release, environment = question.release, question.environment
    rounds = ApprovalRequest.objects.filter(release=release, environment=environment, state__in=["approved", "used"])
    rows = {row.state: row for row in rounds}
    round_, used = rows.get("approved"), "used" in rows
    if round_ is None:
        reason = (
            _("The approval has been used. Submit the release for approval again.")
            if used
            else _("The release has no valid approval.")
        )
        return not_passed(gate, reason, "approvals")
    if unknown := authorship.unknown_authors(release):
        return not_passed(gate, " ".join(unknown), "approvals")
    present = document(release, environment)
    if digest(present) != round_.digest:
        key = difference(round_.document, present)
        text = _("The approval request is no longer valid, because “%(key)s” has changed.")
        return not_passed(gate, text % {"key": clause_labels().get(key, key)}, "approvals")
    if round_.valid_until is not None and question.at >= round_.valid_until:
        return not_passed(gate, _("The approval request expired at the end of its change window."), "approvals")
    if why := quorum.uncounted(round_, question.at):
        return not_passed(gate, why, "approvals")
    approved_at = max((word.at for word in round_.decisions.all()), default=round_.opened_at)
    if worse := worse_since(question.known, approved_at):
        text = _("Evidence that was uploaded after the approval is worse than the approved evidence: %(reports)s.")
        return not_passed(gate, text % {"reports": "; ".join(worse)}, "approvals")
    return passed(gate, round_.digest[:12], "approvals")
