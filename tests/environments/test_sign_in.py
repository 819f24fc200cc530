"""Signing in: look-alikes of a name are counted as one, and a locked name stays locked."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from audit.models import Event
from tests.conftest import PASSWORD

LOOKALIKES = ["operator", "OPERATOR", "ｏｐｅｒａｔｏｒ", " operator ", "op\u200berator"]


@pytest.fixture(autouse=True)
def unhurried(settings: Any) -> None:
    """Let the lock-out under test answer, and not allauth's own limit."""
    settings.ACCOUNT_RATE_LIMITS = {"login": "1000/m/ip", "login_failed": "1000/m/ip"}


def tried(client: Client, name: str, password: str) -> Any:
    return client.post("/account/login/", {"login": name, "password": password})


def test_lookalikes_of_a_name_are_counted_as_one(people: dict[str, Any]) -> None:
    """Case 14: five tries are five tries, however the name is written."""
    client = Client(headers={"accept-language": "en"})
    for name in LOOKALIKES:
        assert tried(client, name, "wrong-password").status_code in (200, 429), name
    locked = tried(client, "operator", PASSWORD)
    assert locked.status_code == 429 and "Too many" in locked.content.decode()
    assert client.get("/admin/").status_code == 302
    assert tried(client, "developer", PASSWORD).status_code == 302, "another name is not locked"
    refused = Event.objects.filter(action="session:sign_in", outcome="refused")
    assert refused.count() >= len(LOOKALIKES)


def test_a_null_byte_is_no_way_round(people: dict[str, Any]) -> None:
    """Case 14: it never reaches a password, and counts for nothing but a refused form."""
    client = Client(headers={"accept-language": "en"})
    for _try in range(4):
        tried(client, "operator", "wrong-password")
    for name in ("operator\x00", "\x00operator", "oper\x00ator"):
        assert tried(client, name, PASSWORD).status_code == 200, "a null byte never signs in"
        assert client.get("/admin/").status_code == 302
    assert tried(client, "ＯＰＥＲＡＴＯＲ", "wrong-password").status_code == 429, "the fifth try"
    assert tried(client, "operator", PASSWORD).status_code == 429


@pytest.mark.parametrize("name", LOOKALIKES)
def test_a_name_is_read_as_it_is_counted(people: dict[str, Any], name: str) -> None:
    client = Client()
    assert tried(client, name, PASSWORD).status_code == 302
    assert client.get("/admin/").status_code == 200
    event = Event.objects.get(action="session:sign_in", kind="access")
    assert event.object == f"environments.Account:{people['operator'].pk}"


def test_service_accounts_and_unknown_names_do_not_sign_in(people: dict[str, Any]) -> None:
    client = Client()
    for name in ("ci", "nobody"):
        assert tried(client, name, PASSWORD).status_code == 200
    assert client.get("/admin/").status_code == 302


@pytest.mark.parametrize(
    "address",
    ["signup/", "email/", "confirm-email/", "confirm-email/x/", "password/set/", "password/reset/",
     "password/reset/done/", "password/reset/key/1-x/", "password/reset/key/done/", "login/code/confirm/"],
)  # fmt: skip
def test_ways_in_that_nobody_has_are_closed(people: dict[str, Any], browsers: Any, address: str) -> None:
    for client in (Client(), browsers("operator")):
        assert client.get(f"/account/{address}").status_code == 404
        assert client.post(f"/account/{address}", {"email": "a@b.example"}).status_code == 404
