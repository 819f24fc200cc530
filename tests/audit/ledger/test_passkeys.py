"""What a passkey signed, made here with a key of our own: verification finds each event that says so falsely."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from allauth.core.context import request_context
from allauth.mfa.webauthn.internal import auth
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from django.test import RequestFactory
from fido2.cose import ES256

from audit import export, signatures
from audit.actor import acting, current
from audit.ledger.chain import BROKEN, HOLDS, UNKNOWN, Finding, verify
from audit.ledger.checkpoint import LedgerSigner
from audit.ledger.note import PublicKey
from audit.models import LedgerEntry
from audit.offline import ringi_verify
from audit.offline.ringi_verify import content_of, from_base64url, signing_challenge, to_base64url
from audit.operation import operation, record_event
from audit.refusals import SignatureRequired
from environments.models import Account
from environments.passkeys import signed
from tests.conftest import sign_ledger

DIGEST, OTHER = "a" * 64, "b" * 64
SITE = "ringi.example"


def added(account: int, private: EllipticCurvePrivateKey | None) -> None:
    numbers = private.public_key().public_numbers() if private else None
    key = {"kty": "", "alg": "-35"}
    if numbers:
        key = {"kty": "EC", "crv": "P-256"}
        key |= {name: to_base64url(getattr(numbers, name).to_bytes(32, "big")) for name in ("x", "y")}
    record_event(
        "account:add_passkey", object=f"environments.Account:{account}", passkey=7, credential="Y3I", site=SITE, key=key
    )


def answer(
    private: EllipticCurvePrivateKey,
    *digests: str,
    operation: str = "test:sign",
    flags: int = 5,
    site: str = SITE,
    kind: str = "webauthn.get",
) -> dict[str, Any]:
    """Return what a browser and a passkey answer when they are asked to sign these digests for an operation."""
    asked = {"nonce": "00" * 16, "contents": [content_of(operation, digest) for digest in digests]}
    challenge = to_base64url(signing_challenge(str(asked["nonce"]), asked["contents"]))
    client = json.dumps({"type": kind, "challenge": challenge, "origin": f"https://{site}"}).encode()
    data = sha256(site.encode()).digest() + bytes([flags]) + bytes(4)
    signature = private.sign(data + sha256(client).digest(), ECDSA(SHA256()))
    raw = {"client_data": client, "authenticator_data": data, "signature": signature}
    return {**asked, **{name: to_base64url(part) for name, part in raw.items()}, "credential": "Y3I"}


def signs(assertion: dict[str, Any], digest: str = DIGEST) -> None:
    with acting(replace(current(), assertion=assertion, method="webauthn")), operation("test:sign", sign=True) as op:
        op.signature(digest)


@pytest.fixture(autouse=True)
def unheld(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one who can write events, and has no passkey."""
    monkeypatch.setattr(signatures, "_assertion_checks", [])


@pytest.fixture
def result(database: str, tmp_path: Path) -> Callable[[], tuple[int, int]]:
    """Return a function that signs and verifies; it returns the exit status and the number of the first fault."""
    signer = LedgerSigner(tmp_path / "ledger_signer")

    def look() -> tuple[int, int]:
        sign_ledger(signer)
        with psycopg.connect(database, autocommit=True) as own:
            report = verify(own, key=PublicKey.parse(str(signer.public)))
            lines = list(export.lines(own, signer.public))
        offline, place = HOLDS, 0
        try:
            ringi_verify.verify(lines, [], [ringi_verify.parse_key(str(signer.public))])
        except ringi_verify.Broken as broken:
            offline, place = BROKEN, broken.number
        except ringi_verify.Inconclusive:
            offline = UNKNOWN
        found = report.exit_status, report.finding.number if report.finding else 0
        assert found == (offline, place), "the product and the offline verifier say the same"
        return found

    return look


def test_an_operation_that_a_passkey_of_the_actor_signed_holds(acting_as: Any, result: Callable[[], Any]) -> None:
    private = generate_private_key(SECP256R1())
    with acting_as("committee_a") as actor:
        added(actor.account_id, private)
        signs(answer(private, OTHER, DIGEST))
    assert result() == (HOLDS, 0)


@pytest.mark.parametrize(
    "how", [{"flags": 1}, {"flags": 4}, {"site": "elsewhere.example"}, {"kind": "webauthn.create"}]
)
def test_what_the_key_answered_to_something_else_is_found(
    acting_as: Any, result: Callable[[], Any], how: dict[str, Any]
) -> None:
    private = generate_private_key(SECP256R1())
    with acting_as("committee_a") as actor:
        added(actor.account_id, private)
        signs(answer(private, DIGEST, **how))
    assert result() == (BROKEN, LedgerEntry.objects.count())


def test_what_a_key_signed_for_another_operation_is_found(acting_as: Any, result: Callable[[], Any]) -> None:
    """A rejection has the digest of an approval: the key signs which of them it is."""
    private = generate_private_key(SECP256R1())
    with acting_as("committee_a") as actor:
        added(actor.account_id, private)
        given = answer(private, DIGEST, operation="test:refuse")
        with pytest.raises(SignatureRequired) as asked:
            signs(given)
        assert asked.value.contents == (content_of("test:sign", DIGEST),)
        signs(given | {"contents": [content_of("test:sign", DIGEST)]})  # what the key did not sign
    assert result() == (BROKEN, LedgerEntry.objects.count())


