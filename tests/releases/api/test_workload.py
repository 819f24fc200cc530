"""A pipeline calls with what its platform states of it, in place of a stored secret."""

from __future__ import annotations

import base64
import hmac
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from django.test import Client
from joserfc.jwk import ECKey, RSAKey
from joserfc.jwt import encode

from audit.refusals import InvalidInput
from environments.models import Token
from environments.operations.token.issue import issue_token, revoke
from environments.single_sign_on import workload

SUBJECT = "repo:example/shop:environment:production"
AUDIENCE = "https://ringi.example"


class Platform:
    """A platform of pipelines on this machine: it publishes keys and states workloads."""

    def __init__(self) -> None:
        self.keys = [RSAKey.generate_key(2048, {"kid": "one"})]
        self.asked = 0
        self.down = False
        platform = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                platform.asked += 1
                content = {"issuer": platform.issuer, "jwks_uri": f"{platform.issuer}/keys"}
                if self.path == "/keys":
                    content = {"keys": [key.as_dict(private=False) for key in platform.keys]}
                self.send_response(503 if platform.down else 200)
                self.end_headers()
                self.wfile.write(json.dumps(content).encode())

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def states(self, key: Any = None, algorithm: str = "RS256", kid: str = "", **claims: Any) -> str:
        """Return a token of the workload."""
        key = key or self.keys[0]
        moment = int(time.time())
        own = {"iss": self.issuer, "sub": SUBJECT, "aud": AUDIENCE, "iat": moment, "nbf": moment, "exp": moment + 300}
        said = {name: value for name, value in {**own, **claims}.items() if value is not None}
        return encode({"alg": algorithm, "kid": kid or key.kid}, said, key, algorithms=[algorithm])


@pytest.fixture
def platform(settings: Any) -> Iterator[Platform]:
    settings.BASE_URL = f"{AUDIENCE}/"
    workload._known.clear()
    running = Platform()
    yield running
    running.server.shutdown()
    running.server.server_close()


@pytest.fixture
def registered(world: Any, platform: Platform) -> Any:
    """A token of the workload for the CI account."""
    with world.acting_as("administrator"):
        places = (world.environments["development"].pk,)
        token, secret = issue_token(
            world.people["ci"].pk, environments=places, issuer=platform.issuer, subject=SUBJECT, reason="no secret"
        )
    assert secret == ""
    return token


def status(bearer: str) -> int:
    """Return the status of a call with a bearer."""
    return int(Client().get("/api/v1/releases", headers={"authorization": f"Bearer {bearer}"}).status_code)


def test_a_workload_calls_without_a_secret(world: Any, platform: Platform, registered: Any) -> None:
    assert status(platform.states()) == 200
    assert status(platform.states(aud=["other", AUDIENCE])) == 200
    assert platform.asked == 2, "the keys are kept"
    with world.acting_as("administrator"):
        revoke(registered.pk, reason="over")
    assert status(platform.states()) == 401


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": f"{SUBJECT}x"},
        {"sub": SUBJECT.upper()},
        {"sub": None},
        {"aud": "https://other.example"},
        {"aud": None},
        {"exp": 1},
        {"exp": None},
        {"nbf": 4_000_000_000},
        {"iss": "https://other.example"},
        {"exp": "never"},
        {"sub": "a\u0000"},
        {"iss": "a\u0000"},
        {"iss": ["x"]},
    ],
    ids=str,
)
def test_another_statement_is_none(platform: Platform, registered: Any, claims: dict[str, Any]) -> None:
    assert status(platform.states()) == 200
    assert status(platform.states(**claims)) == 401


