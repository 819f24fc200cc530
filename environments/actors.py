"""Turns the signed-in account of a request into the actor that the door asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from audit.actor import Actor, acting
from audit.capture import clear_context, set_context
from environments.access import roles_of
from environments.admin.rights import rights_of
from environments.models import Account

# Under here allauth itself saves passwords and second factors, also while it only shows a page; those tables are
# governed. What it saves in several steps is one transaction.
ACCOUNT_PAGES = "/account/"
IN_ONE = ("/account/password/", "/account/mfa/totp/", "/account/mfa/recovery-codes/", "/account/mfa/webauthn/")
LOOKING = ("GET", "HEAD")
# All that works before a first password is changed.
BEFORE_CHANGE = ("account_change_password", "account_logout", "language", "health")


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


def visitor(address: str, request_id: str = "") -> Actor:
    """Return the actor for somebody who is not signed in yet."""
    return Actor(
        account_id=None, name="visitor", kind="system", channel="admin", address=address, request_id=request_id
    )


def proof_of(session: Mapping[str, Any]) -> tuple[datetime | None, str]:
    """Return when the owner of a session last proved who he is, and by what within the time that a proof holds.

    The methods are joined in their order: `password`, `password+totp`, `webauthn`. Each has its own age: a new password
    does not make an old code new.
    """
    records = session.get("account_authentication_methods", [])
    if not records:
        return None, ""
    oldest = datetime.now(UTC).timestamp() - settings.SIGNATURE_SECONDS
    fresh = [record for record in records if record["at"] >= oldest]
    names = [record.get("type", "mfa") if record["method"] == "mfa" else record["method"] for record in fresh]
    return datetime.fromtimestamp(records[-1]["at"], UTC), "+".join(dict.fromkeys(names))


class ActorMiddleware:
    """Set the actor for the time of one request; a visitor without account gets none, so that he can change nothing."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Serve one request as its account."""
        account, address = request.user, request.META.get("REMOTE_ADDR", "")
        if not isinstance(account, Account):
            with _saving(request, visitor(address, getattr(request, "ringi_request_id", ""))):
                return self.get_response(request)
        if account.must_change_password and request.path not in {reverse(name) for name in BEFORE_CHANGE}:
            return HttpResponseRedirect(reverse("account_change_password"))
        authenticated_at, method = proof_of(request.session)
        actor = Actor(
            account_id=account.pk,
            name=str(account),
            kind="person" if account.kind == Account.Kind.PERSON else "service",
            channel="admin",
            # A page reads the rights anyway, and only once; an act asks for the roles at its own moment.
            roles=tuple(sorted(rights_of(request).roles if request.method in LOOKING else roles_of(account))),
            address=address,
            request_id=getattr(request, "ringi_request_id", ""),
            authenticated_at=authenticated_at,
            method=method,
        )
        with acting(actor), _saving(request, actor):
            if request.method == "POST" and request.path.startswith(IN_ONE):
                with transaction.atomic():
                    set_context(actor, action="account:secure", reason="")
                    return self.get_response(request)
            return self.get_response(request)


@contextmanager
def _saving(request: HttpRequest, actor: Actor) -> Iterator[None]:
    """Name the actor of what allauth saves on the account's own pages, for the length of one request."""
    if not request.path.startswith(ACCOUNT_PAGES):
        yield
        return
    set_context(actor, action="account:secure", reason="", whole_session=True)
    try:
        yield
    finally:
        clear_context(connection)
