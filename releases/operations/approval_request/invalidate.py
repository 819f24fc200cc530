"""release:end_approval and window:expire: end rounds whose content or window is no longer what was approved."""

from contextlib import suppress
from functools import partial

from audit.clock import now
from audit.operation import operation
from environments.models import ChangeWindow
from releases.gates import quorum
from releases.gates.content import difference, document
from releases.models import ApprovalRequest, Release
from releases.operations.approval_request.end import end_requests
from releases.operations.poll.retry_limit import with_retry_limit


class _StillGood(Exception):
    """What looked stale is not, or not any more, now that it is locked."""


def invalidate_stale() -> list[int]:
    """End live rounds whose content has changed or whose window has passed; return the releases (the poll's act).

    One that cannot be ended is written to the log and keeps no other from its turn.
    """
    ended_requests = []
    for approval_request in ApprovalRequest.objects.filter(state__in=ApprovalRequest.LIVE).select_related(
        "release", "environment"
    ):
        ended = with_retry_limit("approval", approval_request, partial(_invalidate, approval_request))
        if ended and approval_request.release_id is not None:
            ended_requests.append(approval_request.release_id)
    return ended_requests


def _invalidate(approval_request: ApprovalRequest) -> bool:
    with suppress(_StillGood):
        if stale(approval_request):
            if approval_request.release_id is not None:
                _invalidate_release(approval_request)
            elif approval_request.window_id is not None:
                _expire_window(approval_request)
            return True
    return False


def stale(approval_request: ApprovalRequest) -> str:
    """Return what has changed since the application, `window` when its time is over, `approvals` when too few of those that
    granted it still count; empty while it is good.
    """
    granted_for_good = approval_request.state == "approved" and approval_request.release_id is None
    if approval_request.valid_until is not None and now() >= approval_request.valid_until and not granted_for_good:
        return "window"
    if approval_request.release is None or approval_request.environment is None:
        return ""
    if key := difference(approval_request.document, document(approval_request.release, approval_request.environment)):
        return key
    return "approvals" if approval_request.state == "approved" and quorum.uncounted(approval_request) else ""


def _invalidate_release(approval_request: ApprovalRequest) -> None:
    with operation(
        "release:end_approval", (Release, approval_request.release_id), (ApprovalRequest, approval_request.pk)
    ) as op:
        release, held = op.get(Release), op.get(ApprovalRequest)
        held.release = release
        key = stale(held)
        if held.state not in ApprovalRequest.LIVE or not key:
            raise _StillGood
        ended = end_requests(release, "expired" if key == "window" else "invalidated", key, tells=op)
        if release.state in ("in_review", "approved", "final_check_completed"):
            release.end_approval()
        op.details.update(key=key, approval_requests=[one.pk for one in ended])


def _expire_window(approval_request: ApprovalRequest) -> None:
    with operation(
        "window:expire", (ChangeWindow, approval_request.window_id), (ApprovalRequest, approval_request.pk)
    ) as op:
        held = op.get(ApprovalRequest)
        if held.state != "in_review" or not stale(held):
            raise _StillGood
        held.expire()
        held.ended_at = op.get(ChangeWindow).cancelled_at = now()
