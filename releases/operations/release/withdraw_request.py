"""release:withdraw_request: the applicant takes the request for approval of a release back."""

from audit.operation import operation
from environments import access
from releases.models import Release
from releases.operations.release.end_approval import end_requests


def withdraw_request(release_id: int, *, reason: str = "") -> Release:
    """引戻し: take the application back for now."""
    with operation("release:withdraw_request", (Release, release_id), reason=reason) as op:
        access.require("prepare")
        release = op.get(Release)
        release.withdraw_request()
        end_requests(release, "withdrawn", tells=op)
    return release
