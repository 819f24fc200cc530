"""account:deactivate and account:reactivate: a deactivated account may do nothing from that moment on."""

from datetime import datetime

from allauth.mfa.models import Authenticator
from django.db.models import Q
from django.utils.translation import gettext as _

from audit.actor import current
from audit.clock import now
from audit.operation import operation
from audit.plain import is_blank
from audit.refusals import InvalidInput, NotPermitted, NotPossible
from environments import access
from environments.departures import check_departures
from environments.models import AccessGrant, AccessRequest, Account, CalendarFeed, Delegation, ExternalIdentity, Token
from environments.session_list import kept_of


def deactivate(account_id: int, *, reason: str) -> Account:
    """Deactivate an account; its tokens, sessions, factors and grants end in the same transaction.

    The identity provider does it by SCIM, unsigned, with the accounts that it keeps. Raises NotPermitted, InvalidInput,
    NotPossible.
    """
    by_scim = current().kind == "service"
    with operation("account:deactivate", (Account, account_id), reason=reason, sign=not by_scim) as op:
        closer = access.require("provision" if by_scim else "manage_accounts")
        account = op.get(Account)
        if by_scim and not account.kept_by_provider:
            raise NotPermitted(_("The identity provider does not keep this account."))
        if not account.is_active:
            raise NotPossible(_("This account is already deactivated."))
        if account.is_among(closer.identities):
            raise NotPermitted(_("You cannot deactivate your own account. Ask another administrator."))
        if is_blank(reason):
            raise InvalidInput(_("Deactivating an account needs a reason."))
        account.is_active = False
        account.invitation, account.invited_until, account.enrolled_at = "", None, None
        moment = now()
        # Never refused: a person who has left must lose access at once. Rules that can't be met any more are warned of.
        check_departures(
            op,
            list(AccessGrant.objects.in_effect().filter(account=account).values_list("pk", flat=True)),
            refuses=False,
        )
        ended = {
            "tokens": _end(Token.objects.filter(account=account, revoked_at=None), "revoked_at", moment),
            "grants": _end(AccessGrant.objects.filter(account=account, revoked_at=None), "revoked_at", moment),
            "delegations": _end(
                Delegation.objects.filter(Q(delegator=account) | Q(delegate=account), revoked_at=None),
                "revoked_at",
                moment,
            ),
            "requests": _end(AccessRequest.objects.filter(account=account, decided_at=None), "decided_at", moment),
            "feeds": _end(CalendarFeed.objects.filter(account=account, revoked_at=None), "revoked_at", moment),
            "factors": end_factors(account),
            "identities": end_identities(account),
            "sessions": end_sessions(account),
        }
        if not by_scim:
            op.signature()
        op.about(account, ended=ended)
    return account


def reactivate(account_id: int, *, reason: str) -> Account:
    """Reactivate an account without role, token or password; each is given again."""
    with operation("account:reactivate", (Account, account_id), reason=reason, sign=True) as op:
        opener = access.require("manage_accounts")
        account = op.get(Account)
        if account.is_active:
            raise NotPossible(_("This account is active."))
        if account.is_among(opener.identities):
            raise NotPermitted(_("You cannot reactivate your own account. Ask another administrator."))
        if is_blank(reason):
            raise InvalidInput(_("Reactivating an account needs a reason."))
        account.is_active = True
        account.set_unusable_password()
        op.signature()
    return account


def _end(rows: object, column: str, moment: datetime) -> int:
    count = 0
    for row in rows.select_for_update(of=("self",), no_key=True).order_by("pk"):  # type: ignore[attr-defined]
        setattr(row, column, moment)
        row.save()
        count += 1
    return count


def end_factors(account: Account) -> int:
    """Delete the second factors and recovery codes of an account, from inside an operation; return how many there
    were.
    """
    count: int = Authenticator.objects.filter(user=account).delete()[0]
    return count


def end_identities(account: Account) -> int:
    """Delete the single sign-on of an account, from inside an operation; return how many there were."""
    count: int = ExternalIdentity.objects.filter(account=account).delete()[0]
    return count


def end_sessions(account: Account) -> int:
    """Delete every session of an account, from inside an operation; return how many there were."""
    count = 0
    for session, _kept in kept_of(account):
        session.delete()
        count += 1
    return count
