"""Ending live rounds from inside another operation: amend, postpone, lapse and the like each end the round."""

from django.utils.translation import gettext as _

from audit.clock import now
from audit.operation import Operation
from releases.models import ApprovalRequest, Deployment, FinalCheck, FollowUp, Release

EDGES = {
    "invalidated": ApprovalRequest.invalidate,
    "withdrawn": ApprovalRequest.withdraw_request,
    "expired": ApprovalRequest.expire,
    "sent_back": ApprovalRequest.send_back,
    "rejected": ApprovalRequest.reject,
}


def end_requests(release: Release, how: str, key: str = "", *, tells: Operation | None = None) -> list[ApprovalRequest]:
    """End every live round of a release inside an open operation, and cancel its waiting runs where protected.

    how: a key of EDGES; a granted round that is sent back, rejected or taken back is void. key: what changed. tells: the
    act, where it tells nobody itself that the release does not come when it was to come.
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
    waiting = Deployment.objects.select_for_update(no_key=True).filter(
        release=release, environment__protected=True, state__in=["requested", "scheduled", "queued"]
    )
    for deployment in waiting:
        deployment.steps.all().delete()
        if tells is not None and deployment.state != "requested":
            tells.add_event("deployment:cancel", deployment, approval_request=key)
        deployment.cancel()
        deployment.ended_at = now()
        deployment.blockers = [key] if key else []
        deployment.save()
    end_conditions(release)
    for row in FinalCheck.objects.filter(release=release, invalidated_at=None):
        row.invalidated_at = now()
        row.save(update_fields=["invalidated_at"])
    return ended


def end_conditions(release: Release) -> None:
    """End what an approval that is over has asked for: nobody can meet it any more, and the next one asks anew."""
    owed = FollowUp.objects.filter(release=release, blocks=FollowUp.Blocks.START, completed_at=None)
    for condition in owed.select_for_update(no_key=True):
        condition.completed_at, condition.note = now(), _("The approval that required this condition has ended.")
        condition.save()
