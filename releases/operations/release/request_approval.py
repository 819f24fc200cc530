"""Every request for an approval begins here: of a release, a window, a procedure, a process, or the end of a stop."""

from typing import Any

from environments.models import Account
from releases.gates.content import digest
from releases.models import ApprovalRequest


def request_approval(
    subject: str, content: dict[str, Any], rules: list[dict[str, Any]], requester: Account, **about: Any
) -> ApprovalRequest:
    """Open an approval request about exactly this content, inside an open operation. about: the row, its environment
    and from when until when the approval is valid.
    """
    fixed = {"document": content, "digest": digest(content)}
    return ApprovalRequest.objects.create(subject=subject, rules=rules, requested_by=requester, **fixed, **about)
