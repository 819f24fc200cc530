"""A session that is not used ends; an open page does not keep it alive by itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.sessions.middleware import SessionMiddleware
from django.contrib.sessions.models import Session
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.urls import reverse

from audit.clock import now
from audit.models import Event
from environments import idle
from environments.actors import SIGNED_AT
from environments.idle import IdleMiddleware
from environments.sessions import SessionStore
from tests.conftest import PASSWORD

LIVE = {"X-Ringi-Live": "1"}


@pytest.fixture
def pass_time(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Return a function: let so many minutes pass for the middleware."""
    own, passed = idle.timezone.now, [0.0]
    monkeypatch.setattr(idle.timezone, "now", lambda: own() + timedelta(seconds=passed[0]))

    def minutes(count: float) -> None:
        passed[0] += count * 60

    return minutes


def test_a_session_without_use_ends_and_says_so(
    people: dict[str, Any], browsers: Callable[[str], Client], settings: Any, pass_time: Callable[[float], None]
) -> None:
    settings.IDLE_MINUTES = 30
    client = browsers("manager")
    address = reverse("admin:index")
    assert client.get(address).status_code == 200
    for _time in range(3):
        pass_time(20)
        assert client.get(address).status_code == 200, "each use begins the time again"
    pass_time(31)
    answer = client.post(reverse("language"), {"language": "en", "next": address})
    answer = client.get(address)
    assert answer.status_code == 302 and answer["Location"].startswith("/account/login/")
    assert "because it was not used" in client.get(answer["Location"]).content.decode()
    event = Event.objects.get(operation="session:end_idle")
    assert event.object == f"environments.Account:{people['manager'].pk}" and event.actor.startswith("person:")


def test_an_open_page_keeps_no_session_alive(
    browsers: Callable[[str], Client], settings: Any, pass_time: Callable[[float], None]
) -> None:
    settings.IDLE_MINUTES = 30
    client, address = browsers("manager"), reverse("admin:index")
    assert client.get(address).status_code == 200
    for _time in range(5):
        pass_time(5.5)
        assert client.get(address, headers=LIVE).status_code == 200
    pass_time(5.5)
    assert client.get(address, headers=LIVE).status_code == 302
    assert client.get(address).status_code == 302


def test_a_page_that_is_still_loading_brings_no_used_proof_back(
    people: dict[str, Any], browsers: Callable[[str], Client], pass_time: Callable[[float], None]
) -> None:
    """The page read the session before a signature used up the proof of identity, and ends after it."""
    client = browsers("manager")
    key = client.session.session_key
    request = RequestFactory().get("/admin/")
    request.session, request.user = SessionStore(key), people["manager"]
    assert not request.session.get(SIGNED_AT)
    signing = SessionStore(key)
    signing[SIGNED_AT] = 1.0
    signing.save()
    pass_time(5)
    before = Session.objects.get(pk=key).expire_date
    answer = IdleMiddleware(lambda _request: HttpResponse())(request)
    SessionMiddleware(lambda _request: answer).process_response(request, answer)
    assert SessionStore(key).get(SIGNED_AT) == 1.0
    assert Session.objects.get(pk=key).expire_date > before, "the use counts"


def test_zero_is_never(browsers: Callable[[str], Client], settings: Any, pass_time: Callable[[float], None]) -> None:
    settings.IDLE_MINUTES = 0
    client = browsers("manager")
    pass_time(60 * 24 * 7)
    assert client.get(reverse("admin:index")).status_code == 200


def test_sessions_that_are_over_are_deleted_at_a_sign_in(people: dict[str, Any]) -> None:
    rows = (("over", -1), ("lasting", 1))
    for key, days in rows:
        Session.objects.create(session_key=key, session_data="x", expire_date=now() + timedelta(days=days))
    assert Client().post("/account/login/", {"login": "outsider", "password": PASSWORD}).status_code == 302
    assert [key for key, _days in rows if Session.objects.filter(pk=key).exists()] == ["lasting"]
