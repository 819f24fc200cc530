"""emergency_stop:request_lift: apply for production to be let go on; who applies does not consent, so it takes two."""

from django.utils.translation import gettext as _

from audit.change import change
from audit.refusals import GateClosed, NotYou, Taken, WrongState
from environments import access
from environments.models import Environment
from releases.actions.release.plan import active_procedure
from releases.actions.switch.press import may_press
from releases.gates.content import digest
from releases.models import ApprovalRequest, EmergencyStop

SUBJECT = ApprovalRequest.Subject.EMERGENCY_STOP_LIFT


def propose_release(switch_id: int, *, reason: str) -> ApprovalRequest:
    """Open the round of consent that releases the switch. Raises GateClosed when the procedure asks nobody for it."""
    try:
        with change("emergency_stop:request_lift", (EmergencyStop, switch_id), reason=reason, sign=True) as act:
            switch, applicant = act.get(EmergencyStop), access.current_account()
            if not may_press(applicant):
                raise NotYou(_("You do not have permission to use the emergency stop."))
            environment = Environment.objects.filter(tier=Environment.Tier.PRODUCTION).order_by("order").last()
            act.require_reason()
            if switch.lifted_at is not None:
                raise WrongState(_("The emergency stop was lifted already."))
            rules = active_procedure().document.rules_for(SUBJECT, Environment.Tier.PRODUCTION)
            if not any(rule["role"] != "none" and rule["number"] > 0 for rule in rules):
                raise GateClosed(_("The release procedure has no approval rule for this, so no approval is possible."))
            document = {
                "pressed": switch.activated_at.isoformat(),
                "activated_by": str(switch.activated_by),
                "stopped_because": switch.reason,
                "application": switch.application.slug if switch.application is not None else None,
                "pauses": switch.pauses,
                "reason": reason,
                "switch": switch.pk,
            }
            round_ = ApprovalRequest.objects.create(
                subject=SUBJECT,
                emergency_stop=switch,
                environment=environment,
                document=document,
                digest=digest(document),
                rules=rules,
                requested_by=applicant,
            )
            act.made.append(round_)
            act.signature("propose_release", round_.digest)
            act.details["round"] = round_.pk
            act.tell("approval:request")
    except Taken as conflict:
        if conflict.constraint != "approval_request_one_per_emergency_stop":
            raise
        raise WrongState(_("Lifting this emergency stop has already been requested.")) from conflict
    return round_
