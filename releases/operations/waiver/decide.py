"""waiver:confirm, waiver:reject, waiver:revoke: the second person's decision about a waiver, and its early end (P2)."""

from collections.abc import Container

from django.utils.translation import gettext as _

from audit.clock import now
from audit.operation import Operation, operation
from audit.refusals import NotPermitted, NotPossible
from environments import access
from environments.models import Account
from releases.gates import quorum
from releases.models import ApprovalRequest, Release, Waiver


def approve(waiver_id: int, *, reason: str = "") -> Waiver:
    """Confirm a waiver; this person may no longer approve the release, and its open approval request is invalidated."""
    unlocked = Waiver.objects.get(pk=waiver_id)
    # The release is locked as well, so that a decision about it and this one see each other.
    with operation(
        "waiver:confirm", (Release, unlocked.release_id), (Waiver, waiver_id), reason=reason, sign=True
    ) as op:
        waiver, account = _second(op)
        if why := why_not_permitted(account, waiver):
            raise NotPermitted(why)
        access.require_still(waiver.requested_by, "request_waiver")
        if now() >= waiver.until:
            raise NotPossible(_("The end of this waiver has passed."))
        waiver.decided_by, waiver.approved_at = account, now()
        op.signature()
    return waiver


def reject(waiver_id: int, *, reason: str) -> Waiver:
    """Reject a waiver."""
    with operation("waiver:reject", (Waiver, waiver_id), reason=reason, sign=True) as op:
        waiver, account = _second(op)
        op.require_reason()
        waiver.decided_by, waiver.rejected_at = account, now()
        op.signature()
    return waiver


def revoke(waiver_id: int, *, reason: str) -> Waiver:
    """Revoke a waiver now; the gate does not pass any more. Its follow-up actions stay due."""
    with operation("waiver:revoke", (Waiver, waiver_id), reason=reason, sign=True) as op:
        account = access.current_account()
        if not access.may(account, "request_waiver"):
            access.require("confirm_waiver")
        waiver = op.get(Waiver)
        if waiver.revoked_at is not None or waiver.rejected_at is not None:
            raise NotPossible(_("This waiver has ended already."))
        waiver.revoked_at = now()
        op.signature()
    return waiver


def deciders_of(release_id: int) -> set[str]:
    """Return the persons who have decided in an open approval request of a release: it would count no more."""
    return quorum.deciders_of([release_id], ApprovalRequest.LIVE)[release_id]


def why_already_decided(account: Account, spoken: Container[str]) -> str:
    """Return why a person who has decided about a release waives none of its gates; empty when they have not."""
    if not account.is_among(spoken):
        return ""
    text = _("%(name)s has made an approval decision on this release; other people waive its gates.")
    return text % {"name": account}


def not_second(account: Account, waiver: Waiver) -> str:
    """Return why a person is not the second one who decides about a waiver; empty when they are."""
    if account.is_among(waiver.requested_by.identities | waiver.release.author.identities):
        return _("A different person from the one before must do this.")
    return ""


def why_not_permitted(account: Account, waiver: Waiver, spoken: Container[str] | None = None) -> str:
    """Return why a person may not waive; empty when they may. spoken: `deciders_of` its release, where known."""
    if why := not_second(account, waiver):
        return why
    known = deciders_of(waiver.release_id) if spoken is None else spoken
    return why_already_decided(account, known) or why_already_decided(waiver.requested_by, known)


def _second(op: Operation) -> tuple[Waiver, Account]:
    account = access.require("confirm_waiver")
    waiver = op.get(Waiver)
    if waiver.approved_at is not None or waiver.rejected_at is not None or waiver.revoked_at is not None:
        raise NotPossible(_("This waiver does not wait for a decision."))
    if why := not_second(account, waiver):
        raise NotPermitted(why)
    return waiver, account
