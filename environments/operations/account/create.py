"""account:create: a person or a service, with roles and an invitation where they are asked for."""

from django.contrib.auth.validators import UnicodeUsernameValidator
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from audit.actor import current
from audit.operation import operation
from audit.plain import plain
from audit.refusals import AlreadyExists, InvalidInput
from environments import access
from environments.models import Account
from environments.operations.access.grant import new_grant
from environments.operations.account.edit import addresses, mail_address, put_identity
from environments.operations.account.invite import new_invitation, with_link
from environments.sign_in_names import accounts_named


def create(
    *,
    username: str,
    display_name: str,
    kind: str = "person",
    affiliation: str = "",
    job_title: str = "",
    employee_id: str = "",
    telephone: str = "",
    git_addresses: tuple[str, ...] = (),
    language: str = "ja",
    email: str = "",
    roles: tuple[str, ...] = (),
    invite: bool = False,
    reason: str = "",
) -> Account:
    """Make an account without a password: a person chooses one by an invitation, a service comes by token.

    roles: keys of roles, for all environments and applications; deciding ones wait for a second person. invite: issue
    the link too, as `account:invite` does. Git addresses, employee id and mail address say who a person is: those that
    a person enters wait for a second person. Raises NotPermitted, InvalidInput.
    """
    by_command = current().kind == "command"
    with operation("account:create", reason=reason, sign=not by_command) as op:
        creator = None if by_command else access.require("manage_accounts")
        account = Account(
            username=free_name(username),
            display_name=plain(display_name, _("full name")),
            kind=kind,
            affiliation=affiliation,
            job_title=job_title,
            telephone=telephone,
            language=language,
            is_staff=kind == Account.Kind.PERSON,
        )
        identity = {
            "git_addresses": addresses(git_addresses),
            "employee_id": employee_id.strip(),
            "email": mail_address(email),
        }
        account.set_unusable_password()
        secret = new_invitation(op, account, creator) if invite else ""
        account.save()
        op.about(account)
        if roles:
            giver = None if by_command else access.require("manage_access")
            op.details["roles"] = list(roles)
            for role in roles:
                grant = new_grant(account, role, None, giver, reason=reason)
                grant.save()
                op.add_event("access:grant", grant, role=role, waits=grant.confirmed_at is None)
            op.signature()
        if identity := {name: value for name, value in identity.items() if value}:
            put_identity(op, account, identity, by=creator, reason=reason)
    return with_link(account, secret) if secret else account


def free_name(given: str, of: int = 0) -> str:
    """Return a sign-in name as it is kept. of: the key of the account that is to have it, where it exists already.
    Raises InvalidInput, and AlreadyExists where another account has it or had it.
    """
    name = Account.normalize_username(given.strip())
    try:
        UnicodeUsernameValidator()(name)
    except ValidationError as fault:
        raise InvalidInput(*fault.messages)
    if Account.objects.filter(username__iexact=name).exists():
        raise AlreadyExists(_("There is already an account “%(name)s”.") % {"name": name})
    if accounts_named(name).exclude(pk=of).exists():
        text = _("“%(name)s” was the sign-in name of another account. Choose another name.")
        raise AlreadyExists(text % {"name": name})
    return name
