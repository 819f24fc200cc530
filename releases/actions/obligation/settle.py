"""obligation:settle: paying what was owed."""

from __future__ import annotations

from django.utils.translation import gettext as _

from audit.change import change
from audit.clock import now
from audit.refusals import Invalid, NotYou, WrongState
from environments import access
from releases.gates import quorum
from releases.models import Obligation


def settle(obligation_id: int, *, note: str) -> Obligation:
    """Say how a debt was settled."""
    with change("obligation:settle", (Obligation, obligation_id), reason=note, sign=True) as act:
        obligation = act.get(Obligation)
        # Who applied does not say that the committee's own condition is met.
        condition = obligation.blocks == Obligation.Blocks.START
        account = access.require("approve" if condition else "settle_obligation")
        if account.person_key == obligation.release.author.person_key:
            raise NotYou(_("You are its author."))
        if condition and account.person_key in quorum.excluded(obligation.release):
            raise NotYou(_("You have a part in this release; another member of the committee says that it is met."))
        if obligation.settled_at is not None:
            raise WrongState(_("It is settled already."))
        if not note.strip():
            raise Invalid(_("Say how it was settled."))
        obligation.settled_at, obligation.settled_by, obligation.note = now(), account, note
        act.signature("settle")
    return obligation
