"""Single sign-on: a person signs in, connects an identity to an account, or proves who they are for a signature.

All three go to the provider and come back to one address. What they came back for stands in their session, with the
state that only this browser was given.
"""

import logging
import time
from collections.abc import Callable, Sequence
from secrets import token_hex
from typing import Any

from allauth.account.decorators import reauthentication_required
from allauth.account.internal.flows.login import perform_login, record_authentication
from allauth.account.internal.flows.reauthentication import (
    STATE_SESSION_KEY,
    get_reauthentication_flows,
    resume_request,
)
from allauth.account.models import Login
from allauth.account.utils import get_next_redirect_url
from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from audit.actor import Actor, acting
from audit.offline.ringi_verify import signing_challenge, to_base64url
from audit.operation import record_refusal
from audit.refusals import OperationRefused
from environments.actors import ASSERTION, acting_as_reader, person
from environments.models import Account, ExternalIdentity
from environments.models.account import FACTORS
from environments.operations.access.follow import follow_groups
from environments.operations.account.connect import (
    announced,
    connect,
    disconnect,
    enrol_by_provider,
    enrol_provisioned,
    keep_key,
)
from environments.operations.account.invite import invited
from environments.single_sign_on import configured, provider, saml
from environments.single_sign_on.provider import FAULTS, SignIn

log = logging.getLogger(__name__)
# Gives and ends the roles of groups.
PROVIDER = Actor(account_id=None, name="single sign-on", kind="system", channel="admin")
# What this browser went to the provider for: its state and purpose, and what that needs.
WENT_FOR = "ringi_single_sign_on"
# What the provider said of the person who came back, until they go on.
FOUND = "ringi_single_sign_on_found"
# Seconds by which the clocks of provider and server may differ.
LEEWAY = 60


def _go(request: HttpRequest, purpose: str, *, nonce: str = "", again: bool = False, **needed: Any) -> HttpResponse:
    if not configured.offered():
        raise Http404
    try:
        if configured.by_saml():
            address, state = saml.address_for(again=again)
        else:
            address, state = provider.address_for(request, nonce, again=again)
    except FAULTS as fault:
        log.warning("the identity provider does not answer: %r", fault)
        return _failed(request, _("The identity provider does not answer. Try again later."), status=502)
    request.session[WENT_FOR] = {"state": state, "purpose": purpose, "again": again, "begun": time.time(), **needed}
    return HttpResponseRedirect(address)


@login_not_required
@never_cache
@require_GET
def sign_in(request: HttpRequest) -> HttpResponse:
    """Send a visitor to the provider."""
    if request.user.is_authenticated:
        return redirect("admin:index")
    return _go(request, "sign_in", next=get_next_redirect_url(request) or "")


@login_not_required
@never_cache
@require_GET
def enrol(request: HttpRequest, secret: str) -> HttpResponse:
    """Send the person whom an invitation invites to the provider, in place of choosing a password."""
    if invited(secret) is None:
        raise Http404
    return _go(request, "enrol", secret=secret, again=True)


@never_cache
@require_GET
@reauthentication_required
def begin_connecting(request: HttpRequest) -> HttpResponse:
    """Send a person, who has just proved who they are here, to the provider to connect their identity there."""
    return _leave(request) or _go(request, "connect", again=True)


@never_cache
@require_GET
def prove(request: HttpRequest) -> HttpResponse:
    """Send a person to the provider to sign in there again, for what waits for their proof of identity."""
    then = get_next_redirect_url(request) or reverse("mfa_index")
    if configured.by_saml() and (_waiting(request, then) or get_reauthentication_flows(request.user)):
        text = _("A sign-in by SAML is no signature. Add a passkey on your account page first, and sign with it.")
        return _failed(request, text)
    if page := _leave(request, _waiting(request, then).get("acts", ())):
        return page
    nonce, contents = token_hex(16), list(_waiting(request, then).get("contents", []))
    asked, challenge = {"nonce": nonce, "contents": contents}, to_base64url(signing_challenge(nonce, contents))
    return _go(request, "prove", nonce=challenge, again=True, asked=asked, next=then)


def _leave(request: HttpRequest, acts: Sequence[tuple[str, Sequence[str]]] = ()) -> HttpResponse | None:
    """Return the page whose link leads to the provider; None once it was clicked. A form that led here may not be
    redirected further to another site (the directive form-action of the content security policy).
    """
    if not configured.offered():
        raise Http404
    if "go" in request.GET:
        return None
    query = request.GET.copy()
    query["go"] = "1"
    shown = {"acts": acts, "query": query.urlencode(), "provider": configured.name()}
    return render(request, "account/single_sign_on_leave.html", shown)


