"""Behind proxies the recorded and counted address is the client's, which a client cannot choose."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from audit.models import Event
from environments.client_address import forwarded
from tests.conftest import PASSWORD


@pytest.mark.parametrize(
    ("header", "proxies", "found"),
    [
        ("198.51.100.7", 1, "198.51.100.7"),
        ("203.0.113.9, 198.51.100.7", 1, "198.51.100.7"),  # the client wrote the first one
        ("203.0.113.9, 198.51.100.7, 10.0.0.1", 2, "198.51.100.7"),
        ("2001:DB8::1", 1, "2001:db8::1"),
        ("198.51.100.7", 2, ""),
        ("198.51.100.7:443", 1, ""),
        ("<script>", 1, ""),
        ("", 1, ""),
    ],
)
def test_the_address_is_counted_from_the_end(header: str, proxies: int, found: str) -> None:
    assert forwarded(header, proxies) == found


@pytest.mark.parametrize(("proxies", "kept"), [(0, "127.0.0.1"), (1, "198.51.100.7")])
def test_a_sign_in_is_kept_with_it(people: dict[str, Any], settings: Any, proxies: int, kept: str) -> None:
    settings.PROXY_COUNT = proxies
    client = Client(headers={"x-forwarded-for": "203.0.113.9, 198.51.100.7"})
    assert client.post("/account/login/", {"login": "outsider", "password": PASSWORD}).status_code == 302
    event = json.loads(bytes(Event.objects.get(operation="session:sign_in").bytes))
    assert event["request"]["address"] == kept


def test_trying_passwords_locks_the_own_address_and_no_other(people: dict[str, Any], settings: Any) -> None:
    settings.PROXY_COUNT = 1
    settings.ACCOUNT_RATE_LIMITS = {"login": "1000/m/ip", "login_failed": "1000/m/ip"}

    def tried(address: str, password: str) -> int:
        client = Client(headers={"x-forwarded-for": f"203.0.113.{len(password)}, {address}"})
        return client.post("/account/login/", {"login": "outsider", "password": password}).status_code

    for count in range(5):
        tried("198.51.100.7", "wrong-password" + "!" * count)
    assert tried("198.51.100.7", PASSWORD) == 429
    assert tried("198.51.100.8", PASSWORD) == 302
