"""emergency_stop:request_lift: request that production goes on; the requester does not approve: it takes two people."""

from django.utils.translation import gettext as _

from audit.operation import operation
from audit.refusals import AlreadyExists, GateNotPassed, NotPermitted, NotPossible
from environments import access
from environments.models import Environment
from releases.models import ApprovalRequest, EmergencyStop
from releases.operations.emergency_stop.activate import may_activate
from releases.operations.release.plan import active_procedure
from releases.operations.release.request_approval import request_approval

SUBJECT = ApprovalRequest.Subject.EMERGENCY_STOP_LIFT


def request_lift(stop_id: int, *, reason: str) -> ApprovalRequest:
    """Open the approval request that lifts the stop. Raises GateNotPassed when the procedure names no approver."""
    try:
        with operation("emergency_stop:request_lift", (EmergencyStop, stop_id), reason=reason, sign=True) as op:
            stop, requester = op.get(EmergencyStop), access.current_account()
            if not may_activate(requester, stop.application_id):
                raise NotPermitted(_("You do not have permission to use the emergency stop."))
            stopped = _stopped(stop)
            op.require_reason()
            if stop.lifted_at is not None:
                raise NotPossible(_("The emergency stop was lifted already."))
            rules = active_procedure().document.rules_for(SUBJECT)
            if not any(rule["role"] != "none" and rule["number"] > 0 for rule in rules):
                raise GateNotPassed(
                    _("The release procedure has no approval rule for this, so no approval is possible.")
                )
            document = {
                "pressed": stop.activated_at.isoformat(),
                "activated_by": str(stop.activated_by),
                "stopped_because": stop.reason,
                "application": stop.application.slug if stop.application is not None else None,
                "pauses": stop.pauses,
                "stopped_environments": [place.slug for place in stopped],
                "reason": reason,
                "emergency_stop": stop.pk,
            }
            approval_request = request_approval(
                SUBJECT, document, rules, requester, emergency_stop=stop, environment=stopped[-1]
            )
            op.created.append(approval_request)
            op.signature(approval_request.digest)
            op.details["approval_request"] = approval_request.pk
            op.notify_as("approval:request")
    except AlreadyExists as conflict:
        if conflict.constraint != "approval_request_one_per_emergency_stop":
            raise
        raise NotPossible(_("Lifting this emergency stop has already been requested.")) from conflict
    return approval_request


def _stopped(stop: EmergencyStop) -> list[Environment]:
    """Return the environments of production that a stop closes, in order: those of its application, or all."""
    production = Environment.objects.filter(tier=Environment.Tier.PRODUCTION).order_by("order")
    if stop.application is None:
        return list(production)
    return list(production.filter(pk__in=Environment.objects.of(stop.application))) or list(production)
