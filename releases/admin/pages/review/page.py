"""The page of one access review: every grant that was valid at its opening, and the decision on it."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404

from audit.clock import now
from environments.admin.rights import page
from environments.models import AccessReview
from releases.admin.components.change_history import history_of
from releases.admin.components.formatting import show
from releases.admin.components.grants import standing


@page
def review(request: HttpRequest, pk: int) -> HttpResponse:
    """Show one review, the undecided grants first."""
    row = get_object_or_404(AccessReview.objects.select_related("opened_by"), pk=pk)
    moment = now()
    items = list(
        row.items.select_related(
            "review",
            "decided_by",
            "grant__account",
            "grant__role",
            "grant__environment",
            "grant__application",
            "grant__granted_by",
        ).order_by("grant__account__display_name", "pk")
    )
    rows = [(item, standing(item.grant, moment)) for item in items]
    undecided = [(i, s) for i, s in rows if not i.result and s.key not in ("ended", "revoked")]
    decided = [(i, s) for i, s in rows if i.result]
    over = [(i, s) for i, s in rows if not i.result and s.key in ("ended", "revoked")]
    return show(
        request,
        "pages/review/review.html",
        str(row),
        review=row,
        undecided=undecided,
        decided=decided,
        over=over,
        count=len(items),
        overdue=row.closed_at is None and row.due_at < moment,
        history=history_of([row]),
    )
