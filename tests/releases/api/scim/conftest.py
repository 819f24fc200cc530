"""A service account for provisioning as two administrators make it, and calls of SCIM with its token."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client
from django.utils import translation

from audit.actor import Actor, acting
from environments.models import Account
from environments.operations.access.grant import confirm, request_role
from environments.operations.account.create import create
from environments.operations.token.issue import issue_token
from tests.conftest import enrolled

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    """Speak English, whatever the installation's language is."""
    with translation.override("en"):
        yield


@pytest.fixture(autouse=True)
def no_rate(settings: Any) -> None:
    """Count no calls in other tests; the rate limit has its own test."""
    settings.API_RATE_LIMIT = "100000/s"


@pytest.fixture
def unconfirmed(acting_as: Callable[..., Any]) -> tuple[Any, str]:
    """The grant of the role for provisioning that waits for a second administrator, and a token of its account."""
    with acting_as("administrator"):
        account = create(username="directory", display_name="Directory", kind="service", language="en")
        grant = request_role(account.pk, role="provisioning", reason="joiners and leavers")
        _token, secret = issue_token(account.pk)
    return grant, secret


@pytest.fixture
def token(unconfirmed: tuple[Any, str], acting_as: Callable[..., Any]) -> str:
    """The secret of a token for provisioning."""
    with acting_as("second_administrator"):
        confirm(unconfirmed[0].pk)
    return unconfirmed[1]


def ask(method: str, path: str, body: Any = None, *, token: str | None) -> Any:
    """Send one request as HTTP would bring it."""
    given = {"accept-language": "en"} | ({"authorization": f"Bearer {token}"} if token is not None else {})
    client = Client(headers=given, raise_request_exception=False)
    if method == "GET":
        return client.get(f"/scim/v2{path}", body)
    content = json.dumps(body) if body is not None else ""
    return client.generic(method, f"/scim/v2{path}", content, content_type="application/scim+json")


@pytest.fixture
def scim(token: str) -> Callable[..., Any]:
    """Return a function: call a path, demand a status, return the content."""

    def send(method: str, path: str, body: Any = None, *, status: int = 200, token: str | None = token) -> Any:
        answer = ask(method, path, body, token=token)
        assert answer.status_code == status, answer.content
        return answer.json() if answer.content else None

    return send


@pytest.fixture
def joined(scim: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function: make a user, return the content."""

    def join(who: str, **more: Any) -> Any:
        body = {"schemas": [USER], "userName": who, "displayName": who.title(), "externalId": f"id-{who}"}
        return scim("POST", "/Users", body | more, status=201)

    return join


def enrol(user: Any) -> Any:
    """Let the person of a user enrol by an invitation from the server; return the account."""
    with acting(Actor(account_id=None, name="tests", kind="command", channel="command")):
        return enrolled(Account.objects.get(pk=int(user["id"])))


def patch(*operations: Any) -> Any:
    """Return the body of a PATCH."""
    return {"schemas": [PATCH], "Operations": list(operations)}
