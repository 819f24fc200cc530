"""Grants as people read them: who holds, will hold, waits for or held a role. The pages about access call it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from environments.admin.rights import Rights
from environments.models import (
    AccessGrant,
    AccessRequest,
    AccessReview,
    AccessReviewItem,
    Account,
    Delegation,
    RequestedChange,
    Token,
)
from releases.admin.operations.base import Verb

# The rows of which `pointless` knows; they have no machine.
ROWS = (AccessGrant, AccessRequest, AccessReview, AccessReviewItem, Account, Delegation, RequestedChange, Token)


@dataclass(frozen=True)
class Standing:
    """Where a grant stands: its key (now, future, waits, ended, withdrawn), in words, and the tone of its chip."""

    key: str
    words: str
    tone: str


def standing(grant: AccessGrant, moment: datetime) -> Standing:
    """Return where a grant stands at a moment."""
    if grant.revoked_at is not None:
        return Standing("revoked", _("revoked early"), "calm")
    if grant.until is not None and grant.until <= moment:
        return Standing("ended", _("ended"), "calm")
    if grant.confirmed_at is None:
        return Standing("waits", _("waits for a second person"), "warn")
    if grant.starts_at > moment:
        return Standing("future", _("begins later"), "going")
    return Standing("now", _("valid now"), "good")


def by_standing(grants: Iterable[AccessGrant], moment: datetime) -> dict[str, list[tuple[AccessGrant, Standing]]]:
    """Return grants under where they stand."""
    found: dict[str, list[tuple[AccessGrant, Standing]]] = {}
    for grant in grants:
        where = standing(grant, moment)
        found.setdefault(where.key, []).append((grant, where))
    return found


def pointless(verb: Verb, row: Any, rights: Rights) -> bool:
    """Tell whether a verb has nothing left to do on a row, or only for somebody else; its button would mislead."""
    me = rights.account
    mine = me.person_key if me is not None else ""
    match row:
        case AccessGrant():
            second = verb.name != "confirm" or (
                row.confirmed_at is None
                and row.granted_by_id != getattr(me, "pk", 0)
                and row.account.person_key != mine
            )
            return row.revoked_at is not None or not second
        case AccessRequest():
            return row.decided_at is not None or row.account.person_key == mine
        case AccessReview():
            return row.closed_at is not None
        case AccessReviewItem():
            return bool(row.result) or row.review.closed_at is not None or row.grant.account.person_key == mine
        case Delegation():
            parties = (row.delegator_id, row.delegate_id)
            if row.revoked_at is not None:
                return True
            if verb.name == "confirm":
                return row.confirmed_at is not None or getattr(me, "pk", 0) in (*parties, row.requested_by_id)
            return getattr(me, "pk", 0) not in parties and not rights.may("manage_access")
        case RequestedChange():
            return row.decided_at is not None
        case Token():
            return row.revoked_at is not None
        case Account():
            return _account(verb, row, rights, mine)
    return False


def _account(verb: Verb, row: Account, rights: Rights, mine: str) -> bool:
    own, service = row.person_key == mine, row.kind == Account.Kind.SERVICE
    match verb.key:
        case "account:reactivate":
            return row.is_active or own
        case "account:edit":
            return False
        case "account:invite":
            return not row.is_active or own or service
        case "token:issue":
            return not row.is_active or not service
    return not row.is_active or own
