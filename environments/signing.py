"""The environments that a signature is about, and so whether it needs a second factor. Every operation that signs
asks.
"""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.db.models import Model
from django.utils.translation import gettext as _

from audit.actor import current
from audit.clock import database_time
from audit.offline.ringi_verify import provider_stated
from audit.refusals import SignatureRequired
from environments import access
from environments.models import (
    AccessGrant,
    Application,
    Delegation,
    Environment,
    ExternalIdentity,
    GroupRole,
    ProviderKey,
    Token,
)
from environments.passkeys import MALFORMED, signed

# The event has a later time than the check of what a provider stated: verifiers of the ledger go by that of the event.
WRITTEN_WITHIN = timedelta(minutes=2)
# Operations that take a right away at once. A lost device must not keep a right in effect.
TAKES_AWAY = frozenset({"access:revoke", "access_review:revoke", "token:revoke"})
# From a row to the environment that it names itself, and else to the application whose targets say it.
NAMED = ("emergency_stop", "environment", "deployment", "rollback", "grant")
BY_TARGETS = ("release", "application", "process")


def hold_authenticator(account_id: int | None, assertion: dict[str, Any], content: str) -> None:
    """Keep the passkey that signed a content, or the connection to the provider that stated it, until the commit.

    Raises SignatureRequired where it has ended since, or where a verification of the ledger would not find that it
    signed.
    """
    if "id_token" in assertion:
        identities = ExternalIdentity.objects.filter(account=account_id, issuer=settings.OIDC_ISSUER)
        rows = identities.select_for_update(no_key=True).order_by("pk")
        persons = [(row.issuer, row.subject) for row in rows]
        known = ProviderKey.objects.filter(issuer=settings.OIDC_ISSUER).values("issuer", "client", "key")
        keys: list[dict[str, Any]] = [dict(row) for row in known]
        moment = database_time()
        times = [at.isoformat() for at in (moment, moment + WRITTEN_WITHIN)]
        try:
            signs = all(provider_stated(assertion, content, at, persons, keys) for at in times)
        except MALFORMED:
            signs = False
    else:
        passkeys = Authenticator.objects.filter(user=account_id, type=Authenticator.Type.WEBAUTHN)
        held = list(passkeys.select_for_update(no_key=True).order_by("pk"))
        signs = any(signed(assertion, content, passkey) for passkey in held)
    if not signs:
        raise SignatureRequired(_("Confirm who you are: this is a signature."))


def require_factor(event: str, rows: Iterable[Model]) -> None:
    """Ask for a second factor when an operation that signs is about an environment that demands it; raises
    SecondFactorRequired.
    """
    if event in TAKES_AWAY or access.has_factor(current()):
        return
    demanding = list(Environment.objects.filter(requires_two_factor=True))
    if not demanding:
        return
    about = environments_of(rows)
    for environment in demanding:
        if environment.pk in about:
            access.require_factor(environment)


def environments_of(rows: Iterable[Model]) -> set[int]:
    """Return the ids of the environments that rows are about.

    A deployment, an approval request, a window or a grant names its own; what names none but belongs to a release is
    about all to which its application goes.
    """
    rows = list(rows)
    named = set().union(*(_named(row) for row in rows))
    return named or set().union(*(_by_targets(row) for row in rows))


def _named(row: Any) -> set[int]:
    if tier := getattr(row, "concerns_tier", ""):
        return set(Environment.objects.filter(tier=tier).values_list("pk", flat=True))
    match row:
        case Environment():
            return {row.pk}
        case Token():
            return set(row.environments.values_list("pk", flat=True))
        case AccessGrant(environment=None) | GroupRole(environment=None) | Delegation():
            return _everywhere()
    if getattr(row, "procedure_id", None) is not None and getattr(row, "environment_id", 0) is None:
        return _everywhere()  # an approval request about the rules of all of them
    for name in NAMED:
        found = getattr(row, name, None)
        if isinstance(found, Model):
            return _named(found)
    return set()


def _by_targets(row: Any) -> set[int]:
    if isinstance(row, Application):
        return set(row.targets.values_list("environment", flat=True))
    for name in BY_TARGETS:
        found = getattr(row, name, None)
        if isinstance(found, Model):
            return _by_targets(found)
    return set()


def _everywhere() -> set[int]:
    return set(Environment.objects.values_list("pk", flat=True))
