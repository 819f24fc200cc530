"""account:edit by an administrator, and account:edit_own by the people themselves."""

from datetime import time
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils.translation import gettext as _

from audit.operation import Operation, operation
from audit.plain import is_blank, plain
from audit.refusals import InvalidInput, NotPermitted
from environments import access
from environments.models import Account
from environments.operations.requested_change.decide import OPERATIONS, apply_or_request

LANGUAGES = ("ja", "en")


def edit(
    account_id: int,
    *,
    display_name: str,
    affiliation: str = "",
    job_title: str = "",
    employee_id: str = "",
    telephone: str = "",
    git_addresses: tuple[str, ...] = (),
    language: str = "ja",
    email: str | None = None,
    break_glass: bool | None = None,
    reason: str,
) -> Any:
    """Change an account's data about its owner, signed by an administrator; return the account, or the requested
    change.

    Git addresses, employee id and mail address say who a person is: a second administrator accepts them, and so
    whether an account is for break-glass. Raises
    NotPermitted, InvalidInput.
    """
    with operation("account:edit", (Account, account_id), reason=reason, sign=True) as op:
        editor = access.require("manage_accounts")
        account = op.get(Account)
        if is_blank(display_name):
            raise InvalidInput(_("An account needs a full name."))
        if is_blank(reason):
            raise InvalidInput(_("Changing an account needs a reason."))
        account.display_name = plain(display_name, _("full name"))
        account.affiliation, account.job_title = affiliation.strip(), job_title.strip()
        account.telephone = telephone.strip()
        account.language = _language(language)
        identity: dict[str, Any] = {"git_addresses": addresses(git_addresses), "employee_id": employee_id.strip()}
        if break_glass is not None:
            identity["break_glass"] = break_glass
        if email is not None:
            identity["email"] = mail_address(email)
        return put_identity(op, account, identity, by=editor, reason=reason)


def edit_own(
    *,
    telephone: str,
    language: str,
    email: str | None = None,
    quiet_from: time | None = None,
    quiet_until: time | None = None,
) -> Any:
    """Change one's own telephone, language and quiet hours; a mail address (None: as it is) waits for an administrator.
    Raises NotPermitted, InvalidInput.
    """
    who = access.current_account()
    with operation("account:edit_own", (Account, who.pk)) as op:
        account = op.get(Account)
        if account.kind != Account.Kind.PERSON:
            raise NotPermitted(_("Only a personal account can perform this operation."))
        account.telephone = telephone.strip()
        account.language = _language(language)
        if (quiet_from is None) != (quiet_until is None):
            raise InvalidInput(_("Quiet hours have a beginning and an end."))
        account.quiet_from, account.quiet_until = quiet_from, quiet_until
        identity = {"email": mail_address(email)} if email is not None else {}
        return put_identity(op, account, identity, by=who, reason="")


def put_identity(op: Operation, account: Account, identity: dict[str, Any], *, by: Account | None, reason: str) -> Any:
    """Write the identity of a person, from inside an operation; a value that differs from now waits for a second
    person.
    """
    changed = {name: value for name, value in identity.items() if value != getattr(account, name)}
    if not changed:
        return account
    if by is None:
        for name, value in changed.items():
            setattr(account, name, value)
        _require_free(account)
        account.save()
        return account
    return apply_or_request(op, account, changed, by=by, two=True, reason=reason)


def _require_identity(account: Account, persons: tuple[Account, ...]) -> None:
    """Refuse a change of identity that one of its authors makes of themselves, before or after; keep what the
    person gives up. An employee id is given as a role is. A person may request a mail address of their own.
    """
    _require_free(account)
    known = Account.objects.get(pk=account.pk)
    renumbered = account.employee_id != known.employee_id
    decides = renumbered or sorted(account.git_addresses) != sorted(known.git_addresses)
    theirs = account.identities | known.identities
    if decides and any(one.is_among(theirs) for one in persons):
        text = _("Git addresses and the employee ID decide who may approve. Ask another administrator to change yours.")
        raise NotPermitted(text)
    if renumbered:
        access.require("manage_access")
        access.require_factor_anywhere()
    # Who gives one up stays the person who wrote under it, wherever somebody asks who may approve.
    had = {known.person_key, *known.git_addresses, *known.former_identities}
    account.former_identities = sorted(had - {account.person_key, *account.git_addresses})


OPERATIONS |= dict.fromkeys(
    ("account:create", "account:edit", "account:edit_own"), ("manage_accounts", _require_identity)
)


def addresses(given: tuple[str, ...]) -> list[str]:
    """Return git addresses as they are kept: small letters, each once. Raises InvalidInput."""
    kept = list(dict.fromkeys(address.strip().lower() for address in given if address.strip()))
    for address in kept:
        try:
            validate_email(address)
        except ValidationError:
            raise InvalidInput(_("“%(address)s” is not a valid address.") % {"address": address}) from None
    return kept


def _require_free(account: Account) -> None:
    """Raise InvalidInput when one of an account's git addresses is another person's."""
    for other in Account.objects.exclude(pk=account.pk).exclude(git_addresses=[]):
        taken = set(account.git_addresses) & {str(known).lower() for known in other.git_addresses}
        if taken and other.person_key != account.person_key:
            text = _("%(address)s is already an address of %(who)s.")
            raise InvalidInput(text % {"address": min(taken), "who": str(other)})


def mail_address(address: str) -> str:
    """Return a mail address as it is kept; empty for none. Raises InvalidInput."""
    if address.strip():
        try:
            validate_email(address.strip())
        except ValidationError:
            raise InvalidInput(_("“%(address)s” is not a valid address.") % {"address": address}) from None
    return address.strip()


def _language(language: str) -> str:
    if language not in LANGUAGES:
        raise InvalidInput(_("The selected language is not available."))
    return language
