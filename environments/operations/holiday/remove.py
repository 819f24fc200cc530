"""holiday:remove: a holiday does not count any more."""

from django.utils.translation import gettext as _

from audit.clock import now
from audit.operation import operation
from audit.refusals import NotPossible
from environments import access
from environments.models import Holiday


def remove(holiday_id: int, *, reason: str) -> Holiday:
    """Remove a holiday with a reason; windows that it moved go back to their day."""
    with operation("holiday:remove", (Holiday, holiday_id), reason=reason, sign=True) as op:
        access.require("plan")
        holiday = op.get(Holiday)
        op.require_reason()
        if holiday.removed_at is not None:
            raise NotPossible(_("This entry was already removed or cancelled."))
        holiday.removed_at = now()
    return holiday
