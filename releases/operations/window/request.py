"""window:request: ask the committee for one extra window (P1)."""

from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from audit.clock import now
from audit.operation import operation
from audit.plain import is_blank, plain
from audit.refusals import GateNotPassed, InvalidInput
from environments import access
from environments.models import Account, Application, ChangeWindow, Environment
from releases.models import ApprovalRequest, Procedure
from releases.operations.release.plan import active_procedure
from releases.operations.release.request_approval import request_approval


def request_window(
    environment_id: int,
    *,
    application_id: int | None = None,
    name: str,
    starts_at: datetime,
    ends_at: datetime,
    reason: str,
) -> ApprovalRequest:
    """Request an extra window, of one application or of all; it opens when its approval request is approved."""
    with operation("window:request", (Environment, environment_id), reason=reason) as op:
        environment = op.get(Environment)
        requester = access.require("request_window", environment, application=application_id)
        if is_blank(reason):
            raise InvalidInput(_("An extra window needs a reason."))
        if ends_at <= starts_at or ends_at <= now():
            raise InvalidInput(_("The end lies before the beginning or in the past."))
        window = ChangeWindow.objects.create(
            name=plain(name, _("name")),
            environment=environment,
            application=application_named(application_id),
            zone=environment.zone,
            country=holiday_country(application_id),
            starts_at=starts_at,
            ends_at=ends_at,
            reason=reason,
            requested_by=requester,
        )
        content = {"start": starts_at.isoformat(), "end": ends_at.isoformat(), "window": window.pk}
        approval_request = open_request(window, requester, content, ends=ends_at)
        op.about(window, approval_request=approval_request.pk)
        op.notify_as("approval:request")
    return approval_request


def application_named(application_id: int | None) -> Application | None:
    """Return the application of a window, or None for the whole environment; raises InvalidInput for an unknown one."""
    if application_id is None:
        return None
    application = Application.objects.filter(pk=application_id).first()
    if application is None:
        raise InvalidInput(_("The selected application does not exist."))
    return application


def holiday_country(application_id: int | None) -> str:
    """Return the country whose holidays count where a window names none: of the procedure in effect; empty without."""
    procedure = Procedure.objects.of(application_named(application_id))
    return procedure.document.schedule.regular.country if procedure is not None else ""


def open_request(
    window: ChangeWindow, requester: Account, content: dict[str, Any], *, ends: datetime | None
) -> ApprovalRequest:
    """Open the approval request that the procedure requires for a window, inside an open operation; refused without a
    rule.
    """
    environment, application = window.environment, window.application
    rules = active_procedure(application).document.rules_for("extra_window", environment)
    if not rules:
        raise GateNotPassed(_("The release procedure has no approval rule for this, so no approval is possible."))
    document = {
        "application": application.slug if application is not None else None,
        "environment": environment.slug,
        "reason": window.reason,
        **content,
    }
    return request_approval(
        "extra_window", document, rules, requester, window=window, environment=environment, valid_until=ends
    )
