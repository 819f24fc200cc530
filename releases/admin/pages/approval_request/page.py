"""The page of one approval request: what is approved, by whom so far, who is missing, and where a decision is made."""

from dataclasses import dataclass

from django import forms
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from audit.clock import now
from environments.admin.rights import Rights, found_or_404, page, rights_of
from releases.admin.components.change_history import history_of
from releases.admin.components.formatting import Button, buttons, show
from releases.admin.components.live import updates
from releases.admin.operations import verb
from releases.admin.pages.approval_request.rows import standing_of
from releases.admin.pages.approval_request.sheet import sheet_of
from releases.admin.pages.my_tasks.task import Reader, Task
from releases.admin.pages.my_tasks.tasks import decisions_of
from releases.admin.pages.operation.page import form_for
from releases.models import ApprovalRequest

APPROVE = "approval:approve"


@dataclass(frozen=True)
class Decide:
    """The decisions that the reader can make, and the form of all but those that ask for more (`links`)."""

    form: forms.Form
    first: Button
    others: list[Button]
    links: list[Button]


def _decide(rights: Rights, row: ApprovalRequest) -> Decide:
    """Return what the reader can decide: to approve first, where that is among it."""
    found = {each.key: each for each in buttons(rights, row, main=[APPROVE]) if not each.reason}
    first, *others = found.values()
    form = _form(first.key, row)
    more = {each.key for each in others if _form(each.key, row).fields.keys() - form.fields.keys()}
    return Decide(
        form, first, [each for each in others if each.key not in more], [each for each in others if each.key in more]
    )


def _form(key: str, row: ApprovalRequest) -> forms.Form:
    known = verb(*key.split(":"))
    assert known is not None
    return form_for(known, row)


def _next(rights: Rights, row: ApprovalRequest) -> Task | None:
    """Return the reader's next decision, on another request."""
    if rights.account is None:
        return None
    own = reverse("approval-request", args=[row.pk])
    return next((task for task in decisions_of(Reader(rights, rights.account, now())) if task.url != own), None)


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
            "release__procedure",
        ).prefetch_related("decisions__account", "decisions__on_behalf"),
        pk=pk,
    )
    rights = rights_of(request)
    standing = standing_of(row, rights) if row.state == "in_review" else None
    return show(
        request,
        "pages/approval_request/approval_request.html",
        str(row),
        updates=updates(request.user, row, row.about),
        approval_request=row,
        standing=standing,
        decide=_decide(rights, row) if standing is not None and standing.decides else None,
        next_task=_next(rights, row) if standing is None or standing.given else None,
        sheet=sheet_of(row, rights, now()),
        zone=row.environment.zone if row.environment is not None else "",
        history=history_of([one for one in (row, row.about) if one is not None]),
    )
