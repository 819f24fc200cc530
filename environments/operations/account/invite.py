"""account:invite and account:enrol: a person chooses their own password by a link that opens once.

An administrator who issues the link could open it as well. So the link alone makes no approver: after
a link that a person issued was used, each deciding role and each delegation of the account waits for another
administrator, who asks the person.
"""

import hashlib
import secrets
from datetime import timedelta

from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils.translation import gettext as _

from audit.actor import current
from audit.clock import now
from audit.operation import Operation, operation
from audit.refusals import InvalidInput, NotPermitted, NotPossible
from environments import access
from environments.departures import check_departures
from environments.models import AccessGrant, Account, Delegation
from environments.operations.access.grant import confirm_without_second, end_group_grants
from environments.operations.account.deactivate import end_factors, end_identities, end_sessions

VALID = timedelta(hours=72)


def invite(account_id: int, *, reason: str = "") -> Account:
    """Issue the link by which a person sets a password; an earlier link ends. The account's `secret` is the link, once.
    Raises NotPermitted, InvalidInput, NotPossible.
    """
    by_command = current().kind == "command"
    with operation("account:invite", (Account, account_id), reason=reason, sign=not by_command) as op:
        issuer = None if by_command else access.require("manage_accounts")
        account = op.get(Account)
        if not account.is_active:
            raise NotPossible(_("This account is deactivated."))
        if issuer is not None and issuer.is_among(account.identities):
            raise NotPermitted(_("Change your own password on your account's page."))
        secret = new_invitation(op, account, issuer)
    return with_link(account, secret)


def new_invitation(op: Operation, account: Account, issuer: Account | None) -> str:
    """Give an account an invitation, inside an open operation; return its secret. Raises InvalidInput for a service."""
    if account.kind != Account.Kind.PERSON:
        raise InvalidInput(_("A service account authenticates with a token and has no password."))
    secret = secrets.token_urlsafe(32)
    account.invitation, account.invited_by = digest_of(secret), issuer
    account.invited_until = now() + VALID
    op.details["until"] = account.invited_until.isoformat()
    return secret


def with_link(account: Account, secret: str) -> Account:
    """Return the account with its link, which is shown once."""
    account.secret = settings.BASE_URL.rstrip("/") + reverse("invitation", args=[secret])  # type: ignore[attr-defined]
    account.secret_words = _("This invitation is shown only once. Give it to the person: %(secret)s")  # type: ignore[attr-defined]
    return account


def invited(secret: str) -> Account | None:
    """Return the account that a link opens now; None where it was used, replaced, has ended or never was."""
    asked = Account.objects.filter(invitation=digest_of(secret), is_active=True, invited_until__gt=now())
    return asked.first()


def enrol(account_id: int, *, secret: str, password: str) -> Account:
    """Set the password that the person chose by the link; earlier second factors and sessions end.

    Raises InvalidInput for a weak password, NotPossible for a link that opens nothing any more.
    """
    with operation("account:enrol", (Account, account_id)) as op:
        account = enrolling(op, secret)
        try:
            validate_password(password, account)
        except ValidationError as fault:
            raise InvalidInput(*fault.messages) from fault
        account.set_password(password)
    return account


def enrolling(op: Operation, secret: str) -> Account:
    """Return the account that enrols by a link, inside an open operation: all ways to sign in that it had end. Raises
    NotPossible.
    """
    account, moment = op.get(Account), now()
    valid = account.invited_until is not None and account.invited_until > moment and account.is_active
    if not valid or account.invitation != digest_of(secret):
        raise NotPossible(_("This invitation is not valid any more. Ask an administrator for a new one."))
    account.invitation, account.invited_until, account.enrolled_at = "", None, moment
    account.enrolled_before = True
    end_group_grants(op, account)
    if account.invited_by is not None:
        wait_for_another(op, account, account.invited_by)
    op.details.update(factors=end_factors(account), identities=end_identities(account), sessions=end_sessions(account))
    return account


def wait_for_another(op: Operation, account: Account, issuer: Account | None) -> None:
    """Let what the account may decide wait until an administrator confirms it, other than the issuer of its link; None:
    other than who gave it.
    """
    grants = AccessGrant.objects.lasting().filter(account=account, role__decides=True)
    check_departures(op, list(grants.values_list("pk", flat=True)), refuses=False)
    for grant in grants.select_for_update(of=("self",), no_key=True).order_by("pk"):
        grant.account, grant.confirmed_by, grant.confirmed_at = account, None, None
        if issuer is not None:
            grant.granted_by = issuer
            confirm_without_second(op, grant)
        grant.save()
    delegates = Delegation.objects.lasting().filter(delegate=account)
    for row in delegates.select_for_update(of=("self",), no_key=True).order_by("pk"):
        row.requested_by, row.confirmed_by, row.confirmed_at = issuer or row.requested_by, None, None
        row.save()


def digest_of(secret: str) -> str:
    """Return the stored form of a link's secret, hex."""
    return hashlib.sha256(secret.encode()).hexdigest()
