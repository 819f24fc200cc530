"""token:issue and token:revoke: the keys of service accounts to the API."""

from datetime import timedelta

from django.utils.translation import gettext as _

from audit.clock import now
from audit.operation import operation
from audit.plain import is_blank
from audit.refusals import InvalidInput, NotPossible
from environments import access
from environments.models import Account, Environment, Token
from environments.single_sign_on.workload import wrong_issuer

LONGEST_DAYS = 365


def issue_token(
    account_id: int,
    *,
    environments: tuple[int, ...] = (),
    days: int = 90,
    issuer: str = "",
    subject: str = "",
    reason: str = "",
) -> tuple[Token, str]:
    """Make a token for a service account; return it with its secret, which is shown this once.

    environments: where it reaches; none means that it reaches nowhere. issuer, subject: the workload that calls without
    a secret, exactly as its platform names itself and it; then the returned secret is empty. Raises NotPermitted,
    InvalidInput, NotPossible.
    """
    with operation("token:issue", (Account, account_id), reason=reason, sign=True) as op:
        access.require("manage_accounts")
        account = op.get(Account)
        if account.kind != Account.Kind.SERVICE:
            raise InvalidInput(_("Only a service account has tokens."))
        if not account.is_active:
            raise NotPossible(_("This account is deactivated."))
        if not 1 <= days <= LONGEST_DAYS:
            raise InvalidInput(_("A token is valid for 1 to %(days)d days.") % {"days": LONGEST_DAYS})
        scope = Environment.objects.filter(pk__in=environments)
        if scope.count() != len(set(environments)):
            raise InvalidInput(_("The selected environment does not exist."))
        if bool(issuer) != bool(subject) or issuer and wrong_issuer(issuer) or "*" in subject:
            text = _("A workload needs its issuer, an https address, and its exact subject without placeholders.")
            raise InvalidInput(text)
        if issuer and Token.objects.filter(issuer=issuer, subject=subject, revoked_at=None).exists():
            raise InvalidInput(_("This workload has a token already. Revoke it first."))
        secret, digest = Token.fresh()
        end = now() + timedelta(days=days)
        token = Token.objects.create(account=account, digest=digest, issuer=issuer, subject=subject, expires_at=end)
        token.environments.set(scope)
        op.signature()
        op.about(token)
    return token, "" if issuer else secret


def revoke(token_id: int, *, reason: str) -> Token:
    """End a token at once. Raises NotPermitted, InvalidInput, NotPossible."""
    with operation("token:revoke", (Token, token_id), reason=reason, sign=True) as op:
        access.require("manage_accounts")
        token = op.get(Token)
        if token.revoked_at is not None:
            raise NotPossible(_("This token is already revoked."))
        if is_blank(reason):
            raise InvalidInput(_("Revoking a token needs a reason."))
        token.revoked_at = now()
        op.signature()
    return token
