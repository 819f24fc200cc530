"""My sessions: where one is signed in, one of them ended, all others ended; those of other people are not there."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.test import Client

from audit.models import Event
from environments.session_list import in_words
from tests.conftest import PASSWORD

FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0"
PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 26_0 like Mac OS X) AppleWebKit/605.1.15 Version/26.0 Mobile Safari/604.1"


def signed_in(agent: str, name: str = "outsider") -> Client:
    client = Client(headers={"accept-language": "en", "user-agent": agent})
    assert client.post("/account/login/", {"login": name, "password": PASSWORD}).status_code == 302
    client.cookies["django_language"] = "en"
    return client


def listed(client: Client) -> str:
    page = client.get("/account/sessions/")
    assert page.status_code == 200
    return page.content.decode()


def test_one_of_my_sessions_is_ended_from_another(people: dict[str, Any]) -> None:
    desk, phone = signed_in(FIREFOX), signed_in(PHONE)
    page = listed(desk)
    assert "Firefox · Windows" in page and "Safari · iPhone" in page and page.count("this session") == 1
    assert "127.0.0.1" in page and "My sessions" in desk.get("/account/mfa/").content.decode()
    for client in (desk, phone):
        assert client.session.session_key not in page, "the key of a session is a secret"
    (number,) = [row.split('"')[0] for row in page.split('name="end" value="')[1:]]
    desk.post("/account/sessions/", {"end": number})
    assert phone.get("/admin/").status_code == 302 and desk.get("/admin/").status_code == 200
    event = Event.objects.get(operation="session:end")
    assert event.contents["after"]["device"] == "Safari · iPhone"


def test_all_others_end_and_those_of_other_people_do_not(people: dict[str, Any]) -> None:
    mine, others = signed_in(FIREFOX), [signed_in(PHONE), signed_in(FIREFOX)]
    somebody = Client()
    somebody.force_login(people["developer"], backend="environments.backend.GrantBackend")
    theirs = Session.objects.get(pk=somebody.session.session_key)
    mine.post("/account/sessions/", {"end": "0" * 16})
    assert all(one.get("/admin/").status_code == 200 for one in [*others, somebody]), "a number of no session of mine"
    mine.post("/account/sessions/", {})
    assert [one.get("/admin/").status_code for one in others] == [302, 302]
    assert Session.objects.filter(pk=theirs.pk).exists() and mine.get("/admin/").status_code == 200


def test_a_session_that_a_new_password_has_ended_is_not_listed(people: dict[str, Any]) -> None:
    mine, _other = signed_in(FIREFOX), signed_in(PHONE)
    mine.post("/account/reauthenticate/", {"password": PASSWORD})
    new = {"oldpassword": PASSWORD, "password1": "another-horse-battery", "password2": "another-horse-battery"}
    assert mine.post("/account/password/change/", new).status_code == 302
    page = listed(mine)
    assert "iPhone" not in page and "Firefox" in page


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        (FIREFOX, "Firefox · Windows"),
        (PHONE, "Safari · iPhone"),
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/143.0 Safari/537.36 Edg/143.0", "Edge · Linux"),
        ("Mozilla/5.0 (Linux; Android 16) AppleWebKit/537.36 Chrome/143.0 Mobile Safari/537.36", "Chrome · Android"),
        ("curl/8", "unknown device"),
    ],
)
def test_a_device_in_words(agent: str, words: str) -> None:
    from django.utils import translation

    with translation.override("en"):
        assert in_words(agent) == words