def _waiting(request: HttpRequest, then: str) -> dict[str, Any]:
    """Return what waits on a page for the proof of identity; empty where nothing does."""
    waiting = request.session.get(STATE_SESSION_KEY) or {}
    return waiting if waiting.get("path") == then else {}


@login_not_required
@never_cache
@require_GET
def came_back(request: HttpRequest) -> HttpResponse:
    """Do what the person went to the OpenID provider for."""

    def who(state: str) -> SignIn:
        if not settings.OIDC_ISSUER or state != request.GET.get("state"):
            raise ValueError("not what this browser went for")
        return provider.who_came_back(request)

    return _came_back(request, who)


@login_not_required
@csrf_exempt  # the answer names the request that this session made
@never_cache
@require_POST
def answer(request: HttpRequest) -> HttpResponse:
    """Do what the person went to the SAML provider for (assertion consumer service). RelayState is not read.

    A browser sends no session along with a form that another site posts: the first time, a page posts it once more.
    """
    if not configured.by_saml():
        raise Http404
    given = request.POST.get("SAMLResponse", "")
    if "here" not in request.POST:
        return render(request, "account/single_sign_on_answer.html", {"answer": given})
    return _came_back(request, lambda state: saml.who_came_back(given, state))


@login_not_required
@require_GET
def metadata(request: HttpRequest) -> HttpResponse:
    """Return what a SAML provider is to know of this Ringi."""
    if not configured.by_saml():
        raise Http404
    return HttpResponse(saml.own_metadata(), content_type="application/samlmetadata+xml")


def _came_back(request: HttpRequest, who_with: Callable[[str], SignIn]) -> HttpResponse:
    """Do what the person went for. who_with: with the state of the session, return who came back, or raise FAULTS."""
    went = request.session.pop(WENT_FOR, None)
    purposes: dict[str, Callable[[HttpRequest, dict[str, Any], SignIn], HttpResponse]]
    purposes = {"sign_in": _signed_in, "enrol": _enrolled, "connect": _connected, "prove": _proved}
    try:
        if went is None:
            raise ValueError("not what this browser went for")
        who = who_with(went["state"])
    except FAULTS as fault:
        log.warning("the identity provider did not confirm a person: %r", fault)
        return _failed(request, _("The identity provider did not confirm who you are. Try again."))
    late = went["begun"] < time.time() - settings.REAUTHENTICATION_TIMEOUT
    if went["again"] and (late or who.authenticated_at < went["begun"] - LEEWAY):
        return _failed(request, _("The identity provider did not ask who you are. Try again."))
    try:
        return purposes[went["purpose"]](request, went, who)
    except OperationRefused as refused:
        return _failed(request, *map(str, refused.reasons))


def _signed_in(request: HttpRequest, went: dict[str, Any], who: SignIn) -> HttpResponse:
    known = Account.objects.filter(
        external_identities__issuer=who.issuer,
        external_identities__subject=who.subject,
        is_active=True,
        kind=Account.Kind.PERSON,
    ).first()
    new = announced(who.subject).first() if known is None else None
    if new is not None:
        with acting(person(new, address=request.META.get("REMOTE_ADDR", ""))):
            known = enrol_provisioned(new.pk, **_identity(who))
    if known is None:
        text = _("No account is connected to you at %(provider)s. Use your invitation, or sign in and connect it.")
        return _failed(request, text % {"provider": configured.name()})
    if _lacks_factor(known, who):
        return _failed(request, _("The identity provider did not ask for two-factor authentication."))
    return _let_in(request, known, who.groups, second_factor=who.second_factor, then=went["next"])


def _let_in(
    request: HttpRequest, account: Account, groups: Sequence[str] | None, *, second_factor: bool, then: str = ""
) -> HttpResponse:
    if groups is not None or account.provisioned:
        with acting(PROVIDER):
            follow_groups(account.pk, groups)
    record_authentication(request, account, method=configured.method(), second_factor=second_factor)
    return perform_login(request, Login(user=account, redirect_url=then or None))


def _lacks_factor(account: Any, who: SignIn) -> bool:
    """Tell whether the only second factor of an account is the provider's, which it did not ask for this time."""
    its_own = {"account": account.pk, "issuer": who.issuer, "second_factor": True}
    only = ExternalIdentity.objects.filter(**its_own).exists() and not is_mfa_enabled(account, list(FACTORS))
    return bool(configured.second_factors()) and only and not who.second_factor


