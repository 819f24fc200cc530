"""account:create: a person or a service, without any right."""

from __future__ import annotations

from django.contrib.auth.password_validation import validate_password
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from audit.actor import current
from audit.change import change
from audit.refusals import Invalid
from environments import access
from environments.actions.account.edit import addresses, mail_address
from environments.models import Account


def create(
    *,
    username: str,
    display_name: str,
    kind: str = "person",
    password: str = "",
    affiliation: str = "",
    job_title: str = "",
    employee_id: str = "",
    telephone: str = "",
    git_addresses: tuple[str, ...] = (),
    language: str = "ja",
    email: str = "",
    must_change_password: bool | None = None,
    reason: str = "",
) -> Account:
    """Make an account without any right. A person needs a password of 12 characters or more, a service has none.

    A first password that somebody else chose is changed at the first sign-in. Raises NotYou, Invalid.
    """
    by_command = current().kind == "command"
    with change("account:create", reason=reason, sign=not by_command) as act:
        if not by_command:
            access.require("account")
        account = Account(
            username=Account.normalize_username(username.strip()),
            display_name=display_name.strip(),
            kind=kind,
            affiliation=affiliation,
            job_title=job_title,
            employee_id=employee_id,
            telephone=telephone,
            language=language,
            email=mail_address(email),
            is_staff=kind == Account.Kind.PERSON,
        )
        try:
            UnicodeUsernameValidator()(account.username)
        except ValidationError as fault:
            raise Invalid(*fault.messages)
        if Account.objects.filter(username__iexact=account.username).exists():
            raise Invalid(_("There is already an account “%(name)s”.") % {"name": account.username})
        account.git_addresses = addresses(account, git_addresses)
        if kind == Account.Kind.PERSON:
            set_first_password(account, password)
            account.must_change_password = not by_command if must_change_password is None else must_change_password
        else:
            account.set_unusable_password()
        account.save()
        if not by_command:
            act.signature("create")
        act.about(account)
    return account


def set_first_password(account: Account, password: str) -> None:
    """Give an account a password, from inside a door; raises Invalid with what is weak about it."""
    try:
        validate_password(password, account)
    except ValidationError as fault:
        raise Invalid(*fault.messages) from fault
    account.set_password(password)
