"""freeze:lift: a freeze stops counting before its end."""

from __future__ import annotations

from django.utils.translation import gettext as _

from audit.change import change
from audit.clock import now
from audit.refusals import Invalid, WrongState
from environments import access
from environments.models import Freeze


def lift(freeze_id: int, *, reason: str) -> Freeze:
    """Lift a freeze with a reason, at once and for good; another one must be set to close again."""
    with change("freeze:lift", (Freeze, freeze_id), reason=reason, sign=True) as act:
        freeze = act.get(Freeze)
        access.require("plan", freeze.environment)
        if not reason.strip():
            raise Invalid(_("Say why."))
        if fault := over(freeze):
            raise WrongState(fault)
        freeze.lifted_at = now()
    return freeze


def over(freeze: Freeze) -> str:
    """Return why a freeze cannot be lifted any more; empty when it can."""
    if freeze.lifted_at is not None:
        return _("This freeze was lifted already.")
    return _("This freeze is over.") if freeze.ends_at <= now() else ""
