"""A signature by signing in again at the provider: what it stated is kept, and anybody with an export can check it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from allauth.mfa.models import Authenticator
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from django.db import connection
from joserfc import jwt
from joserfc.jwk import import_key

from audit import signatures
from audit.actor import acting
from audit.clock import database_time
from audit.ledger.chain import HOLDS
from audit.ledger.link import link_pending
from audit.models import Event, LedgerEntry
from audit.offline.ringi_verify import Broken, Passkeys, content_of, from_base64url, signing_challenge, to_base64url
from audit.operation import operation
from audit.refusals import SignatureRequired
from environments import signing
from environments.models import Account, Environment, ExternalIdentity, ProviderKey
from environments.operations.account.connect import connect, disconnect, keep_key
from tests.audit.ledger.test_passkeys import result, signs
from tests.environments.single_sign_on.test_sign_in import connected, signed_in_as, without_password
from tests.releases.conftest import sample_repository, world, world_template
from tests.releases.gates.asking import COMMAND

__all__ = ["result", "sample_repository", "world", "world_template"]
MFA = "urn:example:mfa"
PUBLIC = ("kty", "crv", "x", "y", "n", "e")


@pytest.fixture
def signer(people: dict[str, Any], strong: Any, browser: Callable[..., Any]) -> Any:
    """An administrator without a password here, signed in at the provider."""
    account = people["administrator"]
    without_password(account)
    connected(account, strong.issuer, "u-1", second_factor=True)
    strong.person("u-1", acr=MFA)
    mine = browser()
    mine.get("/account/single-sign-on/")
    assert signed_in_as(mine) == str(account.pk)
    return mine


def require_two_factor(mine: Any, demanded: str = "yes") -> Any:
    production = Environment.objects.get(slug="production")
    path = f"/admin/operation/environment/require_two_factor/{production.pk}/"
    return path, mine.post(path, {"demanded": demanded, "reason": "policy"})


def test_a_signature_is_made_by_signing_in_again(
    signer: Any, strong: Any, result: Callable[[], tuple[int, int]], people: dict[str, Any]
) -> None:
    path, asked = require_two_factor(signer)
    page = asked.content.decode()
    assert "Set two-factor requirement: Production" in page
    assert not Environment.objects.get(slug="production").requires_two_factor, "coming back alone signs nothing"
    done = signer.post("/account/single-sign-on/go-on/", {"next": path})
    assert done.status_code == 200 and Environment.objects.get(slug="production").requires_two_factor
    event = Event.objects.get(operation="environment:require_two_factor", kind="operation")
    assert event.contents["after"]["signature"]["method"] == "oidc_mfa"
    assert ProviderKey.objects.count() == 1
    assert result() == (HOLDS, 0)


def test_a_proof_counts_once(signer: Any) -> None:
    path, _asked = require_two_factor(signer)
    signer.post("/account/single-sign-on/go-on/", {"next": path})
    assert signer.post("/account/single-sign-on/go-on/", {"next": path}).status_code == 403
    _path, asked = require_two_factor(signer, "no")
    assert "You have proved who you are" in asked.content.decode(), "the next signature takes a proof of its own"
    assert Environment.objects.get(slug="production").requires_two_factor


def test_another_person_signs_nothing(signer: Any, strong: Any) -> None:
    strong.person("u-2", acr=MFA)
    signer.elsewhere.cookies.clear()
    path, asked = require_two_factor(signer)
    assert asked.status_code == 403 and "as another person" in asked.content.decode()
    assert signer.post("/account/single-sign-on/go-on/", {"next": path}).status_code == 403
    assert not Environment.objects.get(slug="production").requires_two_factor


def test_a_session_at_the_provider_signs_nothing(signer: Any, strong: Any) -> None:
    """The person takes out of the address, on its way, that they are to be asked again."""
    strong.person("u-1", acr=MFA, ago=600)
    signer.elsewhere.cookies.clear()
    signer.client.logout()
    signer.get("/account/single-sign-on/")
    signer.takes_out = ("max_age", "prompt")
    path, asked = require_two_factor(signer)
    assert asked.status_code == 403 and "did not ask who you are" in asked.content.decode()
    assert signer.post("/account/single-sign-on/go-on/", {"next": path}).status_code == 403
    assert not Environment.objects.get(slug="production").requires_two_factor


def test_where_a_second_factor_is_required_the_provider_must_ask_for_it(signer: Any, strong: Any) -> None:
    path, _asked = require_two_factor(signer)
    signer.post("/account/single-sign-on/go-on/", {"next": path})
    strong.person("u-1", acr="urn:example:password")
    session = signer.client.session
    session["account_authentication_methods"] = []
    session.save()
    path, _asked = require_two_factor(signer, "no")
    asked = signer.post("/account/single-sign-on/go-on/", {"next": path})
    assert "did not ask for two-factor authentication" in asked.content.decode()


def _other_nonce(event: dict[str, Any]) -> None:
    event["after"]["assertion"]["nonce"] = "00" * 16


def _other_digest(event: dict[str, Any]) -> None:
    event["after"]["signature"]["digest"] = "0" * 64


def _other_digests(event: dict[str, Any]) -> None:
    event["after"]["signature"]["digest"] = "0" * 64
    event["after"]["assertion"]["contents"] = [content_of(event["operation"], "0" * 64)]


def _other_operation(event: dict[str, Any]) -> None:
    event["operation"] = "approval:reject"


def _other_person(event: dict[str, Any]) -> None:
    event["actor"] = "person:1:somebody"


def _other_claims(event: dict[str, Any]) -> None:
    head, body, made = event["after"]["assertion"]["id_token"].split(".")
    claims = json.loads(from_base64url(body)) | {"sub": "u-2"}
    event["after"]["assertion"]["id_token"] = f"{head}.{to_base64url(json.dumps(claims).encode())}.{made}"


def _unsigned(event: dict[str, Any]) -> None:
    _head, body, _made = event["after"]["assertion"]["id_token"].split(".")
    event["after"]["assertion"]["id_token"] = f"{to_base64url(b'{"alg":"none"}')}.{body}."


FORGERIES = (_other_nonce, _other_digest, _other_digests, _other_operation, _other_person, _other_claims, _unsigned)


def test_an_approval_keeps_what_the_provider_stated(
    world: Any, people: dict[str, Any], strong: Any, browser: Callable[..., Any]
) -> None:
    _release, approval_request = world.submitted()
    account = people["committee_a"]
    without_password(account)
    connected(account, strong.issuer, "u-5", second_factor=True)
    strong.person("u-5", acr=MFA)
    mine = browser()
    mine.get("/account/single-sign-on/")
    path = f"/admin/operation/approval/approve/{approval_request.pk}/"
    asked = mine.post(path, {"digest": approval_request.digest, "comment": "read"})
    assert "You have proved who you are" in asked.content.decode()
    assert not approval_request.decisions.exists()
    mine.post("/account/single-sign-on/go-on/", {"next": path})
    assert approval_request.decisions.get().account == account
    link_pending(connection)
    links = LedgerEntry.objects.order_by("number").select_related("event")
    events = [link.event.contents for link in links]
    (place,) = [number for number, event in enumerate(events) if '"assertion"' in json.dumps(event["after"])]
    after = events[place]["after"]
    assert after["assertion"]["contents"] == [f"approval:approve {approval_request.digest}"]
    assert after["signature"]["digest"] == approval_request.digest

    def heard(last: dict[str, Any]) -> None:
        known = Passkeys()
        for number, event in enumerate([*events[:place], last]):
            known.hear(number, event)

    heard(events[place])
    for forge in FORGERIES:
        forged = deepcopy(events[place])
        forge(forged)
        with pytest.raises(Broken) as broken:
            heard(forged)
        assert broken.value.number == place


@pytest.mark.parametrize("kind", ["RS256", "ES256", "EdDSA"])
@pytest.mark.parametrize("ended", [False, True])
def test_each_algorithm_is_verified_and_an_ended_connection_signs_nothing(
    acting_as: Any, result: Callable[[], tuple[int, int]], monkeypatch: pytest.MonkeyPatch, kind: str, ended: bool
) -> None:
    monkeypatch.setattr(signatures, "_assertion_checks", [])  # what somebody writes who can write events
    private: Any
    if kind == "RS256":
        private = rsa.generate_private_key(65537, 2048)
    elif kind == "ES256":
        private = ec.generate_private_key(ec.SECP256R1())
    else:
        private = ed25519.Ed25519PrivateKey.generate()
    key = import_key(private, {"RS256": "RSA", "ES256": "EC", "EdDSA": "OKP"}[kind])
    issuer, digest = "https://id.example", "a" * 64
    with acting_as("committee_a") as actor:
        connect(actor.account_id, issuer=issuer, subject="u-1", second_factor=True)
        public = {part: str(value) for part, value in key.as_dict(private=False).items() if part in PUBLIC}
        keep_key(issuer=issuer, client="ringi", key_id="k", key=public)
        asked = {"nonce": "00" * 16, "contents": [content_of("test:sign", digest)]}
        claims = {"iss": issuer, "sub": "u-1", "aud": "ringi", "iat": int(time.time())}
        claims["nonce"] = to_base64url(signing_challenge(str(asked["nonce"]), asked["contents"]))
        token = jwt.encode({"alg": kind}, claims, key, algorithms=[kind])
        if ended:
            disconnect(actor.account_id)
        signs({**asked, "id_token": token}, digest)
    assert (result()[0] == HOLDS) is not ended
    assert Account.objects.filter(external_identities__isnull=False).exists() is not ended
    assert ExternalIdentity.objects.exists() is not ended


@pytest.mark.parametrize("wrong", [{"aud": "wiki"}, {"azp": "wiki"}, {"iat": 1}, {"iss": "https://other.example"}])
def test_a_statement_to_another_client_or_of_another_time_is_none(
    acting_as: Any, result: Callable[[], tuple[int, int]], monkeypatch: pytest.MonkeyPatch, wrong: dict[str, Any]
) -> None:
    monkeypatch.setattr(signatures, "_assertion_checks", [])
    private = ec.generate_private_key(ec.SECP256R1())
    key, issuer, digest = import_key(private, "EC"), "https://id.example", "a" * 64
    with acting_as("committee_a") as actor:
        connect(actor.account_id, issuer=issuer, subject="u-1", second_factor=True)
        public = {part: str(value) for part, value in key.as_dict(private=False).items() if part in PUBLIC}
        keep_key(issuer=issuer, client="ringi", key_id="k", key=public)
        asked = {"nonce": "00" * 16, "contents": [content_of("test:sign", digest)]}
        claims = {"iss": issuer, "sub": "u-1", "aud": ["ringi"], "azp": "ringi", "iat": int(time.time())}
        claims["nonce"] = to_base64url(signing_challenge(str(asked["nonce"]), asked["contents"]))
        signs({**asked, "id_token": jwt.encode({"alg": "ES256"}, claims | wrong, key, algorithms=["ES256"])}, digest)
    assert result()[0] != HOLDS


@pytest.mark.parametrize("age", [901, 899, 600, -600, -899])
def test_a_statement_of_the_last_moment_breaks_no_ledger(
    acting_as: Any, result: Callable[[], tuple[int, int]], monkeypatch: pytest.MonkeyPatch, settings: Any, age: int
) -> None:
    """It is checked before it is written; a person who waits for the last second would have it refused by verifiers."""
    settings.OIDC_ISSUER = "https://id.example"
    key, digest = import_key(ec.generate_private_key(ec.SECP256R1()), "EC"), "a" * 64
    add_digest = signatures.add_digest

    def lasts(op: Any, reason: str) -> None:
        while database_time() < op.at + timedelta(seconds=2):
            pass
        add_digest(op, reason)

    monkeypatch.setattr(signatures, "add_digest", lasts)
    with acting_as("committee_a") as actor:
        connect(actor.account_id, issuer=settings.OIDC_ISSUER, subject="u-1", second_factor=True)
        public = {part: str(value) for part, value in key.as_dict(private=False).items() if part in PUBLIC}
        keep_key(issuer=settings.OIDC_ISSUER, client="ringi", key_id="k", key=public)
        asked = {"nonce": "00" * 16, "contents": [content_of("test:sign", digest)]}
        iat = int(database_time().timestamp()) - age
        claims = {"iss": settings.OIDC_ISSUER, "sub": "u-1", "aud": "ringi", "iat": iat}
        claims["nonce"] = to_base64url(signing_challenge(str(asked["nonce"]), asked["contents"]))
        given = {**asked, "id_token": jwt.encode({"alg": "ES256"}, claims, key, algorithms=["ES256"])}
        if abs(age) == 600:
            signs(given, digest)
        else:
            with suppress(SignatureRequired):
                signs(given, digest)
    assert result()[0] == HOLDS


@pytest.mark.parametrize("as_another", [False, True])
def test_who_disconnects_before_going_on_signs_nothing(
    world: Any, people: dict[str, Any], strong: Any, browser: Callable[..., Any], as_another: bool
) -> None:
    """Neither does who has connected as another person since."""
    _release, approval_request = world.submitted()
    account = people["committee_a"]
    connected(account, strong.issuer, "u-5", second_factor=True)
    strong.person("u-5", acr=MFA)
    mine = browser()
    mine.get("/account/single-sign-on/")
    path = f"/admin/operation/approval/approve/{approval_request.pk}/"
    mine.client.post(path, {"digest": approval_request.digest, "comment": "read"})
    mine.get(f"/account/single-sign-on/prove/?next={path}")
    mine.client.post("/account/single-sign-on/disconnect/")
    if as_another:
        connected(account, strong.issuer, "u-6", second_factor=True)
    mine.client.post("/account/single-sign-on/go-on/", {"next": path})
    assert not approval_request.decisions.exists()


@pytest.mark.parametrize("table", ["environments_externalidentity", "mfa_authenticator"])
def test_what_signs_lasts_until_the_signature_is_written(
    database: str, acting_as: Any, people: Any, monkeypatch: pytest.MonkeyPatch, settings: Any, table: str
) -> None:
    """The ledger has its end behind the signature, or a verifier would find that nothing signed it."""
    settings.OIDC_ISSUER = "https://id.example"
    account, digest = people["committee_a"], "a" * 64
    given: dict[str, Any] = {"contents": [content_of("test:sign", digest)]}
    with acting_as("committee_a"):
        connect(account.pk, issuer=settings.OIDC_ISSUER, subject="u-1", second_factor=True)
    with acting(COMMAND), operation("test:key", (Account, account.pk)):
        Authenticator.objects.create(user=account, type="webauthn", data={})
    monkeypatch.setattr(signing, "signed", lambda *_rest: True)
    monkeypatch.setattr(signing, "provider_stated", lambda _given, _content, _at, persons, _keys: bool(persons))
    given |= {"credential": "Y3I"} if table == "mfa_authenticator" else {"id_token": "of the provider"}
    add_digest, tried = signatures.add_digest, []

    def ends_meanwhile(op: Any, reason: str) -> None:
        with psycopg.connect(database, autocommit=True) as other:
            other.execute("SET lock_timeout = '200ms'")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                other.execute(f"DELETE FROM {table} WHERE true")
        tried.append(op.event)
        add_digest(op, reason)

    monkeypatch.setattr(signatures, "add_digest", ends_meanwhile)
    with acting_as("committee_a"):
        signs(given, digest)
    with acting_as("committee_b"), pytest.raises(SignatureRequired):
        signs(given, digest)
    assert tried == ["test:sign"]


def test_a_used_proof_of_two_factors_does_not_return_with_a_later_one(signer: Any, strong: Any) -> None:
    path, _asked = require_two_factor(signer)
    signer.post("/account/single-sign-on/go-on/", {"next": path})
    strong.person("u-1", acr="urn:example:password")
    path, _asked = require_two_factor(signer, "no")
    signer.post("/account/single-sign-on/go-on/", {"next": path})
    assert Environment.objects.get(slug="production").requires_two_factor
