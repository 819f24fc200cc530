"""Authentication of API calls: a service account's token, valid with its owner, and only in its environments."""

import logging
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.conf import settings
from django.db.models import Exists, Model, OuterRef, Q
from django.db.models.functions import Now
from django.http import HttpRequest
from django.utils import translation
from django.utils.translation import gettext as _
from ninja.security import HttpBearer

from audit.actor import Actor
from audit.refusals import NotPermitted
from environments import access
from environments.admin.rights import Rights, read_rights
from environments.application_scope import application_of
from environments.models import AccessGrant, Account, Environment, Token
from environments.single_sign_on import workload

log = logging.getLogger(__name__)
# Any one of these lets an account read an environment's deployments; the first three are its level there.
READS = ("view", "request", "start", "audit", "plan", "approve")
LOGS = ("read_logs", "audit", "plan", "approve")


class TokenBearer(HttpBearer):
    """Reads `Authorization: Bearer …`, a secret or the statement of a workload's platform; request.auth becomes the
    token's row. provisions: a token for provisioning is wanted, which is good for nothing else.
    """

    provisions = False

    def authenticate(self, request: HttpRequest, token: str) -> Any:
        """Return the token's row, or None for one that is unknown, expired, revoked, or whose owner is deactivated."""
        grants = AccessGrant.objects.filter(account=OuterRef("account"), role__based_on="provisioning", revoked_at=None)
        found = (
            Token.objects.select_related("account")
            .filter(
                _presented(token),
                revoked_at=None,
                expires_at__gt=Now(),
                account__is_active=True,
                account__kind=Account.Kind.SERVICE,
            )
            .filter(Exists(grants) if self.provisions else ~Exists(grants))
            .first()
        )
        if found is not None and "Accept-Language" not in request.headers:
            # Until the end of the request, which the middleware's own choice covers.
            translation.activate(found.account.language)
        return found


def _presented(token: str) -> Q:
    """Return the condition on the row that a bearer presents: by its digest, or by the workload that is stated."""
    if token.count(".") != 2:
        return Q(digest=Token.digest_of(token), issuer="")
    try:
        issuer = workload.issuer_of(token)
        named = Token.objects.filter(issuer=issuer, revoked_at=None, expires_at__gt=Now(), account__is_active=True)
        if not named.exists():
            return Q(pk=None)
        subject = workload.subject_of(token, issuer=issuer, audience=settings.BASE_URL.rstrip("/"))
    except workload.FAULTS as fault:
        log.warning("the identity of a workload was not accepted: %r", fault)
        return Q(pk=None)
    return Q(issuer=issuer, subject=subject)


def reads(rights: Rights, environment: Environment) -> bool:
    """Tell whether rights let an account read an environment."""
    return any(rights.may(right, environment) for right in READS)


@dataclass(frozen=True)
class Caller:
    """The account behind a token and the reach of both: rights come from grants, the token only narrows them."""

    token: Token

    @property
    def account(self) -> Account:
        """Return the service account."""
        return self.token.account

    @cached_property
    def scope(self) -> list[Environment]:
        """Return the environments that the token reaches, in order."""
        return list(self.token.environments.order_by("order"))

    @cached_property
    def rights(self) -> Rights:
        """Return what the account may, which the token narrows."""
        return read_rights(self.account)

    @property
    def applications(self) -> frozenset[int] | None:
        """Return the keys of the applications that the account has to do with; None: all."""
        grants = self.rights.grants
        return self.rights.named if all(named is not None for _role, _place, named in grants) else None

    def readable(self, row: Model | None = None) -> list[Environment]:
        """Return the environments whose deployments, gates and evidence of the application of a row (None: of any) the
        account may read with this token.
        """
        scopes = [self.rights.about(row), *(map(self.rights.about, self.rights.named) if row is None else ())]
        return [e for e in self.scope if any(reads(scope, e) for scope in scopes)]

    def readable_rows(self) -> Q:
        """Return the condition on rows, by their environment and application, that the account may read."""
        return self.rights.seen(self.scope, ("environment", "application"), reads)

    def logs(self, environment: Environment, row: Model) -> bool:
        """Tell whether the output of the steps of a row's application is shown."""
        rights = self.rights.about(row)
        return environment in self.scope and any(rights.may(right, environment) for right in LOGS)

    def read_logs(self, environment: Environment, row: Model) -> None:
        """Raise NotPermitted unless the account may read the output of steps, and so the dry run."""
        self.reach(environment)
        if not self.logs(environment, row):
            raise access.lacking("read_logs", environment, self.account, application_of(row))

    def reach(self, environment: Environment) -> None:
        """Raise NotPermitted when the token does not reach an environment."""
        if environment not in self.scope:
            raise NotPermitted(_("This token does not cover %(environment)s.") % {"environment": environment.slug})

    def read(self, environment: Environment, row: Model | None = None) -> None:
        """Raise NotPermitted unless the environment may be read for the application of a row (None: for any)."""
        self.reach(environment)
        if environment not in self.readable(row):
            raise access.lacking("view", environment, self.account, application_of(row))

    def read_any(self) -> None:
        """Raise NotPermitted unless the account may read at least one environment, and so releases too."""
        if not self.readable():
            raise NotPermitted(
                _("This token cannot read anything. The token covers no environment to which its account has access.")
            )


def caller_of(request: HttpRequest) -> Caller:
    """Return the caller, resolved once per request."""
    known: Caller | None = getattr(request, "ringi_caller", None)
    if known is None:
        known = Caller(request.auth)  # type: ignore[attr-defined]
        request.ringi_caller = known  # type: ignore[attr-defined]
    return known


def request_id(request: HttpRequest) -> str:
    """Return the id of a request: the caller's own, or a new one."""
    return str(request.ringi_request_id)  # type: ignore[attr-defined]


def actor_of(request: HttpRequest) -> Actor:
    """Return the actor of a request of the API."""
    account = request.auth.account  # type: ignore[attr-defined]
    return Actor(
        account_id=account.pk,
        name=str(account),
        kind="service",
        channel="api",
        roles=tuple(sorted(access.roles_anywhere(account))),
        address=request.META.get("REMOTE_ADDR", ""),
        request_id=request_id(request),
        method="token",
    )
