"""follow_up:complete: a follow-up action is completed."""

from collections.abc import Container

from django.utils.translation import gettext as _

from audit.clock import now
from audit.operation import operation
from audit.plain import is_blank
from audit.refusals import InvalidInput, NotPermitted, NotPossible
from environments import access
from environments.models import Account
from releases.gates import authorship
from releases.models import FollowUp


def complete(follow_up_id: int, *, note: str) -> FollowUp:
    """Complete a follow-up action with a note on how it was done."""
    with operation("follow_up:complete", (FollowUp, follow_up_id), reason=note, sign=True) as op:
        follow_up = op.get(FollowUp)
        account = access.require(right_for(follow_up))
        if why := why_not_permitted(account, follow_up):
            raise NotPermitted(why)
        if follow_up.completed_at is not None:
            raise NotPossible(_("This follow-up action is already completed."))
        if is_blank(note):
            raise InvalidInput(_("Describe how the follow-up action was completed."))
        follow_up.completed_at, follow_up.completed_by, follow_up.note = now(), account, note
        op.signature()
    return follow_up


def right_for(follow_up: FollowUp) -> str:
    """Return the permission that completion needs: the requester does not decide whether the committee's own condition
    is met.
    """
    return "approve" if follow_up.blocks == FollowUp.Blocks.START else "complete_follow_up"


def why_not_permitted(account: Account, follow_up: FollowUp, parts: Container[str] | None = None) -> str:
    """Return why a person may not complete a follow-up action; empty when they may. parts: the persons with a part in
    its release.
    """
    release = follow_up.release
    if account.is_among(release.author.identities):
        return _("You are the author of this release; another person must complete the follow-up action.")
    if follow_up.blocks != FollowUp.Blocks.START:
        return ""
    if account.is_among(authorship.excluded(release) if parts is None else parts):
        return _(
            "You have a part in this release; another member of the release committee must confirm that the "
            "condition is met."
        )
    return ""