def test_a_statement_that_the_platform_did_not_sign_is_none(platform: Platform, registered: Any) -> None:
    token = platform.states()
    head, body, signature = token.split(".")
    stranger = RSAKey.generate_key(2048, {"kid": "one"})
    secret_head = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"one"}').rstrip(b"=").decode()
    public = hmac.digest(platform.keys[0].as_pem(private=False), f"{secret_head}.{body}".encode(), "sha256")
    forged = {
        "another key": platform.states(key=stranger),
        "public key as secret": f"{secret_head}.{body}.{base64.urlsafe_b64encode(public).rstrip(b'=').decode()}",
        "no signature": f"{head}.{body}.",
        "no algorithm": f"eyJhbGciOiJub25lIiwia2lkIjoib25lIn0.{body}.",
        "another body": f"{head}.{platform.states(sub='x').split('.')[1]}.{signature}",
        "no token": "a.b.c",
        "long": f"{head}.{body * 60}.{signature}",
    }
    assert status(token) == 200
    assert {name: status(one) for name, one in forged.items()} == dict.fromkeys(forged, 401)


def test_the_digest_of_a_workload_is_no_secret(registered: Any) -> None:
    assert [status(one) for one in (registered.digest, SUBJECT, f"{registered.issuer} {SUBJECT}")] == [401] * 3


def test_a_workload_has_no_secret(world: Any, platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was drawn for its row opens nothing, should it ever be known."""
    secret = "ringi_known"
    monkeypatch.setattr(Token, "fresh", staticmethod(lambda: (secret, Token.digest_of(secret))))
    with world.acting_as("administrator"):
        places = (world.environments["development"].pk,)
        issue_token(world.people["ci"].pk, environments=places, issuer=platform.issuer, subject=SUBJECT)
    assert (status(secret), status(platform.states())) == (401, 200)


def test_new_keys_are_asked_for_at_most_once_a_minute(
    platform: Platform, registered: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = [time.monotonic()]
    monkeypatch.setattr(workload.time, "monotonic", lambda: moment[0])
    assert status(platform.states()) == 200
    platform.keys = [ECKey.generate_key("P-256", {"kid": "two"})]
    asked = platform.asked
    assert [status(platform.states(algorithm="ES256")) for _n in range(3)] == [401] * 3
    assert platform.asked == asked
    moment[0] += 61
    assert status(platform.states(algorithm="ES256")) == 200
    moment[0] += 3601
    platform.down = True
    asked = platform.asked
    assert [status(platform.states(algorithm="ES256")) for _n in range(3)] == [401] * 3
    assert platform.asked == asked + 1, "one that does not answer is not asked again at once"


def test_an_unknown_key_does_not_keep_out_a_known_one(
    platform: Platform, registered: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stranger names the issuer and a key of their own while the issuer does not answer."""
    moment = [time.monotonic()]
    monkeypatch.setattr(workload.time, "monotonic", lambda: moment[0])
    assert status(platform.states()) == 200
    moment[0] += 61
    platform.down = True
    stranger = RSAKey.generate_key(2048, {"kid": "other"})
    assert status(platform.states(key=stranger)) == 401
    assert status(platform.states()) == 200


def test_a_stranger_never_makes_ringi_ask_another_server(platform: Platform, registered: Any) -> None:
    other = Platform()
    assert status(other.states()) == 401 and other.asked == 0
    other.server.shutdown()
    other.server.server_close()


@pytest.mark.parametrize(
    ("issuer", "subject"),
    [
        ("https://git.example", ""),
        ("", SUBJECT),
        ("http://git.example", SUBJECT),
        ("https://u@git.example", SUBJECT),
        ("https://git.example?x", SUBJECT),
        ("https://[x", SUBJECT),
        ("https://git.example", "repo:example/*"),
    ],
)
def test_a_workload_is_named_exactly(world: Any, issuer: str, subject: str) -> None:
    with world.acting_as("administrator"), pytest.raises(InvalidInput, match="exact subject"):
        issue_token(world.people["ci"].pk, issuer=issuer, subject=subject)


def test_a_workload_has_one_token_at_a_time(world: Any, platform: Platform, registered: Any) -> None:
    with world.acting_as("administrator"), pytest.raises(InvalidInput, match="has a token already"):
        issue_token(world.people["ci"].pk, issuer=platform.issuer, subject=SUBJECT)
