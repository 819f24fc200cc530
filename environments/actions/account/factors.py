"""account:drop_factors, account:confirm_factors, account:keep_factors: for somebody who has lost his device.

Without its second factor an account is protected by its password alone. So that nobody weakens a deciding one in this
way, it takes two administrators there, as a new password does.
"""

from __future__ import annotations

from allauth.mfa.models import Authenticator
from django.utils.translation import gettext as _

from audit.change import change
from audit.refusals import Invalid, NotYou, WrongState
from environments import access
from environments.actions.account.close import end_factors, end_sessions
from environments.actions.account.password import needs_second
from environments.models import Account


def drop_factors(account_id: int, *, reason: str) -> Account:
    """Remove somebody's second factors and recovery codes; with a deciding role it waits for a second administrator.

    Raises NotYou, Invalid, WrongState.
    """
    with change("account:drop_factors", (Account, account_id), reason=reason, sign=True) as act:
        who = access.require("account")
        account = act.get(Account)
        if account.person_key == who.person_key:
            raise NotYou(_("Change your own second factor on your account's page."))
        if not reason.strip():
            raise Invalid(_("Removing a second factor needs a reason."))
        if not Authenticator.objects.filter(user=account).exists():
            raise WrongState(_("This account has no second factor."))
        act.signature("drop_factors")
        if needs_second(account):
            account.factors_pending_by = who
            act.about(account, waits=True)
        else:
            act.about(account, waits=False, **_end(account))
    return account


def confirm_factors(account_id: int, *, reason: str = "") -> Account:
    """Let them go as the second administrator. Raises NotYou, WrongState."""
    with change("account:confirm_factors", (Account, account_id), reason=reason, sign=True) as act:
        second = access.require("account")
        account = act.get(Account)
        if account.factors_pending_by is None:
            raise WrongState(_("Nobody has asked to remove a second factor here."))
        if second.person_key in (account.person_key, account.factors_pending_by.person_key):
            raise NotYou(_("A second person must confirm this."))
        act.signature("confirm_factors")
        act.about(account, **_end(account))
    return account


def keep_factors(account_id: int, *, reason: str) -> Account:
    """Keep them after all: the owner or any administrator says so. Raises NotYou, WrongState."""
    with change("account:keep_factors", (Account, account_id), reason=reason) as act:
        account, who = act.get(Account), access.current_account()
        if who.pk != account.pk:
            access.require("account")
        if account.factors_pending_by is None:
            raise WrongState(_("Nobody has asked to remove a second factor here."))
        account.factors_pending_by = None
    return account


def _end(account: Account) -> dict[str, int]:
    account.factors_pending_by = None
    return {"factors": end_factors(account), "sessions": end_sessions(account)}
