"""account:edit by an administrator, and account:edit_own: what people may write of themselves."""

from __future__ import annotations

from datetime import time

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils.translation import gettext as _

from audit.change import change
from audit.refusals import Invalid, NotYou
from environments import access
from environments.models import Account

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
    reason: str,
) -> Account:
    """Change what an account says of its owner, signed by an administrator.

    Git addresses and employee id decide who may approve, so nobody changes his own, nor gives his own employee id to
    another account; and an employee id is given as a role is. Raises NotYou, Invalid.
    """
    with change("account:edit", (Account, account_id), reason=reason, sign=True) as act:
        editor = access.require("account")
        account = act.get(Account)
        if not display_name.strip():
            raise Invalid(_("An account needs a name as written."))
        if not reason.strip():
            raise Invalid(_("Changing an account needs a reason."))
        given = addresses(account, git_addresses)
        before, renumbered = account.person_key, employee_id.strip() != account.employee_id
        account.employee_id = employee_id.strip()
        own = editor.person_key in (before, account.person_key)
        if own and (renumbered or sorted(given) != sorted(account.git_addresses)):
            raise NotYou(
                _("Git addresses and the employee id decide who may approve: another administrator changes yours.")
            )
        if renumbered:
            access.require("grant")
            access.require_factor_anywhere()
        account.display_name = display_name.strip()
        account.affiliation, account.job_title = affiliation.strip(), job_title.strip()
        account.telephone = telephone.strip()
        account.git_addresses = given
        account.language = _language(language)
        if email is not None:
            account.email = mail_address(email)
        act.signature("edit")
    return account


def edit_own(
    *,
    telephone: str,
    language: str,
    email: str | None = None,
    quiet_from: time | None = None,
    quiet_until: time | None = None,
) -> Account:
    """Change one's own telephone, language, mail address (None: as it is) and quiet hours. Raises NotYou, Invalid."""
    who = access.current_account()
    with change("account:edit_own", (Account, who.pk)) as act:
        account = act.get(Account)
        if account.kind != Account.Kind.PERSON:
            raise NotYou(_("Only a person does this."))
        account.telephone = telephone.strip()
        account.language = _language(language)
        if (quiet_from is None) != (quiet_until is None):
            raise Invalid(_("Quiet hours have a beginning and an end."))
        account.quiet_from, account.quiet_until = quiet_from, quiet_until
        if email is not None:
            account.email = mail_address(email)
    return account


def addresses(account: Account, given: tuple[str, ...]) -> list[str]:
    """Return git addresses as they are kept: small letters, each once. Raises Invalid when one is another person's."""
    kept = list(dict.fromkeys(address.strip().lower() for address in given if address.strip()))
    for address in kept:
        try:
            validate_email(address)
        except ValidationError:
            raise Invalid(_("“%(address)s” is no address.") % {"address": address}) from None
    for other in Account.objects.exclude(pk=account.pk).exclude(git_addresses=[]):
        taken = set(kept) & {str(known).lower() for known in other.git_addresses}
        if taken and other.person_key != account.person_key:
            raise Invalid(
                _("%(address)s is an address of %(who)s already.") % {"address": min(taken), "who": str(other)}
            )
    return kept


def mail_address(address: str) -> str:
    """Return a mail address as it is kept; empty for none. Raises Invalid."""
    if address.strip():
        try:
            validate_email(address.strip())
        except ValidationError:
            raise Invalid(_("“%(address)s” is no address.") % {"address": address}) from None
    return address.strip()


def _language(language: str) -> str:
    if language not in LANGUAGES:
        raise Invalid(_("There is no such language."))
    return language
