"""erasure:request, erasure:confirm, erasure:reject: two administrators erase the personal data of an account.

Rows are emptied as by any operation. The commitments in the ledger stay, and with the keys of the rows goes all that
could tell which values they are of.
"""

from django.db import connection
from django.db.models import Model
from django.utils.translation import gettext as _

from audit.clock import now
from audit.operation import Operation, operation
from audit.refusals import NotPermitted, NotPossible
from environments import access
from environments.models import Account
from releases.models import Erasure, SuppressedAddress
from releases.queries.personal_data import personal_rows, why_not_erasable


def request_erasure(account_id: int, *, reason: str) -> Account:
    """Request to erase the personal data of a deactivated account. Raises NotPermitted, InvalidInput, NotPossible."""
    with operation("erasure:request", (Account, account_id), reason=reason, sign=True) as op:
        first, account = access.require("manage_accounts"), op.get(Account)
        op.require_reason()
        _require_other(account, first)
        if why := over_request(account):
            raise NotPossible(why)
        row = Erasure.objects.create(
            account=account, reason=reason.strip(), requested_by=first, requested_person=first.person_key
        )
        op.details["erasure"] = row.pk
        op.created.append(row)
        op.signature()
    return account


def confirm_erasure(account_id: int, *, reason: str = "") -> Account:
    """Erase the personal data of an account as the second administrator. Raises NotPermitted, NotPossible."""
    with operation("erasure:confirm", *_rows(account_id), reason=reason, sign=True) as op:
        second, account = access.require("manage_accounts"), op.get(Account)
        row = _locked(op, account)
        _require_other(account, second)
        if second.is_among({row.requested_person, *row.requested_by.identities}):
            raise NotPermitted(_("A second person must confirm this."))
        access.require_still(row.requested_by, "manage_accounts")
        if why := why_not_erasable(account):
            raise NotPossible(why)
        row.confirmed_by, row.confirmed_person, row.confirmed_at = second, second.person_key, now()
        row.save()
        emptied = {}
        for rows, empty in personal_rows(account):
            # The account is the row that the operation has locked.
            found = [account if isinstance(one, Account) else one for one in rows]
            for one in found:
                for name, value in empty.items():
                    setattr(one, name, value)
                if isinstance(one, SuppressedAddress):
                    one.lifted_at = one.lifted_at or now()
                one.save()
            if found:
                emptied[rows.model._meta.label] = {"rows": len(found), "columns": sorted(empty)}
        with connection.cursor() as cursor:
            cursor.execute("SELECT ringi_erase(%s)", [row.pk])
            (history,) = cursor.fetchone()
        # Both are written already: the function asks for it.
        for written in (account, row):
            op.track(written, written.pk)
        op.details.update(erasure=row.pk, emptied=emptied, history_rows=history)
        op.signature()
    return account


def reject_erasure(account_id: int, *, reason: str) -> Account:
    """End a request to erase; nothing is erased. Raises NotPermitted, InvalidInput, NotPossible."""
    with operation("erasure:reject", *_rows(account_id), reason=reason) as op:
        access.require("manage_accounts")
        row = _locked(op, op.get(Account))
        op.require_reason()
        row.rejected_at = now()
        op.details["erasure"] = row.pk
    return op.get(Account)


def over_request(account: Account) -> str:
    """Return why no erasure of an account can be requested now; empty where one can."""
    if Erasure.open_of(account.pk) is not None:
        return _("An erasure of this account has already been requested.")
    return why_not_erasable(account)


def over_decision(account: Account) -> str:
    """Return why there is nothing to decide about an account; empty while a request waits."""
    return "" if Erasure.open_of(account.pk) is not None else _("No erasure of this account waits for a decision.")


def _require_other(account: Account, who: Account) -> None:
    if account.is_among(who.identities):
        raise NotPermitted(_("You cannot erase your own personal data. Ask other administrators."))


def _rows(account_id: int) -> list[tuple[type[Model], int]]:
    asked = Erasure.open_of(account_id)
    return [(Account, account_id), *([(Erasure, asked.pk)] if asked is not None else [])]


def _locked(op: Operation, account: Account) -> Erasure:
    """Return the request behind the operation; it may have been decided while the lock was waited for."""
    if why := over_decision(account):
        raise NotPossible(why)
    return op.get(Erasure)
