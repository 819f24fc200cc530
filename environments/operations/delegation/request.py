"""delegation:request, delegation:confirm, delegation:revoke: 代理, who approves in place of an absent person (J1)."""

from datetime import datetime

from django.utils.translation import gettext as _

from audit.clock import now
from audit.operation import operation
from audit.plain import is_blank
from audit.refusals import InvalidInput, NotPermitted, NotPossible
from environments import access
from environments.models import Account, Delegation


def request_delegation(
    *, delegator_id: int, delegate_id: int, starts_at: datetime, until: datetime, reason: str
) -> Delegation:
    """Name a delegate for an absence: by the absent person themselves, or by an account that may grant.

    It counts once somebody who may grant, and is neither of the two nor who appointed, has confirmed it.
    Raises NotPermitted, InvalidInput.
    """
    with operation("delegation:request", (Account, delegator_id), reason=reason, sign=True) as op:
        absent = op.get(Account)
        who = access.require_part()
        if who.pk != absent.pk:
            access.require("manage_access")
        delegate = Account.objects.filter(pk=delegate_id).first()
        if delegate is None:
            raise InvalidInput(_("The selected account does not exist."))
        if not all(one.kind == Account.Kind.PERSON and one.is_active for one in (absent, delegate)):
            raise InvalidInput(_("The person represented and the delegate must both have an active personal account."))
        if delegate.is_among(absent.identities):
            raise InvalidInput(_("The delegate must be another person."))
        if until <= now() or until <= starts_at:
            raise InvalidInput(_("The end lies before the beginning, or in the past."))
        if is_blank(reason):
            raise InvalidInput(_("A delegation needs a reason."))
        same = Delegation.objects.filter(
            delegator=absent, revoked_at=None, starts_at__lt=until, until__gt=starts_at
        ).first()
        if same is not None:
            raise InvalidInput(
                _("%(delegate)s is already the delegate for that time.") % {"delegate": str(same.delegate)}
            )
        made = Delegation.objects.create(
            delegator=absent,
            delegate=delegate,
            starts_at=starts_at,
            until=until,
            reason=reason.strip(),
            requested_by=who,
        )
        op.signature()
        op.about(made, delegator=absent.pk, delegate=delegate.pk)
    return made


def confirm(delegate_id: int, *, reason: str = "") -> Delegation:
    """Confirm a delegate, as a third person who may grant. Raises NotPermitted, NotPossible."""
    with operation("delegation:confirm", (Delegation, delegate_id), reason=reason, sign=True) as op:
        third = access.require("manage_access")
        row = op.get(Delegation)
        if row.confirmed_at is not None or row.revoked_at is not None or row.until <= now():
            raise NotPossible(_("This delegation is not awaiting confirmation."))
        if third.is_among(row.delegator.identities | row.delegate.identities | row.requested_by.identities):
            raise NotPermitted(
                _(
                    "Another person must confirm this delegation: not the person represented, the delegate or the "
                    "person who registered the delegation."
                )
            )
        if row.delegate.must_enrol:
            text = _("%(name)s has not enrolled yet. Confirm the delegation after that, so that you know who decides.")
            raise NotPossible(text % {"name": row.delegate})
        access.require_still(row.requested_by if row.requested_by_id != row.delegator_id else None, "manage_access")
        row.confirmed_by, row.confirmed_at = third, now()
        op.signature()
    return row


def revoke(delegate_id: int, *, reason: str) -> Delegation:
    """End it at once: the absent person, the delegate, or somebody who may grant. Raises NotPermitted, InvalidInput,
    NotPossible.
    """
    with operation("delegation:revoke", (Delegation, delegate_id), reason=reason) as op:
        row, who = op.get(Delegation), access.current_account()
        if who.pk not in (row.delegator_id, row.delegate_id):
            access.require("manage_access")
        if row.revoked_at is not None:
            raise NotPossible(_("This delegation has already ended."))
        if is_blank(reason):
            raise InvalidInput(_("Revoking a delegation needs a reason."))
        row.revoked_at = now()
    return row
