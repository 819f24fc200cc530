"""account:create and token:issue."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from audit.actor import current
from audit.change import change
from audit.clock import now
from audit.refusals import Invalid
from environments import access
from environments.models import Account, Environment, Token


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
    reason: str = "",
) -> Account:
    """Make an account without any right. A person needs a password of 12 characters or more, a service has none."""
    with change("account:create", reason=reason) as act:
        if current().kind != "command":
            access.require("account")
        account = Account(
            username=Account.normalize_username(username.strip()),
            display_name=display_name.strip(),
            kind=kind,
            affiliation=affiliation,
            job_title=job_title,
            employee_id=employee_id,
            telephone=telephone,
            git_addresses=[a.strip().lower() for a in git_addresses if a.strip()],
            language=language,
            is_staff=kind == Account.Kind.PERSON,
        )
        if Account.objects.filter(username__iexact=account.username).exists():
            raise Invalid(_("There is already an account “%(name)s”.") % {"name": account.username})
        if kind == Account.Kind.PERSON:
            try:
                validate_password(password, account)
            except ValidationError as fault:
                raise Invalid(*fault.messages)
            account.set_password(password)
        else:
            account.set_unusable_password()
        account.save()
        act.about(account)
    return account


def issue_token(
    account_id: int, *, environments: tuple[int, ...] = (), days: int = 90, reason: str = ""
) -> tuple[Token, str]:
    """Make a token for a service account; return it with its secret, which is shown this once."""
    with change("token:issue", (Account, account_id), reason=reason, sign=True) as act:
        access.require("account")
        account = act.get(Account)
        if account.kind != Account.Kind.SERVICE:
            raise Invalid(_("Only a service account has tokens."))
        scope = Environment.objects.filter(pk__in=environments)
        if scope.count() != len(set(environments)):
            raise Invalid(_("There is no such environment."))
        secret, digest = Token.fresh()
        token = Token.objects.create(account=account, digest=digest, expires_at=now() + timedelta(days=days))
        token.environments.set(scope)
        act.about(token)
    return token, secret
