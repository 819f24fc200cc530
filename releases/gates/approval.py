"""The gate of approval: an approved request about exactly this content is in effect."""

from environments.targets.words import gettext as _
from releases.gates import authorship, quorum
from releases.gates.base import Answer, GateContext, not_passed, passed
from releases.gates.content import clause_labels, difference, digest, document
from releases.gates.evidence import worse_since
from releases.models import ApprovalRequest
from releases.procedures.parts import Gate


def ask(context: GateContext, gate: Gate) -> Answer:
    """Compare the approved request with the present content, and count its approvals again: rows read now decide."""
    release, environment = context.release, context.environment
    approval_requests = ApprovalRequest.objects.filter(
        release=release, environment=environment, state__in=["approved", "used"]
    )
    rows = {row.state: row for row in approval_requests}
    approval_request, used = rows.get("approved"), "used" in rows
    if approval_request is None:
        reason = (
            _("The approval has been used. Submit the release for approval again.")
            if used
            else _("The release has no valid approval.")
        )
        return not_passed(gate, reason, "approvals")
    if unknown := authorship.unknown_authors(release):
        return not_passed(gate, " ".join(unknown), "approvals")
    present = document(release, environment)
    if digest(present) != approval_request.digest:
        key = difference(approval_request.document, present)
        text = _("The approval request is no longer valid, because “%(key)s” has changed.")
        return not_passed(gate, text % {"key": clause_labels().get(key, key)}, "approvals")
    if approval_request.valid_until is not None and context.at >= approval_request.valid_until:
        return not_passed(gate, _("The approval request expired at the end of its change window."), "approvals")
    if why := quorum.uncounted(approval_request, context.at):
        return not_passed(gate, why, "approvals")
    approved_at = max(
        (decision.at for decision in approval_request.decisions.all()), default=approval_request.opened_at
    )
    if worse := worse_since(context.known, approved_at):
        text = _("Evidence that was uploaded after the approval is worse than the approved evidence: %(reports)s.")
        return not_passed(gate, text % {"reports": "; ".join(worse)}, "approvals")
    return passed(gate, approval_request.digest[:12], "approvals")
