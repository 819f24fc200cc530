"""ledger:request_resumption, ledger:confirm_resumption: an administrator requests that the ledger signer goes on after
a restore, and one of the committee approves, so that the people who run the servers cannot decide alone.

What they approve is one signed note, which the ledger signer remembers and the restored ledger does not hold; its
digest is taken from the refusal that the ledger signer itself wrote into the ledger, never from a form. In the same way
they accept what a verification of the ledger found and what cannot be repaired: production opens again, and the finding
stays where it is. The ledger signer does not act on it: the owner of the tables could have written it. The
administrator of the ledger signer's host accepts it there (`manage.py ledger_signer --resume`).
"""

import json
from collections.abc import Iterator
from typing import Any

from django.db import connection
from django.utils.translation import gettext as _

from audit.clock import now
from audit.ledger.resumption import REFUSAL
from audit.models import LedgerResumption
from audit.operation import operation
from audit.plain import is_blank
from audit.refusals import InvalidInput, NotPermitted, NotPossible
from audit.standing import standing
from environments import access
from environments.models import Account


def refusal() -> dict[str, Any] | None:
    """Return the ledger signer's last refusal (`why`, `note`, `digest`, `size`, `root`); None if it
    never did.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT bytes FROM audit_event WHERE operation = %s ORDER BY at DESC LIMIT 1", [REFUSAL])
        found = cursor.fetchone()
    return dict(json.loads(bytes(found[0]))["after"]) if found else None


def _faults() -> Iterator[dict[str, Any]]:
    """Yield what can be accepted: the ledger signer's refusal, and what the last verification found."""
    if (said := refusal()) is not None:
        yield said
    stand = standing()
    found = stand.fault or stand.last
    if found is not None and found.digest and found.result != found.Result.INCONCLUSIVE:
        yield {"digest": found.digest, "size": found.last, "note": "", "finding": found.words}


def request_resumption(*, reason: str) -> LedgerResumption:
    """Request that the ledger signer goes on without what it refuses to lose, or that a verification's finding is
    accepted. Raises NotPermitted, NotPossible, InvalidInput.
    """
    with operation("ledger:request_resumption", reason=reason, sign=True) as op:
        first = access.require("manage_accounts")
        faults = list(_faults())
        if not faults:
            raise NotPossible(
                _(
                    "A ledger resumption is not needed: the ledger signer refuses nothing, and the last verification "
                    "found no fault."
                )
            )
        if is_blank(reason):
            raise InvalidInput(_("Enter what was restored, and why."))
        known = {row.digest for row in LedgerResumption.objects.all() if _awaited(row) or row.confirmed_at is not None}
        said = next((one for one in faults if one["digest"] not in known), None)
        if said is None:
            raise NotPossible(_("This ledger resumption has already been requested."))
        made = LedgerResumption.objects.create(
            digest=said["digest"],
            size=said["size"],
            note=said["note"],
            finding=said["finding"],
            reason=reason.strip(),
            requested_by=op.actor.label,
            requested_person=first.person_key,
            requested_at=now(),
        )
        op.signature(digest=made.digest)
        op.about(made, size=made.size)
    return made


def confirm(continuation_id: int, *, reason: str = "") -> LedgerResumption:
    """Approve it as one of the committee, and as another person than the requester. Raises NotPermitted,
    NotPossible.
    """
    with operation("ledger:confirm_resumption", (LedgerResumption, continuation_id), reason=reason, sign=True) as op:
        second, row = access.require("approve_change"), op.get(LedgerResumption)
        if row.confirmed_at is not None:
            raise NotPossible(over(row))
        if row.requested_person in second.identities:
            raise NotPermitted(_("A second person must confirm this."))
        access.require_still(_requester(row), "manage_accounts")
        row.confirmed_by, row.confirmed_person, row.confirmed_at = op.actor.label, second.person_key, now()
        op.signature(digest=row.digest)
    return row


def _requester(row: LedgerResumption) -> Account:
    return Account.objects.get(pk=int(row.requested_by.split(":")[1]))


def _awaited(row: LedgerResumption) -> bool:
    """Tell whether it may still be confirmed: the requester has the right as before; otherwise another one requests."""
    return access.may(_requester(row), "manage_accounts")


def over(row: LedgerResumption) -> str:
    """Return why there is nothing left to confirm; empty while there is."""
    return _("Two people have already decided this ledger resumption.") if row.confirmed_at is not None else ""
