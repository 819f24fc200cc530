"""release:end_approval and window:expire: end approval requests whose content or window is no longer what was approved.

Operations that change approved content end the approval requests of the release themselves.
"""

from functools import partial
from typing import Any

from django.utils.translation import gettext as _

from audit.clock import now
from audit.operation import NothingToDo, Operation, operation
from environments.models import ChangeWindow
from releases.models import ApprovalRequest, Deployment, FinalCheck, FollowUp, Release
from releases.operations.poll.retry_limit import with_retry_limit
from releases.queries.approval_validity import stale

EDGES = {
    "invalidated": ApprovalRequest.invalidate,
    "withdrawn": ApprovalRequest.withdraw_request,
    "expired": ApprovalRequest.expire,
    "sent_back": ApprovalRequest.send_back,
    "rejected": ApprovalRequest.reject,
}


def invalidate_stale() -> list[int]:
    """End open requests whose content has changed or whose window has passed; return the releases (the poll calls it).

    A request that cannot be ended is logged and does not delay the others.
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
    """End a request that is stale; return whether one of a release was ended."""
    if not stale(approval_request):
        return False
    if approval_request.release_id is not None:
        return _invalidate_release(approval_request)
    if approval_request.window_id is not None:
        _expire_window(approval_request)
    return False


def _invalidate_release(approval_request: ApprovalRequest) -> bool:
    with operation(
        "release:end_approval", (Release, approval_request.release_id), (ApprovalRequest, approval_request.pk)
    ) as op:
        release, held = op.get(Release), op.get(ApprovalRequest)
        held.release = release
        key = stale(held)
        if held.state not in ApprovalRequest.LIVE or not key:
            raise NothingToDo
        ended = end_requests(release, "expired" if key == "window" else "invalidated", key, tells=op)
        if release.state in ("in_review", "approved", "final_check_completed"):
            release.end_approval()
        op.details.update(key=key, approval_requests=[one.pk for one in ended])
    return not op.dropped


def _expire_window(approval_request: ApprovalRequest) -> None:
    with operation(
        "window:expire", (ChangeWindow, approval_request.window_id), (ApprovalRequest, approval_request.pk)
    ) as op:
        held = op.get(ApprovalRequest)
        if held.state != "in_review" or not stale(held):
            raise NothingToDo
        held.expire()
        held.ended_at = op.get(ChangeWindow).cancelled_at = now()


def end_requests(release: Release, how: str, key: str = "", *, tells: Operation | None = None) -> list[ApprovalRequest]:
    """End every open request of a release inside an open operation, and cancel its waiting deployments where protected.

    how: a key of EDGES; an approved request that is sent back, rejected or withdrawn is invalidated. key: what changed.
    tells: the operation, where it does not itself notify people that the release does not come as planned.
    """
    ended, live = [], ApprovalRequest.objects.filter(release=release, state__in=["in_review", "approved"])
    for approval_request in live.select_for_update(no_key=True).order_by("pk"):
        edge = (
            EDGES[how]
            if approval_request.state == "in_review" or how in ("invalidated", "expired")
            else EDGES["invalidated"]
        )
        edge(approval_request)
        approval_request.invalidated_by = key
        approval_request.ended_at = now()
        approval_request.save(update_fields=["state", "invalidated_by", "ended_at"])
        ended.append(approval_request)
    cancel_waiting(release, key, tells=tells)
    end_conditions(release)
    for row in FinalCheck.objects.filter(release=release, invalidated_at=None):
        row.invalidated_at = now()
        row.save(update_fields=["invalidated_at"])
    return ended


def withdraw_open(**about: Any) -> None:
    """Withdraw the open approval requests about a row that is no release (its column = the row), inside an open
    operation.
    """
    rows = ApprovalRequest.objects.select_for_update(no_key=True).filter(state="in_review", **about)
    for approval_request in rows:
        approval_request.withdraw_request()
        approval_request.ended_at = now()
        approval_request.save()


def cancel_waiting(release: Release, key: str = "", *, tells: Operation | None = None) -> None:
    """Cancel the deployments of a release to protected environments that have not begun, inside an open operation; key
    and tells as in `end_requests`.
    """
    waiting = Deployment.objects.select_for_update(no_key=True).filter(
        release=release, environment__protected=True, state__in=Deployment.WAITING_TO_RUN
    )
    for deployment in waiting:
        deployment.steps.all().delete()
        if tells is not None and deployment.state != "requested":
            tells.add_event("deployment:cancel", deployment, approval_request=key)
        deployment.cancel()
        deployment.ended_at = now()
        deployment.blockers = [key] if key else []
        deployment.save()


def end_conditions(release: Release) -> None:
    """End the conditions of an approval that is over: they can no longer be met, and the next approval sets its own."""
    conditions = FollowUp.objects.filter(release=release, blocks=FollowUp.Blocks.START, completed_at=None)
    for condition in conditions.select_for_update(no_key=True):
        condition.completed_at, condition.note = now(), _("The approval that required this condition has ended.")
        condition.save()
