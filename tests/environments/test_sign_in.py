"""Signing in: look-alikes of a name are counted as one, and a locked name stays locked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from audit.models import Event
from tests.conftest import PASSWORD

LOOKALIKES = ["outsider", "OUTSIDER", "ｏｕｔｓｉｄｅｒ", " outsider ", "out\u200bsider"]


def tried(client: Client, name: str, password: str) -> Any:
    return client.post("/account/login/", {"login": name, "password": password})


def test_lookalikes_of_a_name_are_counted_as_one(people: dict[str, Any]) -> None:
    """Case 14: five tries are five tries, however the name is written."""
    client = Client(headers={"accept-language": "en"})
    for name in LOOKALIKES:
        assert tried(client, name, "wrong-password").status_code in (200, 429), name
    locked = tried(client, "outsider", PASSWORD)
    assert locked.status_code == 429 and "Too many" in locked.content.decode()
    assert client.get("/admin/").status_code == 302
    assert tried(client, "developer", PASSWORD).status_code == 302, "another name is not locked"
    refused = Event.objects.filter(operation="session:sign_in", outcome="refused")
    assert refused.count() >= len(LOOKALIKES)


def test_a_null_byte_is_no_way_round(people: dict[str, Any]) -> None:
    """Case 14: it never reaches a password, and counts for nothing but a refused form."""
    client = Client(headers={"accept-language": "en"})
    for _try in range(4):
        tried(client, "outsider", "wrong-password")
    for name in ("outsider\x00", "\x00outsider", "out\x00sider"):
        assert tried(client, name, PASSWORD).status_code == 200, "a null byte never signs in"
        assert client.get("/admin/").status_code == 302
    assert tried(client, "ＯＵＴＳＩＤＥＲ", "wrong-password").status_code == 429, "the fifth try"
    assert tried(client, "outsider", PASSWORD).status_code == 429


@pytest.mark.parametrize("name", LOOKALIKES)
def test_a_name_is_read_as_it_is_counted(people: dict[str, Any], name: str) -> None:
    client = Client()
    assert tried(client, name, PASSWORD).status_code == 302
    assert client.get("/admin/").status_code == 200
    event = Event.objects.get(operation="session:sign_in", kind="access")
    assert event.object == f"environments.Account:{people['outsider'].pk}"


def test_service_accounts_and_unknown_names_do_not_sign_in(people: dict[str, Any]) -> None:
    client = Client()
    for name in ("ci", "nobody"):
        assert tried(client, name, PASSWORD).status_code == 200
    assert client.get("/admin/").status_code == 302


@pytest.mark.parametrize(
    "address",
    [
        "signup/",
        "email/",
        "confirm-email/",
        "confirm-email/x/",
        "password/set/",
        "password/reset/",
        "password/reset/done/",
        "password/reset/key/1-x/",
        "password/reset/key/done/",
        "login/code/confirm/",
    ],
)
def test_unused_ways_to_sign_in_are_closed(people: dict[str, Any], browsers: Any, address: str) -> None:
    for client in (Client(), browsers("outsider")):
        assert client.get(f"/account/{address}").status_code == 404
        assert client.post(f"/account/{address}", {"email": "a@b.example"}).status_code == 404


def test_failures_of_others_behind_the_same_address_lock_no_one_out(people: dict[str, Any]) -> None:
    here = Client(REMOTE_ADDR="10.0.0.1")
    for number in range(70):
        assert tried(here, f"guess-{number}", "wrong-password").status_code == 200
    for _try in range(6):
        tried(here, "developer", "wrong-password")
    assert tried(here, "developer", PASSWORD).status_code == 429
    assert tried(Client(REMOTE_ADDR="10.0.0.1"), "operator", PASSWORD).status_code == 302


def test_one_person_does_not_lock_another_out_and_the_lock_holds_in_every_process(people: dict[str, Any]) -> None:
    stranger = Client(REMOTE_ADDR="10.0.0.66")
    for _try in range(12):
        tried(stranger, "operator", "wrong-password")
    assert tried(Client(REMOTE_ADDR="10.0.0.1"), "operator", PASSWORD).status_code == 302
    cache.clear()  # as another process: what it counts is in the database
    assert tried(Client(REMOTE_ADDR="10.0.0.66"), "operator", PASSWORD).status_code == 429


def test_a_signer_stays_signed_in_when_the_stored_form_of_their_password_is_renewed(
    browsers: Callable[[str], Any], people: dict[str, Any], settings: Any
) -> None:
    """As after an upgrade of Django, which asks for more rounds."""
    client, before = browsers("manager"), people["manager"].password
    settings.PASSWORD_HASHERS = ["tests.hashing.TwoRounds"]
    client.post(reverse("account_reauthenticate"), {"password": PASSWORD})
    people["manager"].refresh_from_db()
    assert people["manager"].password != before
    assert client.get(reverse("admin:index")).status_code == 200
