"""window:cancel: a window ends at once, and approval requests that wait for it end."""

from django.utils.translation import gettext as _

from audit.clock import now
from audit.operation import operation
from audit.refusals import NotPossible
from environments import access
from environments.models import ChangeWindow
from releases.models import ApprovalRequest


def cancel(window_id: int, *, reason: str) -> ChangeWindow:
    """Cancel a window, extra or recurring, for good; a window that it had replaced does not return."""
    approval_requests = ApprovalRequest.objects.filter(
        window=window_id, state__in=["in_review", "approved"]
    ).values_list("pk", flat=True)
    targets: list[tuple[type, int]] = [(ChangeWindow, window_id), *((ApprovalRequest, pk) for pk in approval_requests)]
    with operation("window:cancel", *targets, reason=reason, sign=True) as op:
        window = op.get(ChangeWindow)
        access.require("request_window", window.environment)
        op.require_reason()
        if fault := over(window):
            raise NotPossible(fault)
        moment = now()
        window.cancelled_at = moment
        for (model, _pk), approval_request in op.rows.items():
            if (
                model is ApprovalRequest
                and isinstance(approval_request, ApprovalRequest)
                and approval_request.state in ("in_review", "approved")
            ):
                in_review = approval_request.state == "in_review"
                approval_request.withdraw_request() if in_review else approval_request.invalidate()
                approval_request.invalidated_by, approval_request.ended_at = "window", moment
    return window


def over(window: ChangeWindow) -> str:
    """Return why a window cannot be cancelled; empty when it can."""
    if window.cancelled_at is not None:
        return _("This entry was already removed or cancelled.")
    if window.from_procedure:
        return _(
            "This change window comes from the procedure. Set a change freeze, or put another version of the "
            "procedure into effect."
        )
    return ""
