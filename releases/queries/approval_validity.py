"""Whether an approval request is still valid: its content, its time and its approvers."""

from audit.clock import now
from releases.gates import quorum
from releases.gates.content import difference, document
from releases.models import ApprovalRequest


def stale(approval_request: ApprovalRequest) -> str:
    """Return what has changed since the request was submitted; empty while it is valid.

    `window`: its time is over. `approvals`: too few of its approvers still count.
    """
    granted_for_good = approval_request.state == "approved" and approval_request.release_id is None
    if approval_request.valid_until is not None and now() >= approval_request.valid_until and not granted_for_good:
        return "window"
    if approval_request.release is None or approval_request.environment is None:
        return ""
    if key := difference(approval_request.document, document(approval_request.release, approval_request.environment)):
        return key
    return "approvals" if approval_request.state == "approved" and quorum.uncounted(approval_request) else ""
