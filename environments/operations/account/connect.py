"""account:connect and account:disconnect, and account:enrol by an identity provider: single sign-on for oneself."""

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from audit.clock import now
from audit.operation import Operation, operation
from audit.refusals import NotPermitted, NotPossible
from environments import access
from environments.models import KEPT_BY_PROVIDER, Account, ExternalIdentity, ProviderKey
from environments.operations.access.grant import end_group_grants
from environments.operations.account.deactivate import end_identities
from environments.operations.account.invite import enrolling, wait_for_another


def connect(account_id: int, *, issuer: str, subject: str, second_factor: bool) -> ExternalIdentity:
    """Connect one's own account to who one is at the provider. Raises NotPermitted, NotPossible."""
    with operation("account:connect", (Account, account_id)) as op:
        account = op.get(Account)
        if account.pk != access.current_account().pk:
            raise NotPermitted(_("You can connect your own account only."))
        return _connect(op, account, issuer, subject, second_factor)


def enrol_by_provider(account_id: int, *, secret: str, issuer: str, subject: str, second_factor: bool) -> Account:
    """Enrol by an invitation with single sign-on in place of a password. Raises NotPossible."""
    with operation("account:enrol", (Account, account_id)) as op:
        account = enrolling(op, secret)
        account.set_unusable_password()
        _connect(op, account, issuer, subject, second_factor)
    return account


def enrol_provisioned(account_id: int, *, issuer: str, subject: str, second_factor: bool) -> Account:
    """Enrol the person whom the provider has announced by SCIM, at their first sign-in there. Raises NotPossible."""
    with operation("account:enrol", (Account, account_id)) as op:
        account = op.get(Account)
        if not announced(subject).filter(pk=account.pk).exists():
            raise NotPossible(_("This identity is not that of an announced account."))
        account.invitation, account.invited_until, account.enrolled_at = "", None, now()
        account.enrolled_before = True
        wait_for_another(op, account, None)
        _connect(op, account, issuer, subject, second_factor)
    return account


def announced(subject: str) -> QuerySet[Account]:
    """Return the account, or none, that SCIM made for the person with this subject and that nobody has ever used."""
    unused = {"enrolled_before": False, "enrolled_at": None, "is_active": True, "external_identities": None}
    return Account.objects.filter(KEPT_BY_PROVIDER, external_id=subject, **unused).exclude(external_id="")


def _connect(op: Operation, account: Account, issuer: str, subject: str, second_factor: bool) -> ExternalIdentity:
    if ExternalIdentity.objects.filter(issuer=issuer, subject=subject).exists():
        raise NotPossible(_("This identity is connected to an account already."))
    if ExternalIdentity.objects.filter(issuer=issuer, account=account).exists():
        raise NotPossible(_("Your account is connected already. Disconnect it first."))
    made = ExternalIdentity.objects.create(account=account, issuer=issuer, subject=subject, second_factor=second_factor)
    op.about(account, issuer=issuer, second_factor=second_factor)
    return made


def disconnect(account_id: int) -> Account:
    """End the single sign-on of one's own account, and what groups gave it. Raises NotPermitted, NotPossible."""
    with operation("account:disconnect", (Account, account_id)) as op:
        account = op.get(Account)
        if account.pk != access.current_account().pk:
            raise NotPermitted(_("You can connect your own account only."))
        if not account.has_usable_password():
            raise NotPossible(_("You have no password. Ask an administrator for an invitation, and choose one first."))
        end_group_grants(op, account)
        if not end_identities(account):
            raise NotPossible(_("Your account is not connected."))
        op.about(account)
    return account


def keep_key(*, issuer: str, client: str, key_id: str, key: dict[str, str]) -> None:
    """Keep a key of the provider that is new, so that what it has signed can be verified later."""
    if ProviderKey.objects.filter(issuer=issuer, client=client, key_id=key_id, key=key).exists():
        return
    with operation("account:keep_provider_key") as op:
        made, _new = ProviderKey.objects.get_or_create(issuer=issuer, client=client, key_id=key_id, key=key)
        op.about(made)
