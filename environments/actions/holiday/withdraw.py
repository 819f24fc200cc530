"""holiday:remove: a company holiday is none any more."""

from django.utils.translation import gettext as _

from audit.change import change
from audit.clock import now
from audit.refusals import WrongState
from environments import access
from environments.models import Holiday


def withdraw(holiday_id: int, *, reason: str) -> Holiday:
    """Withdraw a company holiday with a reason; windows that it moved go back to their day."""
    with change("holiday:remove", (Holiday, holiday_id), reason=reason, sign=True) as act:
        access.require("plan")
        holiday = act.get(Holiday)
        act.require_reason()
        if holiday.removed_at is not None:
            raise WrongState(_("This entry was already removed or cancelled."))
        holiday.removed_at = now()
    return holiday
