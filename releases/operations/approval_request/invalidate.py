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
    lapsed = []
    for round_ in ApprovalRequest.objects.filter(state__in=ApprovalRequest.LIVE).select_related(
        "release", "environment"
    ):
        ended = with_retry_limit("approval", round_, partial(_invalidate, round_))
        if ended and round_.release_id is not None:
            lapsed.append(round_.release_id)
    return lapsed


def _invalidate(round_: ApprovalRequest) -> bool:
    with suppress(_StillGood):
        if stale(round_):
            if round_.release_id is not None:
                _invalidate_release(round_)
            elif round_.window_id is not None:
                _expire_window(round_)
            return True
    return False


def stale(round_: ApprovalRequest) -> str:
    """Return what has changed since the application, `window` when its time is over, `approvals` when too few of those that
    granted it still count; empty while it is good.
    """
    granted_for_good = round_.state == "approved" and round_.release_id is None
    if round_.valid_until is not None and now() >= round_.valid_until and not granted_for_good:
        return "window"
    if round_.release is None or round_.environment is None:
        return ""
    if key := difference(round_.document, document(round_.release, round_.environment)):
        return key
    return "approvals" if round_.state == "approved" and quorum.uncounted(round_) else ""


def _invalidate_release(round_: ApprovalRequest) -> None:
    with operation("release:end_approval", (Release, round_.release_id), (ApprovalRequest, round_.pk)) as op:
        release, held = op.get(Release), op.get(ApprovalRequest)
        held.release = release
        key = stale(held)
        if held.state not in ApprovalRequest.LIVE or not key:
            raise _StillGood
        ended = end_requests(release, "expired" if key == "window" else "invalidated", key, tells=op)
        if release.state in ("in_review", "approved", "final_check_completed"):
            release.end_approval()
        op.details.update(key=key, rounds=[one.pk for one in ended])


def _expire_window(round_: ApprovalRequest) -> None:
    with operation("window:expire", (ChangeWindow, round_.window_id), (ApprovalRequest, round_.pk)) as op:
        held = op.get(ApprovalRequest)
        if held.state != "in_review" or not stale(held):
            raise _StillGood
        held.expire()
        held.ended_at = op.get(ChangeWindow).cancelled_at = now()
