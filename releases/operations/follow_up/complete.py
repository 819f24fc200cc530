"""follow_up:complete: paying what was owed."""

from collections.abc import Container

from django.utils.translation import gettext as _

from audit.clock import now
from audit.operation import operation
from audit.refusals import InvalidInput, NotPermitted, NotPossible
from environments import access
from environments.models import Account
from releases.gates import authorship
from releases.models import FollowUp


def complete(obligation_id: int, *, note: str) -> FollowUp:
    """Say how a follow-up action was settled."""
    with operation("follow_up:complete", (FollowUp, obligation_id), reason=note, sign=True) as op:
        obligation = op.get(FollowUp)
        account = access.require(right_for(obligation))
        if why := why_not_permitted(account, obligation):
            raise NotPermitted(why)
        if obligation.completed_at is not None:
            raise NotPossible(_("This follow-up action is already completed."))
        if not note.strip():
            raise InvalidInput(_("Describe how the follow-up action was completed."))
        obligation.completed_at, obligation.completed_by, obligation.note = now(), account, note
        op.signature()
    return obligation


def right_for(obligation: FollowUp) -> str:
    """Return the right that settling takes: who applied does not say that the committee's own condition is met."""
    return "approve" if obligation.blocks == FollowUp.Blocks.START else "complete_follow_up"


def why_not_permitted(account: Account, obligation: FollowUp, parts: Container[str] | None = None) -> str:
    """Return why a person may not settle a follow-up action; empty when he may. parts: who has one in its release, where known."""
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
