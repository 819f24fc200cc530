"""allauth's adapters: there is no self sign-up, each sign-in is an event, and second factors are kept encrypted."""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.forms import SetPasswordForm
from allauth.account.internal.flows.login import AUTHENTICATION_METHODS_SESSION_KEY, get_authentication_records
from allauth.mfa.adapter import DefaultMFAAdapter
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import HASH_SESSION_KEY
from django.contrib.auth.decorators import login_not_required
from django.contrib.sessions.models import Session
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _

from audit.actor import acting
from audit.clock import now
from audit.operation import label, record_event, record_refusal
from audit.refusals import OperationRefused
from environments.actors import acting_as_reader, methods_of, person
from environments.models import ExternalIdentity, sign_in_name
from environments.operations.account.invite import enrol, invited
from environments.operations.account.use_break_glass import use_break_glass
from environments.secrets import decrypt, encrypt
from environments.session_list import DEVICE, device_of
from environments.single_sign_on import configured

FACTOR_AAD = "mfa.Authenticator"
MOST_CLEARED = 500


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    "Administrators create accounts."

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Refuse sign-up."""
        return False

    def post_login(self, request: HttpRequest, user: Any, **rest: Any) -> Any:
        """Write the sign-in, set the person's language, and delete sessions that are over."""
        with acting(person(user, address=request.META.get("REMOTE_ADDR", ""))):
            methods = methods_of(get_authentication_records(request, user))
            record_event("session:sign_in", object=f"environments.Account:{user.pk}", method=methods)
            if user.break_glass:
                use_break_glass(user.pk)
        request.session[DEVICE] = device_of(request)
        over = Session.objects.filter(expire_date__lt=now()).values_list("pk", flat=True)[:MOST_CLEARED]
        Session.objects.filter(pk__in=list(over)).delete()
        response = super().post_login(request, user=user, **rest)
        response.set_cookie("django_language", user.language, samesite="Lax", httponly=True)
        return response

    def get_login_stages(self) -> list[str]:
        """Ask for no second factor here where the identity provider has just asked for one."""
        stages: list[str] = super().get_login_stages()
        *_earlier, last = self.request.session.get(AUTHENTICATION_METHODS_SESSION_KEY) or [{}]
        if last.get("method") in ("oidc", "saml") and last.get("second_factor"):
            stages.remove("allauth.mfa.stages.AuthenticateStage")
        return stages

    def get_reauthentication_methods(self, user: Any) -> list[dict[str, Any]]:
        """Offer the OpenID provider too, to whom it knows. `factor`: whether a way is a second factor."""
        ways: list[dict[str, Any]] = super().get_reauthentication_methods(user)
        for way in ways:
            way["factor"] = way["id"].startswith("mfa")
        known = {"account": user, "issuer": settings.OIDC_ISSUER}
        if settings.OIDC_ISSUER and user.is_authenticated and ExternalIdentity.objects.filter(**known).exists():
            text = _("Sign in again with %(provider)s") % {"provider": configured.name()}
            url, factor = reverse("single-sign-on-prove"), bool(settings.OIDC_SECOND_FACTOR)
            ways.append({"id": "single_sign_on", "description": text, "url": url, "factor": factor})
        return ways

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Count nothing: allauth would lock a name wherever it is tried, in this process alone. axes counts."""

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        """Write the failed sign-in under the name that was tried, at a signature under the account that signs."""
        super().authentication_failed(request, **credentials)
        name = str(credentials.get("username", ""))[:150]
        about = label(request.user) if request.user.is_authenticated else f"name:{name}"
        with acting_as_reader(request):
            record_refusal("session:sign_in", _("The name or the password is not right."), object=about)

    def reauthenticate(self, user: Any, password: str) -> bool:
        """Check the password of the signed-in person. They stay signed in when its stored form is renewed with it, as
        after an upgrade of Django.
        """
        right: bool = super().reauthenticate(user, password)
        if right:
            user.refresh_from_db(fields=["password"])
            self.request.session[HASH_SESSION_KEY] = user.get_session_auth_hash()
        return right

    def set_password(self, user: Any, password: str) -> None:
        """Keep a password that its owner chose; an invitation that was open ends."""
        user.invitation, user.invited_until = "", None
        super().set_password(user, password)
        record_event("account:change_password", object=f"environments.Account:{user.pk}")

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        """Return the first page."""
        return reverse("admin:index")


class FactorAdapter(DefaultMFAAdapter):  # type: ignore[misc]
    """Second factors: their secrets are encrypted with the key of configuration secrets, outside the database."""

    def encrypt(self, text: str) -> str:
        """Encrypt a secret."""
        return encrypt(text, FACTOR_AAD)

    def decrypt(self, encrypted_text: str) -> str:
        """Open a secret."""
        return decrypt(encrypted_text, FACTOR_AAD)

    def get_totp_issuer(self) -> str:
        """Name the product, which the person's device shows."""
        return "Ringi"

    def get_public_key_credential_rp_entity(self) -> dict[str, str]:
        """Bind keys to the host that the browser sees."""
        return {**super().get_public_key_credential_rp_entity(), "name": "Ringi"}


def counted_name(request: HttpRequest, credentials: dict[str, Any] | None = None) -> str:
    """Return the name under which a failed sign-in is counted; look-alikes count as one."""
    given = (credentials or {}).get("username") or request.POST.get("login", "")
    return sign_in_name(str(given))[:255]


@login_not_required
def invitation(request: HttpRequest, secret: str) -> HttpResponse:
    """Let the person whom a link invites choose a password; then they sign in and set up their second factor."""
    account = invited(secret)
    form = SetPasswordForm(user=account, data=request.POST or None)
    if account is not None and request.method == "POST" and form.is_valid():
        try:
            with acting(person(account, address=request.META.get("REMOTE_ADDR", ""))):
                enrol(account.pk, secret=secret, password=form.cleaned_data["password1"])
        except OperationRefused as refused:
            form.add_error(None, [str(reason) for reason in refused.reasons])
        else:
            messages.success(request, _("Your password is set. Sign in, then set up two-factor authentication."))
            return HttpResponseRedirect(f"{reverse('account_login')}?next={reverse('mfa_index')}")
    status = 404 if account is None else 400 if request.method == "POST" else 200
    return render(request, "account/invitation.html", {"form": form, "account": account}, status=status)


@login_not_required
def closed(request: HttpRequest, **rest: Any) -> HttpResponse:
    """Answer 404 in place of allauth's pages for signing up, e-mail and lost passwords, which do not exist here."""
    raise Http404
