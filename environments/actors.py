"""Turns the signed-in account of a request into the actor that the door asks for."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime

from django.db import transaction
from django.http import HttpRequest, HttpResponse

from audit.actor import Actor, acting
from audit.capture import set_context
from environments.access import roles_of
from environments.models import Account

OWN_ACCOUNT = ("/account/password/", "/account/mfa/totp/", "/account/mfa/recovery-codes/")


def person(account: Account, *, channel: str = "admin", address: str = "", request_id: str = "") -> Actor:
    """Return the actor for an account that has not proved its identity anew (it cannot sign)."""
    return Actor(
        account_id=account.pk,
        name=str(account),
        kind="person" if account.kind == Account.Kind.PERSON else "service",
        channel=channel,  # type: ignore[arg-type]
        roles=tuple(sorted(roles_of(account))),
        address=address,
        request_id=request_id,
    )


class ActorMiddleware:
    """Set the actor for the time of one request; a visitor without account gets none, so that he can change nothing."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Serve one request as its account."""
        account = request.user
        if not isinstance(account, Account):
            return self.get_response(request)
        methods = request.session.get("account_authentication_methods", [])
        last = methods[-1] if methods else None
        actor = Actor(
            account_id=account.pk,
            name=str(account),
            kind="person" if account.kind == Account.Kind.PERSON else "service",
            channel="admin",
            roles=tuple(sorted(roles_of(account))),
            address=request.META.get("REMOTE_ADDR", ""),
            request_id=uuid.uuid4().hex,
            authenticated_at=datetime.fromtimestamp(last["at"], UTC) if last else None,
            method=last["method"] if last else "",
        )
        with acting(actor):
            if request.method == "POST" and request.path.startswith(OWN_ACCOUNT):
                # allauth saves passwords and second factors itself; those tables are governed.
                with transaction.atomic():
                    set_context(actor, action="account:secure", reason="")
                    return self.get_response(request)
            return self.get_response(request)
