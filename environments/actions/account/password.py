"""account:set_password, account:confirm_password, account:drop_password: a new first password for someone.

Whoever sets a password could sign in with it. So that nobody comes by a deciding role in this way, the password of an
account that holds one (or will, or stands in for who does) counts only when a second administrator has confirmed it.
"""

from __future__ import annotations

from django.db.models import Q
from django.utils.translation import gettext as _

from audit.change import change
from audit.refusals import Invalid, NotYou, WrongState
from environments import access
from environments.actions.account.close import end_sessions
from environments.actions.account.create import set_first_password
from environments.models import AccessGrant, Account, Deputy
from environments.roles import DECIDING


def set_password(account_id: int, *, password: str, reason: str) -> Account:
    """Give a person a first password, to be changed at the next sign-in; one with a deciding role waits for a second.

    Raises NotYou, Invalid, WrongState.
    """
    with change("account:set_password", (Account, account_id), reason=reason, sign=True) as act:
        setter = access.require("account")
        account = act.get(Account)
        if account.kind != Account.Kind.PERSON:
            raise Invalid(_("A service account comes by token and has no password."))
        if account.person_key == setter.person_key:
            raise NotYou(_("Change your own password on your account's page."))
        if not account.is_active:
            raise WrongState(_("This account is closed."))
        if not reason.strip():
            raise Invalid(_("A new password needs a reason."))
        act.signature("set_password")
        kept = account.password
        set_first_password(account, password)
        if needs_second(account):
            account.pending_password, account.password = account.password, kept
            account.pending_by = setter
            act.about(account, waits=True)
        else:
            _put(account)
            act.about(account, waits=False, sessions=end_sessions(account))
    return account


def confirm_password(account_id: int, *, reason: str = "") -> Account:
    """Confirm a first password as the second administrator: from now on it is the account's."""
    with change("account:confirm_password", (Account, account_id), reason=reason, sign=True) as act:
        second = access.require("account")
        account = act.get(Account)
        if not account.pending_password or account.pending_by is None:
            raise WrongState(_("No password waits for a second person here."))
        if second.person_key in (account.person_key, account.pending_by.person_key):
            raise NotYou(_("A second person must confirm this."))
        if not account.is_active:
            raise WrongState(_("This account is closed."))
        account.password = account.pending_password
        _put(account)
        act.signature("confirm_password")
        act.about(account, sessions=end_sessions(account))
    return account


def drop_password(account_id: int, *, reason: str) -> Account:
    """Drop a password that waits; the owner or any administrator may."""
    with change("account:drop_password", (Account, account_id), reason=reason) as act:
        account, who = act.get(Account), access.current_account()
        if who.pk != account.pk:
            access.require("account")
        if not account.pending_password:
            raise WrongState(_("No password waits for a second person here."))
        account.pending_password, account.pending_by = "", None
    return account


def _put(account: Account) -> None:
    account.must_change_password = True
    account.pending_password, account.pending_by = "", None


def needs_second(account: Account) -> bool:
    """Tell whether an account holds, or will hold, a role that decides, or stands in for somebody who does."""
    absent = Deputy.objects.lasting().filter(deputy=account).values("absent")
    speaks_for = Q(account=account) | Q(account__in=absent)
    return AccessGrant.objects.lasting().filter(speaks_for, role__in=DECIDING).exists()
