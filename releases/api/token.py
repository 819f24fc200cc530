"""Who calls: a bearer token of a service account, alive with its owner, and only in its environments."""

from __future__ import annotations

import uuid
from typing import Any

from django.db.models.functions import Now
from django.http import HttpRequest
from ninja.security import HttpBearer

from audit.actor import Actor
from environments.access import roles_of
from environments.models import Account, Token


class TokenBearer(HttpBearer):
    """Reads `Authorization: Bearer …`; request.auth becomes the token's row."""

    def authenticate(self, request: HttpRequest, token: str) -> Any:
        """Return the token's row, or None for one that is unknown, expired, revoked, or whose owner is closed."""
        return (
            Token.objects.select_related("account")
            .filter(
                digest=Token.digest_of(token),
                revoked_at=None,
                expires_at__gt=Now(),
                account__is_active=True,
                account__kind=Account.Kind.SERVICE,
            )
            .first()
        )


def actor_of(request: HttpRequest) -> Actor:
    """Return who acts in a request of the API."""
    account = request.auth.account  # type: ignore[attr-defined]
    return Actor(
        account_id=account.pk,
        name=str(account),
        kind="service",
        channel="api",
        roles=tuple(sorted(roles_of(account))),
        address=request.META.get("REMOTE_ADDR", ""),
        request_id=request.headers.get("X-Request-Id", "")[:64] or uuid.uuid4().hex,
        method="token",
    )
