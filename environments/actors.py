"""Turns the signed-in account of a request into the actor that the operation asks for."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse

from audit.actor import Actor, acting
from audit.capture import clear_context, set_context
from audit.one_look import one_look, remember
from audit.operation import signed
from environments.access import held_now, roles_anywhere
from environments.admin.rights import rights_of
from environments.models import Account

# Under here allauth itself saves passwords and second factors, also while it only shows a page; those tables are
# audited. What it saves in several steps is one transaction.
ACCOUNT_PAGES = "/account/"
IN_ONE = (
    "/account/password/",
    "/account/mfa/totp/",
    "/account/mfa/recovery-codes/",
    "/account/mfa/webauthn/add/",
    "/account/mfa/webauthn/keys/",
)
LOOKING = ("GET", "HEAD")
# When the session last signed: what proved the identity before then is used up.
SIGNED_AT = "ringi_signed_at"
# What a passkey or an identity provider has signed and no signature has used yet: see Actor.assertion.
ASSERTION = "ringi_assertion"


def person(account: Account, *, channel: str = "admin", address: str = "", request_id: str = "") -> Actor:
    """Return the actor for an account without a fresh proof of identity (it cannot sign)."""
    return Actor(
        account_id=account.pk,
        name=str(account),
        kind="person" if account.kind == Account.Kind.PERSON else "service",
        channel=channel,  # type: ignore[arg-type]
        roles=tuple(sorted(roles_anywhere(account))),
        address=address,
        request_id=request_id,
    )


def visitor(address: str, request_id: str = "") -> Actor:
    """Return the actor for somebody who is not signed in yet."""
    return Actor(
        account_id=None, name="visitor", kind="system", channel="admin", address=address, request_id=request_id
    )


def acting_as_reader(request: HttpRequest) -> AbstractContextManager[Actor]:
    """Act as the account that has signed in, else as a visitor."""
    user, address = request.user, request.META.get("REMOTE_ADDR", "")
    return acting(person(user, address=address) if isinstance(user, Account) else visitor(address))


def proof_of(session: Mapping[str, Any]) -> dict[str, Any]:
    """Return when the owner of a session last proved who they are for a signature, by what, and what their passkey
    signed: the fields of Actor. Empty when they have not, or have signed with it since: each signature takes a proof of
    its own, and a sign-in is none (21 CFR 11.200).

    The methods are those of the last REAUTHENTICATION_TIMEOUT, joined in their order: `password`, `totp+password`,
    `webauthn`, `oidc_mfa`. A passkey or an identity provider counts once, for what it signed.
    """
    oldest, assertion = datetime.now(UTC).timestamp() - settings.REAUTHENTICATION_TIMEOUT, session.get(ASSERTION)
    used = session.get(SIGNED_AT, 0.0)
    # By SAML the provider signs nothing that could be kept: it proves who signs in, and no signature.
    proved = [record for record in session.get("account_authentication_methods", []) if record["method"] != "saml"]
    signing = [record for record in proved if record.get("reauthenticated") and _signs(record)][-1:]
    fresh = [
        record
        for record in proved
        if record.get("reauthenticated")
        and record["at"] >= oldest
        and (not _signs(record) or (assertion and record in signing and record["at"] > used))
    ]
    if not fresh or fresh[-1]["at"] <= used:
        return {}
    return {
        "authenticated_at": datetime.fromtimestamp(fresh[-1]["at"], UTC),
        "method": methods_of(fresh),
        "assertion": assertion,
    }


def _signs(record: Mapping[str, Any]) -> bool:
    """Tell whether a way of proving who one is signs the content."""
    return record["method"] == "oidc" or record.get("type") == "webauthn"


def methods_of(records: Iterable[Mapping[str, Any]]) -> str:
    """Return how a person proved who they are, in order; `oidc_mfa` where an identity provider asked for a second
    factor.
    """
    names = [
        record.get("type", "mfa")
        if record["method"] == "mfa"
        else f"{record['method']}_mfa"
        if record.get("second_factor")
        else record["method"]
        for record in records
    ]
    return "+".join(dict.fromkeys(names))


class ActorMiddleware:
    """Set the actor for the time of one request; a visitor without account gets none and can change nothing."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Serve one request as its account."""
        account, address = request.user, request.META.get("REMOTE_ADDR", "")
        if not isinstance(account, Account):
            with _saving(request, visitor(address, getattr(request, "ringi_request_id", ""))):
                return self.get_response(request)
        signed.set(False)
        actor = Actor(
            account_id=account.pk,
            name=str(account),
            kind="person" if account.kind == Account.Kind.PERSON else "service",
            channel="admin",
            # A page reads the rights anyway, and only once; an operation asks for the roles at its own moment.
            roles=tuple(sorted(rights_of(request).roles if request.method in LOOKING else roles_anywhere(account))),
            address=address,
            request_id=getattr(request, "ringi_request_id", ""),
            **proof_of(request.session),
        )
        with acting(actor), _saving(request, actor):
            if request.method == "POST" and request.path.startswith(IN_ONE):
                with transaction.atomic():
                    set_context(actor, operation="account:secure", reason="")
                    return self.get_response(request)
            if request.method in LOOKING:
                with one_look():
                    remember(held_now, frozenset(rights_of(request).grants), account.pk)
                    response = self.get_response(request)
            else:
                response = self.get_response(request)
        if signed.get():
            request.session[SIGNED_AT] = datetime.now(UTC).timestamp()
            request.session.pop(ASSERTION, None)
        return response


@contextmanager
def _saving(request: HttpRequest, actor: Actor) -> Iterator[None]:
    """Name the actor of what allauth saves on the account's own pages, for the length of one request."""
    if not request.path.startswith(ACCOUNT_PAGES):
        yield
        return
    set_context(actor, operation="account:secure", reason="", whole_session=True)
    try:
        yield
    finally:
        clear_context(connection)
