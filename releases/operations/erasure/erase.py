"""erasure:request, erasure:confirm, erasure:reject: two administrators erase the personal data of an account;
erasure:request_recipient, erasure:confirm_recipient, erasure:reject_recipient: those of a recipient without account.

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
from releases.models import Erasure, GroupRecipient, NotificationDelivery, SuppressedAddress
from releases.queries.personal_data import personal_rows, why_not_erasable

Person = Account | GroupRecipient


def request_erasure(account_id: int, *, reason: str) -> Account:
    """Request to erase the personal data of a deactivated account. Raises NotPermitted, InvalidInput, NotPossible."""
    with operation("erasure:request", (Account, account_id), reason=reason, sign=True) as op:
        return _requested(op, op.get(Account), reason)


def request_recipient_erasure(recipient_id: int, *, reason: str) -> GroupRecipient:
    """Request to erase the personal data of a removed recipient without account. Raises NotPermitted, InvalidInput,
    NotPossible.
    """
    with operation("erasure:request_recipient", (GroupRecipient, recipient_id), reason=reason, sign=True) as op:
        return _requested(op, op.get(GroupRecipient), reason)


def confirm_erasure(account_id: int, *, reason: str = "") -> Account:
    """Erase the personal data of an account as the second administrator. Raises NotPermitted, NotPossible."""
    with operation("erasure:confirm", *_rows(Account, account_id), reason=reason, sign=True) as op:
        return _confirmed(op, op.get(Account))


def confirm_recipient_erasure(recipient_id: int, *, reason: str = "") -> GroupRecipient:
    """Erase the personal data of a recipient as the second administrator, in each group. Raises NotPermitted,
    NotPossible.
    """
    rows = _rows(GroupRecipient, recipient_id)
    with operation("erasure:confirm_recipient", *rows, reason=reason, sign=True) as op:
        return _confirmed(op, op.get(GroupRecipient))


def reject_erasure(account_id: int, *, reason: str) -> Account:
    """End a request to erase; nothing is erased. Raises NotPermitted, InvalidInput, NotPossible."""
    with operation("erasure:reject", *_rows(Account, account_id), reason=reason) as op:
        return _rejected(op, op.get(Account))


def reject_recipient_erasure(recipient_id: int, *, reason: str) -> GroupRecipient:
    """End a request to erase the data of a recipient. Raises NotPermitted, InvalidInput, NotPossible."""
    with operation("erasure:reject_recipient", *_rows(GroupRecipient, recipient_id), reason=reason) as op:
        return _rejected(op, op.get(GroupRecipient))


def over_request(person: Person) -> str:
    """Return why no erasure of a person can be requested now; empty where one can."""
    if Erasure.open_of(person) is not None:
        return _("An erasure of this person has already been requested.")
    return why_not_erasable(person)


def over_decision(person: Person) -> str:
    """Return why there is nothing to decide about a person; empty while a request waits."""
    return "" if Erasure.open_of(person) is not None else _("No erasure of this person waits for a decision.")


def _requested[P: Person](op: Operation, person: P, reason: str) -> P:
    first = access.require("manage_accounts")
    op.require_reason()
    _require_other(person, first)
    if why := over_request(person):
        raise NotPossible(why)
    row = Erasure.objects.create(
        **Erasure.about(person), reason=reason.strip(), requested_by=first, requested_person=first.person_key
    )
    op.details["erasure"] = row.pk
    op.created.append(row)
    op.signature()
    return person


def _confirmed[P: Person](op: Operation, person: P) -> P:
    second = access.require("manage_accounts")
    row = _locked(op, person)
    _require_other(person, second)
    if row.requested_person in second.identities:
        raise NotPermitted(_("A second person must confirm this."))
    access.require_still(row.requested_by, "manage_accounts")
    if why := why_not_erasable(person):
        raise NotPossible(why)
    row.confirmed_by, row.confirmed_person, row.confirmed_at = second, second.person_key, now()
    row.save()
    if isinstance(person, Account):
        _detach(person)
    emptied = {}
    for rows, empty in personal_rows(person):
        # The person is the row that the operation has locked.
        found = [person if one == person else one for one in rows.select_for_update(no_key=True, of=("self",))]
        for one in found:
            for name, value in empty.items():
                setattr(one, name, value)
            _end(one)
            one.save()
        if found:
            emptied[rows.model._meta.label] = {"rows": len(found), "columns": sorted(empty)}
    with connection.cursor() as cursor:
        cursor.execute("SELECT ringi_erase(%s)", [row.pk])
        (history,) = cursor.fetchone()
    # They are written already: the function asks for it.
    op.track(row, row.pk)
    if person._meta.label in emptied:
        op.track(person, person.pk)
    op.details.update(erasure=row.pk, emptied=emptied, history_rows=history)
    op.signature()
    return person


def _rejected[P: Person](op: Operation, person: P) -> P:
    access.require("manage_accounts")
    row = _locked(op, person)
    op.require_reason()
    row.rejected_at = now()
    op.details["erasure"] = row.pk
    return person


def _detach(account: Account) -> None:
    """Keep under which keys the person counted, and let no provider write the values back."""
    earlier = account.own_keys - {account.person_key}
    account.kept_identities = sorted(key for key in earlier if key.startswith(Account.PERSON_KEYS))
    account.provisioned, account.external_id = False, ""
    account.provisioned_groups.clear()


def _end(row: Model) -> None:
    """End what a row without its address cannot go on with."""
    if isinstance(row, SuppressedAddress):
        row.lifted_at = row.lifted_at or now()
    elif isinstance(row, NotificationDelivery):
        row.last_error = ""  # it may name the address, and stands in no event
        if row.outcome == NotificationDelivery.Outcome.PENDING:
            row.outcome, row.ended_at, row.next_at = NotificationDelivery.Outcome.CANCELLED, now(), None


def _require_other(person: Person, who: Account) -> None:
    own = (
        person.is_among(who.identities)
        if isinstance(person, Account)
        else bool(person.address) and person.address.casefold() == who.email.casefold()
    )
    if own:
        raise NotPermitted(_("You cannot erase your own personal data. Ask other administrators."))


def _rows(model: type[Person], pk: int) -> list[tuple[type[Model], int]]:
    asked = Erasure.open_of(model(pk=pk))
    return [(model, pk), *([(Erasure, asked.pk)] if asked is not None else [])]


def _locked(op: Operation, person: Person) -> Erasure:
    """Return the request behind the operation; it may have been decided while the lock was waited for."""
    if why := over_decision(person):
        raise NotPossible(why)
    return op.get(Erasure)