def _enrolled(request: HttpRequest, went: dict[str, Any], who: SignIn) -> HttpResponse:
    """Show whose invitation it is: somebody else may have sent the person there, to work in their own account."""
    account = invited(went["secret"])
    if account is None:
        raise Http404
    found = {"enrol": _identity(who), "secret": went["secret"], "groups": who.groups}
    text = _("Take over the account %(account)s as %(person)s at %(provider)s")
    shown = {"account": account, "person": _called(who), "provider": configured.name()}
    return _ask(request, found, acts=[(text % shown, ())], invited=account)


def _connected(request: HttpRequest, went: dict[str, Any], who: SignIn) -> HttpResponse:
    text = _("Connect your account to %(person)s at %(provider)s")
    act = text % {"person": _called(who), "provider": configured.name()}
    return _ask(request, {"connect": _identity(who)}, acts=[(act, ())], next=reverse("mfa_index"))


def _identity(who: SignIn) -> dict[str, Any]:
    return {"issuer": who.issuer, "subject": who.subject, "second_factor": who.second_factor}


def _called(who: SignIn) -> str:
    """Return what the provider calls a person."""
    return str(who.claims.get("preferred_username") or who.claims.get("email") or who.subject)


def _proved(request: HttpRequest, went: dict[str, Any], who: SignIn) -> HttpResponse:
    """Show what the proof is for."""
    if not ExternalIdentity.objects.filter(account=request.user.pk, issuer=who.issuer, subject=who.subject).exists():
        return _failed(request, _("You signed in at the identity provider as another person."))
    waiting = _waiting(request, went["next"])
    demanded = waiting.get("kind") == "second_factor_required" or _lacks_factor(request.user, who)
    if demanded and not who.second_factor:
        return _failed(request, _("The identity provider did not ask for two-factor authentication."))
    if configured.by_saml():
        return _ask(request, {"second_factor": who.second_factor}, next=went["next"])
    if not provider.verifies(who):
        return _failed(request, _("The identity provider did not confirm who you are. Try again."))
    keep_key(issuer=who.issuer, client=settings.OIDC_CLIENT_ID, key_id=who.key_id, key=who.key)
    proof = {**went["asked"], "id_token": who.id_token}
    found = {"assertion": proof, "second_factor": who.second_factor}
    return _ask(request, found, acts=waiting.get("acts", ()), next=went["next"])


def _ask(request: HttpRequest, found: dict[str, Any], **shown: Any) -> HttpResponse:
    """Show what comes next, and let the person do it: coming back from the provider changes nothing."""
    request.session[FOUND] = found | {"at": time.time()}
    return render(request, "account/single_sign_on.html", shown)


@login_not_required
@never_cache
@require_POST
def go_on(request: HttpRequest) -> HttpResponse:
    """Do what the person came back for."""
    found, account = request.session.pop(FOUND, None), request.user
    valid = found is not None and found["at"] >= time.time() - settings.REAUTHENTICATION_TIMEOUT
    if valid and "enrol" in found:
        return _enrol(request, found)
    if not valid or not isinstance(account, Account):
        return _failed(request, _("This proof of identity is not valid any more. Try again."))
    if "connect" in found:
        try:
            connect(account.pk, **found["connect"])
        except OperationRefused as refused:
            return _failed(request, *map(str, refused.reasons))
        return redirect("mfa_index")
    if "assertion" in found:
        request.session[ASSERTION] = found["assertion"]
    record_authentication(
        request, account, configured.method(), second_factor=found["second_factor"], reauthenticated=True
    )
    return resume_request(request) or redirect("admin:index")


def _enrol(request: HttpRequest, found: dict[str, Any]) -> HttpResponse:
    account = invited(found["secret"])
    if account is None:
        return _failed(request, _("This invitation is not valid any more. Ask an administrator for a new one."))
    try:
        with acting(person(account, address=request.META.get("REMOTE_ADDR", ""))):
            account = enrol_by_provider(account.pk, secret=found["secret"], **found["enrol"])
    except OperationRefused as refused:
        return _failed(request, *map(str, refused.reasons))
    return _let_in(request, account, found["groups"], second_factor=found["enrol"]["second_factor"])


@never_cache
@require_POST
def end_connection(request: HttpRequest) -> HttpResponse:
    """Disconnect the person's identity."""
    assert isinstance(request.user, Account)
    try:
        disconnect(request.user.pk)
    except OperationRefused as refused:
        return _failed(request, *map(str, refused.reasons))
    return redirect("mfa_index")


def _failed(request: HttpRequest, *reasons: str, status: int = 403) -> HttpResponse:
    """Say why not, and write it down."""
    with acting_as_reader(request):
        record_refusal("session:sign_in", *reasons, object="provider")
    return render(request, "account/single_sign_on.html", {"reasons": reasons}, status=status)
