"""The gate of approval: an approved request about exactly this content is in effect."""

from environments.attach_related import related
from environments.models import Environment
from environments.targets.words import gettext as _
from releases.gates import authorship, quorum
from releases.gates.base import Answer, GateContext, not_passed, passed
from releases.gates.content import clause_labels, difference, digest, document_under_way
from releases.gates.evidence import worse_since
from releases.models import ApprovalRequest, Deployment, Release
from releases.procedures.parts import Gate


def ask(context: GateContext, gate: Gate) -> Answer:
    """Compare the approved request with the present content, and count its approvals again: rows read now decide."""
    release, environment = context.release, context.environment
    approval_request = approval_for(release, environment)
    if approval_request is None:
        used = any(request.state == "used" for request in related(release, "approval_requests"))
        reason = (
            _("The approval has been used. Submit the release for approval again.")
            if used
            else _("The release has no valid approval.")
        )
        return not_passed(gate, reason, "approvals")
    if unknown := authorship.unknown_authors(release):
        return not_passed(gate, " ".join(unknown), "approvals")
    present = document_under_way(release, approval_request.document, begun(approval_request))
    if digest(present) != approval_request.digest:
        key = difference(approval_request.document, present)
        text = _("The approval request is no longer valid, because “%(key)s” has changed.")
        return not_passed(gate, text % {"key": clause_labels().get(key, key)}, "approvals")
    ends = release.window_in(environment)[1]
    if ends is not None and context.at >= ends:
        return not_passed(gate, _("The approval request expired at the end of its change window."), "approvals")
    if why := quorum.uncounted(approval_request, context.at):
        return not_passed(gate, why, "approvals")
    approved_at = max(
        (decision.at for decision in approval_request.decisions.all()), default=approval_request.opened_at
    )
    if worse := worse_since(context.known, approved_at):
        text = _("Evidence that was uploaded after the approval is worse than the approved evidence: %(reports)s.")
        return not_passed(gate, text % {"reports": "; ".join(worse)}, "approvals")
    if (condition := context.known.condition) is not None:
        return not_passed(gate, _("Not met yet: %(what)s") % {"what": condition}, "follow-ups")
    return passed(gate, approval_request.digest[:12], "approvals")


def begun(approval_request: ApprovalRequest) -> set[str]:
    """Return the environments (their keys) in which a deployment has begun under an approval."""
    rows = Deployment.objects.filter(approval_request=approval_request, started_at__isnull=False)
    return set(rows.values_list("environment__slug", flat=True))


def approval_for(release: Release, environment: Environment) -> ApprovalRequest | None:
    """Return the approved request by which a release may begin in an environment: each may use it once, and the others
    while the release is under way.
    """
    if environment not in release.destinations:
        return None
    first = release.destinations[0].pk
    granted = [request for request in related(release, "approval_requests") if request.environment_id == first]
    approved = next((request for request in granted if request.state == "approved"), None)
    if approved is not None or release.state != "releasing":
        return approved
    used = [request for request in granted if request.state == "used"]
    last = max(used, key=lambda request: (request.ended_at, request.pk), default=None)
    return last if last is not None and environment.slug not in begun(last) else None
