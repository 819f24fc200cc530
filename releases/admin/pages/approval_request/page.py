"""The page of one approval request: what is approved, by whom so far, and who is missing."""

from django.http import HttpRequest, HttpResponse

from audit.operation import label
from environments.admin.rights import found_or_404, page, rights_of
from releases.admin.components import change_history
from releases.admin.components.formatting import show
from releases.admin.components.live import updates
from releases.admin.pages.approval_request.rows import standing_of
from releases.models import ApprovalRequest


@page
def approval_request(request: HttpRequest, pk: int) -> HttpResponse:
    """Show one approval request: about a release, an extra window, a procedure or a process."""
    row = found_or_404(
        request,
        ApprovalRequest.objects.select_related(
            "environment",
            "requested_by",
            "window",
            "procedure",
            "process__application",
            "emergency_stop",
            "release__application",
            "release__author",
        ).prefetch_related("decisions__account", "decisions__on_behalf"),
        pk=pk,
    )
    standing = standing_of(row, rights_of(request).account) if row.state == "in_review" else None
    return show(
        request,
        "pages/approval_request/approval_request.html",
        str(row),
        updates=updates(request.user, row, row.about),
        approval_request=row,
        standing=standing,
        zone=row.environment.zone if row.environment is not None else "",
        happenings=change_history.of_objects([label(one) for one in (row, row.about) if one is not None]),
    )
