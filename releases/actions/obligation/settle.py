"""follow_up:complete: paying what was owed."""

from collections.abc import Container

from django.utils.translation import gettext as _

from audit.change import change
from audit.clock import now
from audit.refusals import Invalid, NotYou, WrongState
from environments import access
from environments.models import Account
from releases.gates import authorship
from releases.models import FollowUp


def settle(obligation_id: int, *, note: str) -> FollowUp:
    """Say how a debt was settled."""
    with change("follow_up:complete", (FollowUp, obligation_id), reason=note, sign=True) as act:
        obligation = act.get(FollowUp)
        account = access.require(right_for(obligation))
        if why := not_yours(account, obligation):
            raise NotYou(why)
        if obligation.completed_at is not None:
            raise WrongState(_("This follow-up action is already completed."))
        if not note.strip():
            raise Invalid(_("Describe how the follow-up action was completed."))
        obligation.completed_at, obligation.completed_by, obligation.note = now(), account, note
        act.signature("settle")
    return obligation


def right_for(obligation: FollowUp) -> str:
    """Return the right that settling takes: who applied does not say that the committee's own condition is met."""
    return "approve" if obligation.blocks == FollowUp.Blocks.START else "settle_obligation"


def not_yours(account: Account, obligation: FollowUp, parts: Container[str] | None = None) -> str:
    """Return why a person may not settle a debt; empty when he may. parts: who has one in its release, where known."""
    release = obligation.release
    if account.is_among(release.author.identities):
        return _("You are the author of this release; another person must complete the follow-up action.")
    if obligation.blocks != FollowUp.Blocks.START:
        return ""
    if account.is_among(authorship.excluded(release) if parts is None else parts):
        return _(
            "You have a part in this release; another member of the release committee must confirm that the "
            "condition is met."
        )
    return ""
