"""From a signed-in account to the actor of the operation."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from audit.actor import Actor, MissingActor, current
from environments.actors import SIGNED_AT, ActorMiddleware, person


def seen_by(account: Any, session: dict[str, Any]) -> Actor | None:
    """Return the actor inside a request of an account."""
    found: list[Actor | None] = []

    def view(request: HttpRequest) -> HttpResponse:
        try:
            found.append(current())
        except MissingActor:
            found.append(None)
        return HttpResponse()

    request = RequestFactory(REMOTE_ADDR="192.0.2.9", headers={"X-Forwarded-For": "203.0.113.1"}).get("/")
    request.user, request.session = account, session
    request.ringi_request_id = "r-1"  # as the middleware before it does
    ActorMiddleware(view)(request)
    return found[0]


def test_the_actor_has_the_account_s_roles_and_address(people: dict[str, Any]) -> None:
    actor = seen_by(people["author_on_committee"], {})
    assert actor is not None
    assert (actor.account_id, actor.kind, actor.channel) == (people["author_on_committee"].pk, "person", "admin")
    assert actor.roles == ("committee", "release_manager")
    assert actor.address == "192.0.2.9", "the header of a stranger's proxy is no address"
    assert actor.request_id == "r-1"


def test_the_proof_of_identity_is_the_last_one(people: dict[str, Any]) -> None:
    begun = time.time()
    again = {"reauthenticated": True}
    methods = [again | {"method": "password", "at": begun - 4000}, again | {"method": "mfa", "at": begun - 10}]
    actor = seen_by(people["manager"], {"account_authentication_methods": methods})
    assert actor is not None and actor.method == "mfa" and actor.authenticated_at is not None
    assert timedelta(seconds=9) < datetime.now(UTC) - actor.authenticated_at < timedelta(seconds=60)
    fresh = seen_by(people["manager"], {})
    assert fresh is not None and fresh.authenticated_at is None


def test_neither_a_sign_in_nor_a_proof_that_was_signed_with_is_a_proof(people: dict[str, Any]) -> None:
    proof = {"method": "password", "at": time.time() - 10}
    for session in (
        {"account_authentication_methods": [proof]},
        {"account_authentication_methods": [proof | {"reauthenticated": True}], SIGNED_AT: time.time() - 5},
    ):
        actor = seen_by(people["manager"], session)
        assert actor is not None and (actor.authenticated_at, actor.method) == (None, "")


def test_a_visitor_is_nobody(people: dict[str, Any]) -> None:
    assert seen_by(AnonymousUser(), {}) is None


def test_after_the_request_there_is_no_actor(people: dict[str, Any]) -> None:
    import pytest

    seen_by(people["manager"], {})
    with pytest.raises(MissingActor):
        current()


def test_a_service_account_is_no_person(people: dict[str, Any]) -> None:
    assert person(people["ci"]).kind == "service"


def test_accounts_with_one_employee_id_are_one_person(newcomer: Callable[..., Any]) -> None:
    """However it is written: case 12, equivalent-looking input."""
    ids = ("E-0012", " e-0012 ", "Ｅ-００１２")
    keys = {newcomer(f"same{i}", employee_id=number).person_key for i, number in enumerate(ids)}
    assert len(keys) == 1
    assert newcomer("other", employee_id="E-0013").person_key not in keys
    assert newcomer("none").person_key != newcomer("blank", employee_id="  ").person_key
