"""allauth's adapters: nobody signs up by himself, each sign-in is an event, and second factors are kept sealed."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from audit.actor import acting
from audit.change import note
from environments.actors import person, visitor
from environments.models import sign_in_name
from environments.secrets import open_sealed, seal

SEALED_AS = "mfa.Authenticator"


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """Accounts are made by administrators."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Say no."""
        return False

    def post_login(self, request: HttpRequest, user: Any, **rest: Any) -> Any:
        """Write the sign-in and set the person's language."""
        with acting(person(user, address=request.META.get("REMOTE_ADDR", ""))):
            note("session:sign_in", object=f"environments.Account:{user.pk}")
        response = super().post_login(request, user=user, **rest)
        response.set_cookie("django_language", user.language, samesite="Lax", httponly=True)
        return response

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        """Write the failed sign-in under the name that was tried."""
        super().authentication_failed(request, **credentials)
        name = str(credentials.get("username", ""))[:150]
        with acting(visitor(request.META.get("REMOTE_ADDR", ""))):
            note("session:sign_in", object=f"name:{name}", outcome="refused")

    def clean_password(self, password: str, user: Any = None) -> str:
        """Refuse the password that the person has already: a first one must really be changed."""
        chosen: str = super().clean_password(password, user)
        if user is not None and user.check_password(chosen):
            raise ValidationError(_("Choose another password than the present one."))
        return chosen

    def set_password(self, user: Any, password: str) -> None:
        """Keep a password that its owner chose: it is no first one any more, and none waits."""
        user.must_change_password = False
        user.pending_password, user.pending_by = "", None
        super().set_password(user, password)
        note("account:change_password", object=f"environments.Account:{user.pk}")

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        """Lead on to the first page."""
        return reverse("admin:index")


class FactorAdapter(DefaultMFAAdapter):  # type: ignore[misc]
    """Second factors: their secrets are sealed with the key of configuration secrets, outside the database."""

    def encrypt(self, text: str) -> str:
        """Seal a secret."""
        return seal(text, SEALED_AS)

    def decrypt(self, encrypted_text: str) -> str:
        """Open a secret."""
        return open_sealed(encrypted_text, SEALED_AS)

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
def closed(request: HttpRequest, **rest: Any) -> HttpResponse:
    """Answer 404 in place of allauth's pages for signing up, e-mail and lost passwords, which nobody has here."""
    raise Http404