def test_behind_an_accepted_fault_the_next_one_is_found(database: str, acting_as: Any, tmp_path: Path) -> None:
    """Two people have accepted the first; what comes later is verified as ever."""
    key, other = generate_private_key(SECP256R1()), generate_private_key(SECP256R1())
    signer = LedgerSigner(tmp_path / "ledger_signer")

    def look(*accepted: Finding) -> Any:
        sign_ledger(signer)
        with psycopg.connect(database, autocommit=True) as own:
            return verify(own, key=PublicKey.parse(str(signer.public)), accepted=accepted)

    with acting_as("committee_a") as actor:
        added(actor.account_id, key)
        signs(answer(other, DIGEST))
        first = look().finding
        signs(answer(key, DIGEST))
        report = look(first)
        assert (report.finding, report.accepted, report.exit_status) == (None, [first], HOLDS)
        assert report.last == LedgerEntry.objects.count(), "it was verified to the end"
        signs(answer(other, DIGEST))
        last = LedgerEntry.objects.count() + 1
        report = look(first)
    assert report.finding.number == last and report.accepted == [first]


@pytest.fixture
def requested() -> Iterator[None]:
    """Within a request, which says whose site it is."""
    with request_context(RequestFactory().get("/")):
        yield


def test_what_ringi_takes_from_a_key_is_what_a_verifier_finds(requested: None) -> None:
    private = generate_private_key(SECP256R1())
    site, content = auth.get_server().rp.id, content_of("test:sign", DIGEST)
    public = ES256.from_cryptography_key(private.public_key())
    known = SimpleNamespace(credential_id=b"cr", public_key=public)
    passkey: Any = SimpleNamespace(
        wrap=lambda: SimpleNamespace(authenticator_data=SimpleNamespace(credential_data=known))
    )
    good = answer(private, DIGEST, site=site)
    twice = good | {
        "client_data": to_base64url(b'{"type": "webauthn.create", ' + from_base64url(good["client_data"])[1:])
    }
    wrong = [
        answer(private, DIGEST, site=site, flags=1),
        answer(private, DIGEST, site=site, kind="webauthn.create"),
        answer(private, DIGEST, site="elsewhere.example"),
        answer(private, DIGEST, site=site, operation="test:refuse"),
        answer(generate_private_key(SECP256R1()), DIGEST, site=site),
        answer(private, OTHER, site=site) | {"contents": good["contents"]},
        good | {"credential": "eA"},
        twice,
        good | {"nonce": "11" * 16},
    ]
    assert signed(good, content, passkey)
    assert [signed(one, content, passkey) for one in wrong] == [False] * len(wrong)
    assert {kind.alg for kind in auth.get_server().allowed_algorithms} == {-7, -8, -257}


def test_a_signature_without_a_digest_is_bound_to_its_operation_and_row(acting_as: Any, people: Any) -> None:
    account, other = people["developer"], people["tester"]

    def sign(assertion: dict[str, Any], about: Any) -> None:
        with acting(replace(current(), assertion=assertion, method="webauthn")):
            with operation("test:sign", (Account, about.pk), sign=True):
                pass

    with acting_as("committee_a"):
        with pytest.raises(SignatureRequired) as needed:
            sign({"contents": [content_of("test:sign", DIGEST)]}, account)
        assert needed.value.contents == (f"test:sign environments.Account:{account.pk}",)
        sign({"contents": list(needed.value.contents)}, account)
        with pytest.raises(SignatureRequired):
            sign({"contents": list(needed.value.contents)}, other)


def test_a_signature_without_a_digest_counts_for_the_submitted_values_only(acting_as: Any, people: Any) -> None:
    account = people["developer"]

    def sign(assertion: dict[str, Any], submitted: str) -> None:
        with acting(replace(current(), assertion=assertion, method="webauthn", submitted=submitted)):
            with operation("test:sign", (Account, account.pk), sign=True):
                pass

    with acting_as("committee_a"):
        with pytest.raises(SignatureRequired) as needed:
            sign({"contents": []}, DIGEST)
        sign({"contents": list(needed.value.contents)}, DIGEST)
        with pytest.raises(SignatureRequired):
            sign({"contents": list(needed.value.contents)}, OTHER)


def test_what_another_key_signed_is_found(acting_as: Any, result: Callable[[], Any]) -> None:
    with acting_as("committee_a") as actor:
        added(actor.account_id, generate_private_key(SECP256R1()))
        signs(answer(generate_private_key(SECP256R1()), DIGEST))
    assert result() == (BROKEN, LedgerEntry.objects.count())


def test_what_somebody_elses_key_signed_is_found(
    people: dict[str, Any], acting_as: Any, result: Callable[[], Any]
) -> None:
    private = generate_private_key(SECP256R1())
    with acting_as("committee_a"):
        added(people["committee_b"].pk, private)
        signs(answer(private, DIGEST))
    assert result() == (BROKEN, LedgerEntry.objects.count())


def test_a_passkey_of_an_unknown_type_is_inconclusive(acting_as: Any, result: Callable[[], Any]) -> None:
    with acting_as("committee_a") as actor:
        added(actor.account_id, None)
        signs(answer(generate_private_key(SECP256R1()), DIGEST))
    assert result() == (UNKNOWN, 0)


def test_a_passkey_signs_what_it_was_asked_and_nothing_else(acting_as: Any) -> None:
    """The person is asked again, with what they are about to sign now."""
    with acting_as("committee_a"), pytest.raises(SignatureRequired) as needed:
        signs(answer(generate_private_key(SECP256R1()), OTHER))
    assert needed.value.contents == (content_of("test:sign", DIGEST),)
