"""Signing in at the organisation's provider: by an invitation, by a connection, and by nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from audit.actor import Actor, acting
from audit.models import Event
from audit.operation import operation
from environments.models import AccessGrant, Account, ExternalIdentity
from environments.operations.account.invite import invite

COMMAND = Actor(account_id=None, name="tests", kind="command", channel="command")


def connected(account: Any, issuer: str, subject: str, *, second_factor: bool = False) -> None:
    from environments.actors import person
    from environments.operations.account.connect import connect

    with acting(person(account)):
        connect(account.pk, issuer=issuer, subject=subject, second_factor=second_factor)


def proving(browsers: Any, account: Any) -> Client:
    """Return the client of somebody who has just given their password."""
    client = browsers(account.username)
    session = client.session
    session["account_authentication_methods_user"] = str(account.pk)
    session.save()
    return client


def without_password(account: Any) -> None:
    with acting(COMMAND), operation("test:alter", (Account, account.pk)) as op:
        row = op.get(Account)
        row.set_unusable_password()
        row.language = "en"


def signed_in_as(browser: Any) -> str:
    return browser.client.session.get("_auth_user_id", "")


def test_an_unknown_person_gets_no_account(people: dict[str, Any], provider: Any, browser: Callable[..., Any]) -> None:
    provider.person("developer")
    visitor = browser()
    answer = visitor.get("/account/single-sign-on/")
    assert answer.status_code == 403 and "No account is connected" in answer.content.decode()
    assert not signed_in_as(visitor) and not ExternalIdentity.objects.exists()
    assert Event.objects.filter(operation="session:sign_in", outcome="refused").exists()


def test_a_connected_person_signs_in_and_gives_the_second_factor_here(
    people: dict[str, Any], provider: Any, browser: Callable[..., Any]
) -> None:
    connected(people["outsider"], provider.issuer, "u-1")
    connected(people["developer"], provider.issuer, "u-2")
    provider.person("u-1")
    visitor = browser()
    visitor.get("/account/single-sign-on/")
    assert signed_in_as(visitor) == str(people["outsider"].pk)
    event = Event.objects.get(operation="session:sign_in", kind="access")
    assert event.contents["after"]["method"] == "oidc"
    provider.person("u-2")
    other = browser()
    answer = other.get("/account/single-sign-on/")
    assert answer.wsgi_request.path == "/account/mfa/authenticate/" and not signed_in_as(other)


def test_the_providers_second_factor_counts_where_it_is_set(
    people: dict[str, Any], strong: Any, browser: Callable[..., Any]
) -> None:
    connected(people["developer"], strong.issuer, "u-2")
    strong.person("u-2", acr="urn:example:mfa")
    visitor = browser()
    visitor.get("/account/single-sign-on/")
    assert signed_in_as(visitor) == str(people["developer"].pk)
    strong.person("u-2", acr="urn:example:password")
    assert browser().get("/account/single-sign-on/").wsgi_request.path == "/account/mfa/authenticate/"


@pytest.mark.parametrize("how", ["deactivated", "service", "disconnected"])
def test_who_may_not_sign_in_does_not(
    people: dict[str, Any], provider: Any, browser: Callable[..., Any], how: str
) -> None:
    account = people["outsider"]
    connected(account, provider.issuer, "u-1")
    if how == "disconnected":
        from environments.actors import person
        from environments.operations.account.connect import disconnect

        with acting(person(account)):
            disconnect(account.pk)
    else:
        with acting(COMMAND), operation("test:alter", (Account, account.pk)) as op:
            row = op.get(Account)
            row.is_active, row.kind = how != "deactivated", "service" if how == "service" else "person"
    provider.person("u-1")
    visitor = browser()
    assert visitor.get("/account/single-sign-on/").status_code == 403 and not signed_in_as(visitor)


def test_an_invitation_is_taken_without_a_password(
    people: dict[str, Any], provider: Any, browser: Callable[..., Any]
) -> None:
    account = people["outsider"]
    with acting(COMMAND):
        link = invite(account.pk).secret
    provider.person("u-7")
    visitor = browser()
    page = visitor.get(f"/invitation/{link.split('/')[-2]}/").content.decode()
    address = f"/account/single-sign-on/invitation/{link.split('/')[-2]}/"
    assert address in page
    asked = visitor.get(address).content.decode()
    assert f"Take over the account {account} as u-7@example.org at Example" in asked
    assert not signed_in_as(visitor) and not ExternalIdentity.objects.exists(), "coming back alone changes nothing"
    visitor.post("/account/single-sign-on/go-on/")
    assert signed_in_as(visitor) == str(account.pk)
    account.refresh_from_db()
    assert not account.has_usable_password() and not account.invitation and account.enrolled_at is not None
    assert browser().get(address).status_code == 404, "a link opens once"


def test_an_invitation_that_was_replaced_meanwhile_opens_nothing(
    people: dict[str, Any], provider: Any, browser: Callable[..., Any]
) -> None:
    with acting(COMMAND):
        link = invite(people["outsider"].pk).secret
    provider.person("u-7")
    visitor = browser()
    visitor.get(f"/account/single-sign-on/invitation/{link.split('/')[-2]}/")
    with acting(COMMAND):
        invite(people["outsider"].pk)
    answer = visitor.post("/account/single-sign-on/go-on/")
    assert answer.status_code == 403 and "not valid any more" in answer.content.decode()
    assert not signed_in_as(visitor) and not ExternalIdentity.objects.exists()
    assert visitor.post("/account/single-sign-on/go-on/").status_code == 403, "nothing waits"


def test_an_invitation_ends_what_was_connected(
    people: dict[str, Any], provider: Any, browser: Callable[..., Any]
) -> None:
    account = people["outsider"]
    connected(account, provider.issuer, "u-1")
    with acting(COMMAND):
        link = invite(account.pk).secret
    provider.person("u-7")
    visitor = browser()
    visitor.get(f"/account/single-sign-on/invitation/{link.split('/')[-2]}/")
    visitor.post("/account/single-sign-on/go-on/")
    assert [row.subject for row in ExternalIdentity.objects.all()] == ["u-7"]
    provider.person("u-1")
    assert browser().get("/account/single-sign-on/").status_code == 403


def test_an_administrators_link_makes_no_approver(
    people: dict[str, Any], provider: Any, browser: Callable[..., Any], acting_as: Any
) -> None:
    account = people["committee_a"]
    with acting_as("administrator"):
        link = invite(account.pk).secret
    provider.person("u-9")
    visitor = browser()
    visitor.get(f"/account/single-sign-on/invitation/{link.split('/')[-2]}/")
    visitor.post("/account/single-sign-on/go-on/")
    assert ExternalIdentity.objects.filter(account=account, subject="u-9").exists()
    deciding = AccessGrant.objects.filter(account=account, role__decides=True, revoked_at=None)
    assert deciding and not deciding.exclude(confirmed_at=None)


def test_one_connects_ones_own_account_after_a_proof_and_a_look(
    people: dict[str, Any], provider: Any, browser: Callable[..., Any], browsers: Any
) -> None:
    provider.person("u-3")
    mine = browser(proving(browsers, people["developer"]))
    asked = mine.get("/account/single-sign-on/connect/")
    page = asked.content.decode()
    assert "Connect your account to u-3@example.org at Example" in page
    assert not ExternalIdentity.objects.exists(), "coming back alone changes nothing"
    mine.post("/account/single-sign-on/go-on/", {"next": "/account/mfa/"})
    (made,) = ExternalIdentity.objects.all()
    assert (made.account_id, made.subject, made.second_factor) == (people["developer"].pk, "u-3", False)
    event = Event.objects.get(operation="account:connect", kind="operation")
    assert event.contents["after"]["issuer"] == provider.issuer
    mine.post("/account/single-sign-on/disconnect/", {})
    assert not ExternalIdentity.objects.exists()


def test_connecting_asks_for_a_proof_of_identity(
    people: dict[str, Any], provider: Any, browser: Callable[..., Any]
) -> None:
    client = Client()
    client.force_login(people["developer"], backend="environments.backend.GrantBackend")
    assert "/reauthenticate/" in browser(client).get("/account/single-sign-on/connect/").wsgi_request.path


def test_one_identity_is_of_one_account(
    people: dict[str, Any], provider: Any, browser: Callable[..., Any], browsers: Any
) -> None:
    connected(people["outsider"], provider.issuer, "u-1")
    provider.person("u-1")
    mine = browser(proving(browsers, people["developer"]))
    mine.get("/account/single-sign-on/connect/")
    answer = mine.post("/account/single-sign-on/go-on/", {})
    assert answer.status_code == 403 and "connected to an account already" in answer.content.decode()


def test_who_has_no_password_keeps_the_connection(
    people: dict[str, Any], provider: Any, browser: Callable[..., Any], browsers: Any
) -> None:
    account = people["outsider"]
    without_password(account)
    connected(account, provider.issuer, "u-1")
    answer = browser(browsers("outsider")).post("/account/single-sign-on/disconnect/", {})
    assert answer.status_code == 403 and ExternalIdentity.objects.exists()


def test_second_factors_of_who_has_only_the_provider_are_changed_after_a_proof_there(
    people: dict[str, Any], provider: Any, browser: Callable[..., Any]
) -> None:
    account = people["outsider"]
    without_password(account)
    connected(account, provider.issuer, "u-1")
    provider.person("u-1")
    mine = browser()
    mine.get("/account/single-sign-on/")
    answer = mine.get("/account/mfa/totp/activate/")
    assert "You have proved who you are" in answer.content.decode()
    answer = mine.post("/account/single-sign-on/go-on/", {"next": "/account/mfa/totp/activate/"})
    assert answer.wsgi_request.path == "/account/mfa/totp/activate/" and answer.status_code == 200


@pytest.mark.parametrize("altered", ["state", "code", "iss", "error", "nothing", "purpose"])
def test_an_answer_that_was_not_asked_for_signs_nobody_in(
    people: dict[str, Any], provider: Any, browser: Callable[..., Any], altered: str
) -> None:
    connected(people["outsider"], provider.issuer, "u-1")
    provider.person("u-1")
    visitor = browser()
    begun = visitor.client.get("/account/single-sign-on/")
    answer = visitor.elsewhere.get(begun.headers["location"])
    while answer.next_request is not None and answer.next_request.url.host != "testserver":
        answer = visitor.elsewhere.send(answer.next_request)
    given = dict(answer.next_request.url.params)
    assert {"state", "code", "iss"} <= given.keys()
    back = "/account/single-sign-on/return/"
    if altered == "purpose":
        visitor.client.get("/account/single-sign-on/")
        assert visitor.client.get(back, given).status_code == 403, "the browser went again, for something else"
        return
    if altered == "nothing":
        assert browser().client.get(back, given).status_code == 403, "another browser"
        assert visitor.client.get(back, given).status_code == 302
        assert visitor.client.get(back, given).status_code == 403, "an answer counts once"
        return
    wrong = given | {altered: "wrong"}
    assert visitor.client.get(back, wrong).status_code == 403 and not signed_in_as(visitor)


def test_without_a_provider_there_is_no_such_page(people: dict[str, Any]) -> None:
    client = Client()
    assert client.get("/account/single-sign-on/").status_code == 404
    assert "single-sign-on" not in client.get("/account/login/").content.decode()
    assert client.get("/account/single-sign-on/return/", {"state": "x"}).status_code == 403


def test_a_provider_that_does_not_answer_is_said(people: dict[str, Any], settings: Any) -> None:
    from config.development.ports import free_port

    settings.OIDC_ISSUER = f"http://127.0.0.1:{free_port()}"
    answer = Client(headers={"accept-language": "en"}).get("/account/single-sign-on/")
    assert answer.status_code == 502 and "does not answer" in answer.content.decode()


def test_who_has_only_the_providers_second_factor_signs_in_with_it(
    people: dict[str, Any], strong: Any, browser: Callable[..., Any]
) -> None:
    """The person takes out of the address, on its way, that the provider is to ask for it."""
    connected(people["outsider"], strong.issuer, "u-1", second_factor=True)
    strong.person("u-1", acr="urn:example:password")
    visitor = browser()
    visitor.takes_out = ("acr_values",)
    answer = visitor.get("/account/single-sign-on/")
    assert answer.status_code == 403 and not signed_in_as(visitor)
    strong.person("u-1", acr="urn:example:mfa")
    visitor.elsewhere.cookies.clear()
    visitor.takes_out = ()
    visitor.get("/account/single-sign-on/")
    assert signed_in_as(visitor) == str(people["outsider"].pk)
