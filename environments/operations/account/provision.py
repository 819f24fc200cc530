"""account:provision, account:edit_provisioned, account:end_provisioning, account:hand_over: accounts that the identity
provider keeps by SCIM.

The provider reaches no other account: not one that a person made here, until an administrator hands it over, and no
break-glass or service account.
"""

from django.utils.translation import gettext as _

from audit.operation import NothingToDo, operation
from audit.plain import is_blank, plain
from audit.refusals import AlreadyExists, InvalidInput, NotPossible
from environments import access
from environments.models import Account
from environments.operations.account.create import free_name
from environments.operations.account.edit import LANGUAGES, mail_address


def provision(*, username: str, display_name: str, email: str, language: str, external_id: str) -> Account:
    """Make an account without role, password or link, for the provider. Raises NotPermitted, InvalidInput, and
    AlreadyExists where an account has the name, the mail address or the external ID.
    """
    with operation("account:provision") as op:
        access.require("provision")
        account = Account(is_staff=True, provisioned=True)
        _write(account, username, display_name, email, language, external_id)
        account.set_unusable_password()
        account.save()
        op.about(account)
    return account


def edit_provisioned(
    account_id: int, *, username: str, display_name: str, email: str, language: str, external_id: str, active: bool
) -> None:
    """Change what the provider says of a person; nothing is written where all is so. active: whether the account is
    to be active; `account:deactivate` writes that it is not.

    Raises as `provision` does, and NotPossible for another external ID of a person who has enrolled, or an account that
    only an administrator can reactivate.
    """
    with operation("account:edit_provisioned", (Account, account_id)) as op:
        access.require("provision")
        account = op.get(Account)
        _require_kept(account)
        if active and not account.is_active:
            raise NotPossible(_("This account is deactivated. An administrator reactivates it in Ringi."))
        before = _values(account)
        if account.external_id != external_id and account.enrolled_before:
            raise NotPossible(_("The external ID does not change after the person has enrolled."))
        _write(account, username, display_name, email, language, external_id)
        if before == _values(account):
            raise NothingToDo


def end_provisioning(account_id: int) -> None:
    """Take an account from the provider and from its groups; the account stays, deactivated. Raises NotPermitted,
    NotPossible.
    """
    with operation("account:end_provisioning", (Account, account_id)) as op:
        access.require("provision")
        account = op.get(Account)
        _require_kept(account)
        if account.is_active:
            raise NotPossible(_("This account is active."))
        account.provisioned, account.external_id = False, ""
        account.provisioned_groups.clear()


def hand_over(account_id: int, *, external_id: str, reason: str) -> Account:
    """Let the provider keep an account that a person made here. Raises NotPermitted, InvalidInput, NotPossible."""
    with operation("account:hand_over", (Account, account_id), reason=reason, sign=True) as op:
        who = access.require("manage_accounts")
        account = op.get(Account)
        if account.is_among(who.identities):
            raise NotPossible(_("Another administrator hands over your account."))
        free = account.is_active and not account.break_glass and not account.provisioned
        if account.kind != Account.Kind.PERSON or not free:
            raise NotPossible(
                _("Only the account of a person that is not for break-glass can be handed over, and once.")
            )
        op.require_reason()
        account.provisioned, account.enrolled_before, account.external_id = True, True, external_id.strip()
        _require_free_id(account)
        op.signature()
    return account


def _values(account: Account) -> list[str]:
    names = ("username", "display_name", "email", "language", "external_id")
    return [getattr(account, name) for name in names]


def _write(account: Account, username: str, display_name: str, email: str, language: str, external_id: str) -> None:
    if username.strip().lower() != account.username.lower():
        account.username = free_name(username, account.pk or 0)
    if is_blank(display_name):
        raise InvalidInput(_("An account needs a full name."))
    if language not in LANGUAGES:
        raise InvalidInput(_("The selected language is not available."))
    if email and email != account.email and Account.objects.exclude(pk=account.pk).filter(email__iexact=email).exists():
        raise AlreadyExists(_("Another account has the mail address %(address)s.") % {"address": email})
    account.email = mail_address(email)
    account.display_name, account.language, account.external_id = (
        plain(display_name, _("full name")),
        language,
        external_id,
    )
    _require_free_id(account)


def _require_free_id(account: Account) -> None:
    same = Account.objects.exclude(pk=account.pk).filter(provisioned=True, external_id=account.external_id)
    if account.external_id and same.exists():
        raise AlreadyExists(_("Another account has the external ID %(id)s.") % {"id": account.external_id})


def _require_kept(account: Account) -> None:
    if not account.kept_by_provider:
        raise NotPossible(_("The identity provider does not keep this account."))
