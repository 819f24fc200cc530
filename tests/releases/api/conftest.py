"""Fixtures: the language of the messages in these tests, and CI calls with its token."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client
from django.utils import translation

from environments.operations.token.issue import issue_token
from tests.releases.gates.asking import make


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    """Speak English, whatever the installation's language is."""
    with translation.override("en"):
        yield


@pytest.fixture(autouse=True)
def no_rate(settings: Any) -> None:
    """Count no calls in other tests; the rate limit has its own test."""
    settings.API_RATE_LIMIT = "100000/s"


def token_for(world: Any, account: Any, *environments: str) -> str:
    """Issue a token for environments (default: all) and return its secret."""
    chosen = environments or tuple(world.environments)
    with world.acting_as("administrator"):
        _token, secret = issue_token(account.pk, environments=tuple(world.environments[e].pk for e in chosen))
    return secret


def ask(method: str, path: str, body: Any = None, *, token: str | None, raw: bool = False, **headers: str) -> Any:
    """Send one request to the API as HTTP would bring it; a body with a `file` goes as a form."""
    given = {"accept-language": "en", **headers} | ({"authorization": f"Bearer {token}"} if token is not None else {})
    client = Client(headers=given, raise_request_exception=False)
    if isinstance(body, dict) and "file" in body:
        return getattr(client, method)(f"/api/v1{path}", body)
    if method == "get":
        return client.get(f"/api/v1{path}", body)
    content = body if raw else json.dumps(body)
    return client.generic(method.upper(), f"/api/v1{path}", content, content_type="application/json")


@pytest.fixture
def call(world: Any) -> Callable[..., Any]:
    """Return a function: call a path with a token (default: one of CI for all environments)."""
    secret = token_for(world, world.people["ci"])

    def send(method: str, path: str, body: Any = None, *, token: str | None = secret, **headers: str) -> Any:
        return ask(method, path, body, token=token, **headers)

    return send


@pytest.fixture
def managing(world: Any) -> str:
    """A service account with the rights of a release manager (no page can grant them) and its token."""
    from audit.clock import now
    from environments.models import AccessGrant, Account

    account = make(Account, username="managing", display_name="Managing", kind="service")
    world.people["managing"] = account
    make(AccessGrant, account=account, role_id="release_manager", starts_at=now(), reason="test", confirmed_at=now())
    return token_for(world, account)
