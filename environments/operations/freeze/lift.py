"""freeze:lift: a freeze stops counting before its end."""

from django.utils.translation import gettext as _

from audit.clock import now
from audit.operation import operation
from audit.refusals import NotPossible
from environments import access
from environments.models import ChangeFreeze


def lift(freeze_id: int, *, reason: str) -> ChangeFreeze:
    """Lift a freeze with a reason, for good; another one must be set to close again.

    It is lifted at once, but for a full freeze that somebody else has set: there the first person requests it, and a
    second one who lifts it confirms. Raises NotPermitted, InvalidInput, NotPossible.
    """
    with operation("freeze:lift", (ChangeFreeze, freeze_id), reason=reason, sign=True) as op:
        freeze = op.get(ChangeFreeze)
        account = access.require("plan", freeze.environment)
        op.require_reason()
        if fault := over(freeze):
            raise NotPossible(fault)
        first, setter = freeze.lift_requested_by, freeze.created_by
        own = setter is not None and account.is_among(setter.identities)
        op.signature()
        op.details["awaits_second_person"] = False
        if freeze.full and not own:
            if first is None or not access.may(first, "plan", freeze.environment):
                freeze.lift_requested_by = account
                op.details["awaits_second_person"] = True
                op.notify_as("freeze:request_lift")
                return freeze
            if account.is_among(first.identities):
                raise NotPossible(_("You have already requested this lift. Another person must lift the freeze."))
        freeze.lifted_at = now()
    return freeze


def over(freeze: ChangeFreeze) -> str:
    """Return why a freeze cannot be lifted any more; empty when it can."""
    if freeze.lifted_at is not None:
        return _("This freeze was lifted already.")
    return _("This freeze is over.") if freeze.ends_at <= now() else ""
