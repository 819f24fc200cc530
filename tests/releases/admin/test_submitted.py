"""A signature counts for the values that were submitted, and the page that asks for the proof shows them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from allauth.account.internal.flows.reauthentication import STATE_SESSION_KEY
from django.urls import reverse

from environments.models import AccessGrant, Account, Application
from releases.admin.pages.operation.submitted import digest_of
from releases.models import NotificationChannel
from tests.conftest import PASSWORD
from tests.releases.gates.asking import make

OLD = [{"method": "password", "at": 1.0}]


def asked(client: Any, verb: str, **fields: Any) -> tuple[str, dict[str, Any]]:
    """Submit a form without a proof of identity; return the page that asks for it, and what is kept."""
    session = client.session
    session["account_authentication_methods"] = OLD
    session.save()
    answer = client.post(verb, fields)
    assert answer.status_code == 302 and "reauthenticate" in answer.url, answer.context["form"].errors
    return answer.url, client.session[STATE_SESSION_KEY]


def test_a_proof_is_for_the_values_that_it_shows(world: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    client = browsers("administrator")
    person = Account.objects.get(username="outsider")
    address = reverse("operation", args=["access", "grant", person.pk])
    first = {"role": "developer", "reason": "on call"}
    url, kept = asked(client, address, **first)
    _url, other = asked(client, address, **first | {"role": "auditor"})
    _url, again = asked(client, address, **first)
    assert kept["contents"] == again["contents"] != other["contents"] and len(kept["contents"]) == 1
    page = client.get(url).text
    assert "role: Developer" in page and "reason: on call" in page and str(person) in page, page[-3000:]
    client.post(url, {"password": PASSWORD})
    assert AccessGrant.objects.filter(account=person, role__key="developer").exists()


def test_a_secret_is_not_shown(world: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    channel = NotificationChannel.objects.get(key="slack")
    client, address = (
        browsers("manager"),
        reverse("operation", args=["notification_channel", "set_address", channel.pk]),
    )
    hook = "https://hooks.example/services/T0/own"
    url, kept = asked(client, address, url=hook, language="en", reason="team chat moved")
    assert "team chat moved" in str(kept["acts"])
    assert hook not in str(kept["acts"]) + client.get(url).text


def test_values_have_one_digest_in_every_process_and_all_rows_count(world: dict[str, Any]) -> None:
    """The text of a query ends after twenty rows, and that of a set begins anywhere."""
    for number in range(25):
        make(Application, slug=f"app-{number:02}", name="App", repository="x")
    rows = Application.objects.order_by("slug")
    fewer = rows.exclude(slug="app-24")
    assert str(rows) == str(fewer) and digest_of({"of": rows}) != digest_of({"of": fewer})
    names = frozenset("abcdefgh")
    assert digest_of({"some": names}) == digest_of({"some": sorted(names)})
