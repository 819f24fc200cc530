"""allauth's adapter: nobody signs up by himself, and each sign-in, good or bad, is an event."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from django.http import HttpRequest

from audit.actor import Actor, acting
from audit.change import note
from environments.actors import person


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
        visitor = Actor(
            account_id=None,
            name="visitor",
            kind="system",
            channel="admin",
            address=request.META.get("REMOTE_ADDR", ""),
        )
        with acting(visitor):
            note("session:sign_in", object=f"name:{name}", outcome="refused")
