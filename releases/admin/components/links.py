"""Links from rows to pages: the release page for everything of a release; deployments and rollbacks have their own."""

from typing import Any

from django.urls import NoReverseMatch, reverse

from audit.models import ClosedYear
from environments.models import AccessReview, AccessReviewItem
from releases.models import (
    ApprovalDecision,
    ApprovalRequest,
    ChangeEntry,
    ChecklistItem,
    Deployment,
    Document,
    DocumentSignature,
    Drift,
    FollowUp,
    GroupRecipient,
    InboxItem,
    MeetingDecision,
    MergeRequest,
    MonitoringPeriod,
    Release,
    ReleaseImport,
    Rollback,
    Step,
    TeamMember,
    Waiver,
)


def page_of(row: Any) -> str:
    """Return the address of the page that shows a row; empty when none does."""
    if row is None:
        return ""
    if isinstance(row, Release):
        return reverse("release", args=[row.pk])
    if isinstance(row, Deployment):
        return reverse("deployment", args=[row.pk])
    if isinstance(row, Rollback):
        return reverse("rollback", args=[row.pk])
    if isinstance(row, ReleaseImport):
        return reverse("release-import", args=[row.pk])
    if isinstance(row, Drift):
        return reverse("admin:environments_deploymenttarget_change", args=[row.target_id]) + "#drift"
    if isinstance(row, (Step, MonitoringPeriod)):
        return reverse("deployment", args=[row.deployment_id])
    if isinstance(row, (ChangeEntry, ChecklistItem, MergeRequest, TeamMember, Waiver, FollowUp)):
        return reverse("release", args=[row.release_id])
    if isinstance(row, ApprovalRequest):
        return reverse("approval-request", args=[row.pk])
    if isinstance(row, ApprovalDecision):
        return page_of(row.approval_request)
    if isinstance(row, MeetingDecision):
        return page_of(row.meeting)
    if isinstance(row, Document):
        return page_of(row.release or row.rollback)
    if isinstance(row, DocumentSignature):
        return page_of(row.document)
    if isinstance(row, GroupRecipient):
        return reverse("admin:releases_recipientgroup_change", args=[row.group_id])
    if isinstance(row, InboxItem):
        return reverse("inbox")
    if isinstance(row, ClosedYear):
        return reverse("closed-year", args=[row.pk])
    if isinstance(row, AccessReview):
        return reverse("review", args=[row.pk])
    if isinstance(row, AccessReviewItem):
        return reverse("review", args=[row.review_id])
    try:
        return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])
    except NoReverseMatch:
        return ""
