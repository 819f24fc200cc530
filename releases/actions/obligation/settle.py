"""obligation:settle: paying what was owed."""

from __future__ import annotations

from django.utils.translation import gettext as _

from audit.change import change
from audit.clock import now
from audit.refusals import Invalid, WrongState
from environments import access
from releases.models import Obligation


def settle(obligation_id: int, *, note: str) -> Obligation:
    """Say how a debt was settled."""
    with change("obligation:settle", (Obligation, obligation_id), reason=note, sign=True) as act:
        account = access.require("settle_obligation")
        obligation = act.get(Obligation)
        if obligation.settled_at is not None:
            raise WrongState(_("It is settled already."))
        if not note.strip():
            raise Invalid(_("Say how it was settled."))
        obligation.settled_at, obligation.settled_by, obligation.note = now(), account, note
        act.signature("settle")
    return obligation
