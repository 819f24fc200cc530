"""release:withdraw_request: the requester withdraws the approval request of a release."""

from audit.operation import operation
from environments import access
from releases.models import Release
from releases.operations.release.end_approval import end_requests


def withdraw_request(release_id: int, *, reason: str = "") -> Release:
    """引戻し: withdraw the approval request."""
    with operation("release:withdraw_request", (Release, release_id), reason=reason) as op:
        access.require("prepare")
        release = op.get(Release)
        release.withdraw_request()
        end_requests(release, "withdrawn", tells=op)
    return release
