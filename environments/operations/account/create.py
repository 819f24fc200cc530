"""account:create: a person or a service, without any right."""

from django.contrib.auth.validators import UnicodeUsernameValidator
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from audit.actor import current
from audit.operation import operation
from audit.refusals import InvalidInput
from environments import access
from environments.models import Account
from environments.operations.account.edit import addresses, mail_address, put_identity


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
    reason: str = "",
) -> Account:
    """Make an account without any right or password: a person chooses one by an invitation, a service comes by token.

    Git addresses, employee id and mail address say who a person is: those that a person enters wait for a second
    person. Raises NotPermitted, InvalidInput.
    """
    by_command = current().kind == "command"
    with operation("account:create", reason=reason, sign=not by_command) as op:
        creator = None if by_command else access.require("manage_accounts")
        account = Account(
            username=Account.normalize_username(username.strip()),
            display_name=display_name.strip(),
            kind=kind,
            affiliation=affiliation,
            job_title=job_title,
            telephone=telephone,
            language=language,
            is_staff=kind == Account.Kind.PERSON,
        )
        try:
            UnicodeUsernameValidator()(account.username)
        except ValidationError as fault:
            raise InvalidInput(*fault.messages)
        if Account.objects.filter(username__iexact=account.username).exists():
            raise InvalidInput(_("There is already an account “%(name)s”.") % {"name": account.username})
        identity = {
            "git_addresses": addresses(git_addresses),
            "employee_id": employee_id.strip(),
            "email": mail_address(email),
        }
        account.set_unusable_password()
        account.save()
        op.about(account)
        if identity := {name: value for name, value in identity.items() if value}:
            put_identity(op, account, identity, by=creator, reason=reason)
    return account
