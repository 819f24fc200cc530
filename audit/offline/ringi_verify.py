#!/usr/bin/env python3
"""Verify a Ringi ledger offline; one file, nothing but the Python standard library (3.9 or newer).

    ringi_verify.py FILE [--checkpoint NOTE]... [--key KEY]... [--witness KEY]...
                         [--time-stamp-ca FILE [--time-stamps FILE]...]

FILE is an export, a part of one, or a file of proofs (JSON Lines), or - for standard input. NOTE is a file with one or
more signed checkpoints kept from earlier; KEY is a public key of the signer (`name+keyid+base64`, or a file with one on
each line), or of a witness, which must have cosigned one of those checkpoints. Exit status: 0 it holds, 1 it is broken
(the first bad number is printed), 2 inconclusive. Without a key or a checkpoint from elsewhere than FILE the best
result is 2, as far as can be seen: the person who made FILE could have made the key in it.

What is checked: leaf = SHA-256(0x00 || event); chain = SHA-256(0x01 || previous chain || leaf), before the
first event 32 zero bytes; numbers 1, 2, 3, ... without a gap; each checkpoint (C2SP tlog-checkpoint,
Ed25519) against the RFC 6962 Merkle tree hash over the leaves; the head at the end. A part begins with the subtrees of
the events before it, so that it leads to the same roots. Of a file of proofs: each event's audit path, and that earlier
checkpoints are beginnings of the later one.

Time stamps (RFC 3161) of checkpoints are verified by the program `openssl`, when the certificates of the authority are
given; without that program the result is 2.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import re
import struct
import subprocess
import sys
from calendar import timegm
from collections.abc import Iterable
from hashlib import sha256, sha512
from pathlib import Path
from tempfile import TemporaryDirectory
from time import gmtime, strftime, strptime, time
from typing import Any, NamedTuple

KEYS = {"operation_id", "operation", "actor", "after", "before", "channel", "id", "kind"}
KEYS |= {"object", "on_behalf", "outcome", "reason", "request", "session_user", "ts", "tx", "v"}

# Edwards curve of Ed25519 (RFC 8032, 5.1), points as extended coordinates (X, Y, Z, T).
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)


RENEWAL, ADD_PASSKEY, PASSKEY = "audit:renew_key", "account:add_passkey", "mfa.Authenticator:"
IDENTITY, PROVIDER_KEY = "environments.ExternalIdentity:", "environments.ProviderKey:"
CONNECT, KEEP_KEY = ("account:connect", "account:enrol"), "account:keep_provider_key"
KINDS = ("row", "operation", "refusal", "access")
# The operation of the event that holds a time stamp; seconds between its time and the authority's that are tolerated.
# Seconds by which two clocks may differ, and that a transaction may last.
STAMP, CLOCKS, TRANSACTION = "audit:time_stamp", 300, 3600
SECONDS = "%Y-%m-%dT%H:%M:%S"
MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"


def no_json(name: str) -> None:
    """Refuse NaN and Infinity, which Python reads and JSON has not."""
    raise ValueError(name)


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse an object in which a key stands twice: readers differ about which of the two counts."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


JSON = json.JSONDecoder(parse_constant=no_json, object_pairs_hook=once)
Point = tuple[int, ...]
Key = tuple[str, bytes]
Claim = tuple[int, bytes]


# Of a ZIP: version 4.5; sizes behind the member, names in UTF-8; stored; 1980-01-01; made on Unix, mode 0644.
HEAD = (45, 0x0808, 0, 0, 0x21)
LARGE, MADE, MODE = 0xFFFFFFFF, 0x032D, 0o644 << 16
Entry = tuple[str, int, int, int]  # name, CRC-32, length, place


def local_header(name: str) -> bytes:
    """Return the bytes before a member."""
    raw = name.encode()
    fixed = struct.pack("<4s5H3L2H", b"PK\3\4", *HEAD, 0, LARGE, LARGE, len(raw), 20)
    return fixed + raw + struct.pack("<2H2Q", 1, 16, 0, 0)


def trailer(crc: int, length: int) -> bytes:
    """Return the bytes behind a member."""
    return struct.pack("<4sL2Q", b"PK\7\x08", crc, length, length)


def directory(entries: Iterable[Entry], place: int) -> bytes:
    """Return the bytes behind the last member, which begin at a place."""
    made, count = b"", 0
    for name, crc, length, begin in entries:
        raw, large = name.encode(), [value for value in (length, length, begin) if value >= LARGE]
        extra = struct.pack(f"<2H{len(large)}Q", 1, 8 * len(large), *large) if large else b""
        sizes = (crc, min(length, LARGE), min(length, LARGE), len(raw), len(extra), 0, 0, 0, MODE, min(begin, LARGE))
        made += struct.pack("<4s6H3L5H2L", b"PK\1\2", MADE, *HEAD, *sizes) + raw + extra
        count += 1
    ends = place + len(made)
    made += struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, MADE, 45, 0, 0, count, count, ends - place, place)
    made += struct.pack("<4sLQL", b"PK\6\7", 0, ends, 1)
    many = min(count, 0xFFFF)
    return made + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, many, many, min(ends - place, LARGE), min(place, LARGE), 0)


class Broken(Exception):
    """The export contradicts itself or a checkpoint."""

    def __init__(self, number: int, what: str) -> None:
        self.number, self.what = number, what
        super().__init__(what)


class Inconclusive(Exception):
    """Something needed for a result is missing or unreadable."""


def add(a: Point, b: Point) -> Point:
    """Add two points of the curve."""
    e, f = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    g, h = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    i, j, k, m = f - e, h - g, h + g, f + e
    return (i * j % P, k * m % P, j * k % P, i * m % P)


def sum_of(s: int, a: Point, t: int, b: Point) -> Point:
    """Return s a + t b, both found along one row of doublings."""
    both: Point = add(a, b)
    result: Point = (0, 1, 1, 0)
    for bit in range(max(s.bit_length(), t.bit_length()) - 1, -1, -1):
        result = add(result, result)
        one, other = s >> bit & 1, t >> bit & 1
        if one or other:
            result = add(result, both if one and other else a if one else b)
    return result


def point_of(encoded: bytes) -> Point | None:
    """Decode 32 bytes to a point; None when they are none."""
    y = int.from_bytes(encoded, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT_OF_MINUS_ONE % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return (x, y, 1, x * y % P)


# Curve P-256 of the passkeys (FIPS 186-5, SP 800-186): y^2 = x^3 - 3x + b.
P256 = 2**256 - 2**224 + 2**192 + 2**96 - 1
N256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
B256 = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
G256 = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)

BASE_Y = 4 * pow(5, P - 2, P) % P
BASE = point_of(BASE_Y.to_bytes(32, "little")) or ()


def ed25519_verifies(public: bytes, message: bytes, signature: bytes) -> bool:
    """Tell whether a signature of 64 bytes is by the key of 32 bytes (RFC 8032, 5.1.7)."""
    if len(public) != 32 or len(signature) != 64:
        return False
    a, r, s = point_of(public), point_of(signature[:32]), int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= L:
        return False
    challenge = int.from_bytes(sha512(signature[:32] + public + message).digest(), "little") % L
    left, right = sum_of(s, BASE, challenge, (P - a[0], a[1], a[2], P - a[3])), r
    return (left[0] * right[2] - right[0] * left[2]) % P == 0 and (left[1] * right[2] - right[1] * left[2]) % P == 0


def from_base64(text: Any) -> bytes:
    """Decode base64 that is written in the one way: with its padding, and no bits to spare. Raises ValueError."""
    raw = base64.b64decode(text, validate=True)
    if base64.b64encode(raw).decode() != text:
        raise ValueError("this is not how base64 is written")
    return raw


def from_base64url(text: Any) -> bytes:
    """Decode base64url without padding, written in the one way. Raises ValueError."""
    return from_base64(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4))


def to_base64url(raw: bytes) -> str:
    """Encode as base64url without padding."""
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def p256_sum(a: Point | None, b: Point | None) -> Point | None:
    """Add two points (x, y) of P-256 (FIPS 186-5); None is the point at infinity."""
    if a is None or b is None:
        return a or b
    if a[0] == b[0] and (a[1] + b[1]) % P256 == 0:
        return None
    if a == b:
        slope = (3 * a[0] * a[0] - 3) * pow(2 * a[1], -1, P256)
    else:
        slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, P256)
    x = (slope * slope - a[0] - b[0]) % P256
    return x, (slope * (a[0] - x) - a[1]) % P256


def ecdsa_numbers(signature: bytes) -> tuple[int, int]:
    """Return r and s of an ECDSA signature (DER). Raises ValueError or IndexError."""
    half = 4 + signature[3]
    if signature[:1] + signature[2:3] + signature[half : half + 1] != b"\x30\x02\x02":
        raise ValueError("this is no signature of ECDSA")
    if signature[1] != len(signature) - 2 or signature[half + 1] != len(signature) - half - 2:
        raise ValueError("this is no signature of ECDSA")
    return int.from_bytes(signature[4:half], "big"), int.from_bytes(signature[half + 2 :], "big")


def p256_verifies(public: Point, message: bytes, r: int, s: int) -> bool:
    """Tell whether an ECDSA signature over SHA-256 is by a key of P-256."""
    x, y = public
    if not (
        0 < r < N256
        and 0 < s < N256
        and 0 <= x < P256
        and 0 <= y < P256
        and (y * y - x * x * x + 3 * x - B256) % P256 == 0
    ):
        return False
    inverse, digest = pow(s, -1, N256), int.from_bytes(sha256(message).digest(), "big")
    first, second = digest * inverse % N256, r * inverse % N256
    both, found = p256_sum(G256, public), None
    for bit in range(255, -1, -1):
        found = p256_sum(found, found)
        one, other = first >> bit & 1, second >> bit & 1
        if one or other:
            found = p256_sum(found, both if one and other else G256 if one else public)
    return found is not None and found[0] % N256 == r


def jwk_verifies(key: dict[str, str], message: bytes, signature: bytes) -> bool:
    """Tell whether a signature is by a JSON Web Key: EC P-256, OKP Ed25519 or RSA (PKCS #1 v1.5, SHA-256). Raises
    KeyError, ValueError or IndexError.
    """
    numbers = {name: from_base64url(key[name]) for name in ("x", "y", "n", "e") if name in key}
    if key["kty"] == "OKP":
        return ed25519_verifies(numbers["x"], message, signature)
    whole = {name: int.from_bytes(raw, "big") for name, raw in numbers.items()}
    if key["kty"] == "EC":
        return p256_verifies((whole["x"], whole["y"]), message, *ecdsa_numbers(signature))
    head, length = bytes.fromhex("3031300d060960864801650304020105000420"), len(numbers["n"])
    padded = b"\x00\x01" + b"\xff" * (length - 54) + b"\x00" + head + sha256(message).digest()
    return length >= 256 and pow(int.from_bytes(signature, "big"), whole["e"], whole["n"]) == int.from_bytes(
        padded, "big"
    )


def token_verifies(algorithm: str, key: dict[str, str], message: bytes, signature: bytes) -> bool:
    """Tell whether a JSON Web Signature is by a key: RS256, ES256 or EdDSA (RFC 7518, RFC 8037). Raises KeyError,
    ValueError or IndexError.
    """
    if {"RS256": "RSA", "ES256": "EC", "EdDSA": "OKP"}[algorithm] != key["kty"]:
        return False
    if algorithm != "ES256":
        return jwk_verifies(key, message, signature)
    x, y = (int.from_bytes(from_base64url(key[name]), "big") for name in ("x", "y"))
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    return len(signature) == 64 and p256_verifies((x, y), message, r, s)


def signing_challenge(nonce: str, contents: Iterable[str]) -> bytes:
    """Return the 32 bytes that a passkey is asked to sign for these contents, as `content_of` writes them."""
    return sha256("\n".join(("ringi-signature", nonce, *contents)).encode()).digest()


def content_of(operation: str, digest: str) -> str:
    """Return what a passkey signs of an operation: an approval and a rejection have one digest, and are two things."""
    return f"{operation} {digest}"


def passkey_message(given: dict[str, Any], content: str, site: str) -> bytes:
    """Return the bytes that a passkey of a site signed for a content (WebAuthn Level 3, 7.2); empty where it was asked
    for another one, or did not verify the person. Raises ValueError, KeyError, IndexError or TypeError.
    """
    text, data = from_base64url(given["client_data"]), from_base64url(given["authenticator_data"])
    client = JSON.decode(text.decode())
    challenge = to_base64url(signing_challenge(given["nonce"], given["contents"]))
    fits = content in given["contents"] and client["type"] == "webauthn.get" and client["challenge"] == challenge
    # The person was present (bit 0) and verified by the key (bit 2).
    there = sha256(site.encode()).digest() == data[:32] and data[32] & 5 == 5
    return data + sha256(text).digest() if fits and there else b""


def provider_stated(
    given: dict[str, Any], content: str, at: str, persons: Iterable[tuple[str, str]], known: Iterable[dict[str, Any]]
) -> bool:
    """Tell whether a provider stated to Ringi, in the quarter of an hour before a time, that a person signed in for a
    content (OpenID Connect Core 1.0, section 2). persons: issuer and subject of each that counts. known: the keys of
    providers, with `issuer`, `client` and `key`. Raises ValueError, KeyError, IndexError or TypeError.
    """
    head, body, signature = given["id_token"].split(".")
    claims = JSON.decode(from_base64url(body).decode())
    challenge = to_base64url(signing_challenge(given["nonce"], given["contents"]))
    fits = content in given["contents"] and claims["nonce"] == challenge
    if not fits or (claims["iss"], claims["sub"]) not in persons:
        return False
    moment = timegm(strptime(at[:19], "%Y-%m-%dT%H:%M:%S"))
    if abs(moment - claims["iat"]) > 900:
        return False
    meant = [claims["aud"]] if isinstance(claims["aud"], str) else claims["aud"]
    its_own = [row for row in known if row["issuer"] == claims["iss"] and row["client"] in meant]
    keys = [row["key"] for row in its_own if claims.get("azp", row["client"]) == row["client"]]
    message, made = f"{head}.{body}".encode(), from_base64url(signature)
    algorithm = JSON.decode(from_base64url(head).decode())["alg"]
    return any(token_verifies(algorithm, key, message, made) for key in keys)


def from_hex(text: Any) -> bytes:
    """Decode lower-case hex. Raises ValueError or TypeError."""
    raw = bytes.fromhex(text)
    if raw.hex() != text:
        raise ValueError("this is not how hex is written")
    return raw


def key_id(name: str, public: bytes, kind: bytes = b"\x01") -> bytes:
    """Return the four bytes by which a note names its key; type 1 signs notes, type 4 cosigns them."""
    return sha256(name.encode() + b"\n" + kind + public).digest()[:4]


def parse_key(text: str, kind: bytes = b"\x01") -> Key:
    """Read `name+keyid+base64`; return name and key."""
    try:
        name, identity, encoded = text.strip().split("+", 2)
        raw = from_base64(encoded)
    except ValueError:
        raise Inconclusive("the public key is not of the form name+keyid+base64")
    if raw[:1] != kind or len(raw) != 33 or key_id(name, raw[1:], kind).hex() != identity:
        raise Inconclusive("the public key is not an Ed25519 key of this kind or its id is wrong")
    return name, raw[1:]


def signatures_of(note: str) -> list[tuple[str, bytes]]:
    """Return name and bytes (key id, signature) of each signature line; raise ValueError when one is malformed."""
    found = []
    for line in note.rpartition("\n\n")[2][:-1].split("\n"):
        words = line.split(" ")
        if len(words) != 3 or words[0] != "\u2014" or not words[1]:
            raise ValueError("a signature line of the note has not the form of one")
        found.append((words[1], from_base64(words[2])))
        if len(found[-1][1]) < 5:
            raise ValueError("a signature line of the note holds no signature")
    return found


def parse_note(note: str) -> Claim:
    """Return size and root that a checkpoint claims; raise ValueError when it is malformed."""
    text, blank, _signatures = note.rpartition("\n\n")
    lines = text.split("\n")
    if not blank or not note.endswith("\n") or len(lines) < 3 or not all(lines):
        raise ValueError("the note has not the form of a checkpoint")
    if len(lines[1]) > 19:
        raise ValueError("size or root of the note is malformed")
    size, root = int(lines[1]), from_base64(lines[2])
    if str(size) != lines[1] or size < 0 or len(root) != 32:
        raise ValueError("size or root of the note is malformed")
    signatures_of(note)
    return size, root


def parse_earlier(note: str) -> Claim:
    """Return what a checkpoint of the reader's own claims."""
    try:
        return parse_note(note)
    except ValueError as fault:
        raise Inconclusive(f"an earlier checkpoint: {fault}")


def signed_by(note: str, keys: Iterable[Key]) -> bool:
    """Tell whether one of the keys signed a note; raise ValueError when a signature by one of them is false."""
    text = note.rpartition("\n\n")[0] + "\n"
    by_id = {(name, key_id(name, public)): public for name, public in keys}
    signed = False
    for name, raw in signatures_of(note):
        public = by_id.get((name, raw[:4]))
        if public is not None:
            if not ed25519_verifies(public, text.encode(), raw[4:]):
                raise ValueError("the signature does not verify")
            signed = True
    return signed


def cosigned_by(note: str, witness: Key) -> bool:
    """Tell whether a witness cosigned a note (C2SP tlog-cosignature); raise ValueError when its line is false."""
    text = note.rpartition("\n\n")[0] + "\n"
    for name, raw in signatures_of(note):
        if (name, raw[:4]) == (witness[0], key_id(*witness, b"\x04")):
            moment = int.from_bytes(raw[4:12], "big")
            if not ed25519_verifies(witness[1], f"cosignature/v1\ntime {moment}\n{text}".encode(), raw[12:]):
                raise ValueError(f"the cosignature of {name} does not verify")
            return True
    return False


class Stamp(NamedTuple):
    """A time stamp of the checkpoint of `size` events. number and ts: of the event that holds it; 0 and "" of one that
    the reader kept, whose note has the SHA-256 `digest`.
    """

    number: int
    ts: str
    size: int
    time: str
    token: bytes
    digest: str = ""


def stamp_of(number: int, event: dict[str, Any]) -> Stamp | None:
    """Return the time stamp that an event holds; None where it holds none. Raises Broken for one that is malformed."""
    if (event["operation"], event["kind"], event["outcome"]) != (STAMP, "access", "done"):
        return None
    try:
        after = event["after"]
        stamp = Stamp(number, event["ts"], after["size"], after["time"], from_base64(after["token"]))
        if type(stamp.size) is not int or not 0 < stamp.size < number or seconds_of(stamp.time) < 0:
            raise ValueError
        seconds_of(stamp.ts)
    except (KeyError, TypeError, ValueError):
        raise Broken(number, "the time stamp of the event has not the form of one")
    return stamp


def seconds_of(ts: str) -> int:
    """Return the whole seconds since 1970 of a time as the ledger writes it. Raises ValueError or TypeError."""
    return timegm(strptime(ts[:19], SECONDS))


class Authority:
    """The time-stamping authorities (RFC 3161) that the certificates of a file certify, as the program openssl verifies
    them. Raises Inconclusive where it cannot run, or the file has no certificate.
    """

    def __init__(self, certificates: str) -> None:
        self.file = certificates
        Path(certificates).read_bytes()
        if "subject=" not in self.run("x509", "-noout", "-subject", "-in", certificates)[1]:
            raise Inconclusive(f"{certificates} holds no certificate that openssl can read")

    @staticmethod
    def run(*words: str) -> tuple[int, str]:
        """Return exit status and text of an openssl command."""
        try:
            done = subprocess.run(["openssl", *words], capture_output=True, stdin=subprocess.DEVNULL, timeout=60)
        except (OSError, subprocess.TimeoutExpired) as fault:
            raise Inconclusive(f"time stamps were not verified: needs the program openssl, 1.1.1 or newer: {fault}")
        return done.returncode, (done.stdout + done.stderr).decode("utf-8", "replace")

    def why(self, *words: str) -> str:
        """Return why `openssl ts -verify` takes a stamp for a false one; empty where it verifies."""
        status, said = self.run("ts", "-verify", *words, "-CAfile", self.file)
        if "Verification: OK" in said and not status:
            return ""
        if "Verification: FAILED" not in said:
            raise Inconclusive(f"time stamps were not verified: openssl says: {said.strip()[:300]}")
        reasons = re.findall(r"routines:\w*:([^:\n]+):[^:\n]*:\d+:([^\n]*)", said) or [("it cannot be read", "")]
        return " ".join(reasons[-1]).strip()

    def fault(self, token: bytes, digest: str, at: int) -> str:
        """Return why a token is no stamp over a SHA-256 in hex by an authority whose certificates hold at a moment."""
        with TemporaryDirectory() as folder:
            Path(folder, "token").write_bytes(token)
            words = ("-token_in", "-in", str(Path(folder, "token")), "-digest", digest)
            return self.why(*words, "-attime", str(at))

    def time(self, token: bytes) -> int:
        """Return the seconds since 1970 that a token states, cut to whole ones. Raises ValueError."""
        with TemporaryDirectory() as folder:
            Path(folder, "token").write_bytes(token)
            said = self.run("ts", "-reply", "-token_in", "-in", str(Path(folder, "token")), "-text")[1]
        found = re.search(r"^Time stamp: (\w{3}) +(\d+) ([\d:]{8})(?:\.\d+)? (\d{4}) GMT$", said, re.MULTILINE)
        if not found:
            raise ValueError("it cannot be read")
        month, day, clock, year = found.groups()
        return seconds_of(f"{year}-{MONTHS.index(month) // 3 + 1:02}-{int(day):02}T{clock}")

    def name(self, token: bytes) -> str:
        """Return the subject of the certificate that signed a token which was verified."""
        with TemporaryDirectory() as folder:
            for name in ("token", "content", "certificate"):
                Path(folder, name).write_bytes(token)
            files = ("-in", "token", "-signer", "certificate", "-out", "content")
            words = [word if word[0] == "-" else str(Path(folder, word)) for word in files]
            self.run("cms", "-verify", "-noverify", "-inform", "DER", *words)
            options = ("-noout", "-subject", "-nameopt", "RFC2253,utf8,-esc_msb")
            said = self.run("x509", *options, "-in", str(Path(folder, "certificate")))[1]
        return (re.findall(r"^subject= ?(.*)$", said, re.MULTILINE) or ["?"])[0]

    def stated(self, stamp: Stamp, digest: str | None) -> tuple[int, str]:
        """Return the moment that a stamp states of the note with a SHA-256, and what is wrong with it."""
        if digest is None:
            return 0, f"its time stamp is of a checkpoint of {stamp.size} events that is not in the ledger"
        try:
            moment = self.time(stamp.token)
            why = self.fault(stamp.token, digest, moment)
        except ValueError as fault:
            return 0, f"its time stamp does not verify: {fault}"
        if why or (stamp.ts and moment != seconds_of(stamp.time)):
            return 0, f"its time stamp does not verify: {why or 'it states another time than the event'}"
        apart = seconds_of(stamp.ts) - moment if stamp.ts else 0
        if abs(apart) > CLOCKS:
            return moment, f"the clock of the ledger is {apart:+d} s from that of the time-stamping authority"
        return moment, ""


def concerns_passkey(event: dict[str, Any]) -> bool:
    """Tell whether an event names a passkey, an identity at a provider or a key of one, may end one, or was signed with
    one.
    """
    if event["kind"] == "row":
        ended = event["outcome"] == "deleted" and event["object"].startswith(PASSKEY)
        return ended or event["object"].startswith((IDENTITY, PROVIDER_KEY))
    return event["operation"] == ADD_PASSKEY or (event["kind"] == "operation" and "assertion" in (event["after"] or ()))


class Passkeys:
    """The passkeys that accounts have so far, by the number of their row: the account of each, and its public key in
    the ledger. So too their identities at a provider, and the keys of providers.

    unread: numbers of events that were signed with one of a type that this program does not know.
    """

    def __init__(self) -> None:
        self.known: dict[int, tuple[str, dict[str, Any]]] = {}
        self.identities: dict[str, dict[str, Any]] = {}
        self.provider_keys = list[dict[str, Any]]()
        self.unread = list[int]()

    def hear(self, number: int, event: dict[str, Any]) -> None:
        """Learn of a new passkey or of the end of one, or check what one has signed. Raises Broken."""
        about, after = event["object"], event["after"]
        try:
            if not concerns_passkey(event):
                return
            if event["kind"] == "row":
                self.row(about, event)
            elif event["operation"] == ADD_PASSKEY:
                self.known[after["passkey"]] = (about, after)
            elif not self.signed(number, event):
                raise ValueError
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):
            raise Broken(number, "no passkey of the person signed what this event says that they signed")

    def row(self, about: str, event: dict[str, Any]) -> None:
        """Learn of an identity, of a key of a provider, or of the end of a passkey or an identity. One that another
        operation wrote than those of the web process does not count.
        """
        if about.startswith(PASSKEY):
            self.known.pop(int(about.partition(":")[2]), None)
        elif about.startswith(IDENTITY) and event["outcome"] == "deleted":
            self.identities.pop(about, None)
        elif event["outcome"] != "inserted":
            return
        elif about.startswith(PROVIDER_KEY) and event["operation"] == KEEP_KEY:
            self.provider_keys.append(event["after"])
        elif about.startswith(IDENTITY) and event["operation"] in CONNECT:
            self.identities[about] = event["after"]

    def signed(self, number: int, event: dict[str, Any]) -> bool:
        """Tell whether a passkey of the actor signed the content of an event, or a provider stated it."""
        given, actor = event["after"]["assertion"], int(event["actor"].split(":")[1])
        content = content_of(event["operation"], event["after"]["signature"]["digest"])
        if "id_token" in given:
            its_own = [row for row in self.identities.values() if row["account_id"] == actor]
            persons = [(row["issuer"], row["subject"]) for row in its_own]
            return provider_stated(given, content, event["ts"], persons, self.provider_keys)
        for whose, known in self.known.values():
            if (whose, known["credential"]) != (f"environments.Account:{actor}", given["credential"]):
                continue
            message, key = passkey_message(given, content, known["site"]), known["key"]
            if message and not key["kty"]:
                self.unread.append(number)
                return True
            if message and jwk_verifies(key, message, from_base64url(given["signature"])):
                return True
        return False


def renewed(event: dict[str, Any], keys: Iterable[Key]) -> tuple[Claim, Key] | None:
    """Return the key that an event names as the next one, and the checkpoint up to which one of these keys has signed
    when it signed that; None where none of them did.
    """
    try:
        key, note = event["after"]["key"], event["after"]["note"]
        claim, lines, found = parse_note(note), note.rpartition("\n\n")[0].split("\n"), parse_key(key)
        return (claim, found) if lines[3:] == [f"next key {key}"] and signed_by(note, keys) else None
    except (KeyError, TypeError, AttributeError, ValueError, Inconclusive):
        return None


class Trust:
    """The keys that are believed: those given, and those that the ledger names, each signed by one believed before.

    inside: they came from the file itself. unsigned: numbers of events that name a key without that signature, and that
    no believed checkpoint covers. unknown: why a checkpoint of the reader's own does not count.
    """

    def __init__(self, keys: Iterable[Key], inside: bool = False, witnesses: Iterable[Key] = ()) -> None:
        self.keys, self.inside, self.unsigned, self.unknown = list(keys), inside, list[int](), ""
        self.cosigned = dict.fromkeys(witnesses, 0)
        self.last: Claim = (0, sha256(b"").digest())

    def hear(self, number: int, event: dict[str, Any]) -> None:
        """Believe the key that an event names, if a believed key signed that together with the last checkpoint."""
        if event["operation"] == RENEWAL and event["kind"] == "operation" and self.keys:
            named = renewed(event, self.keys)
            if named is not None and named[0] == self.last:
                self.keys.append(named[1])
            else:
                self.unsigned.append(number)

    def check(self, number: int, size: int, note: str, earlier: bool) -> bool:
        """Tell whether a checkpoint counts: without any key each does. `earlier`: the reader's own, not the file's."""
        try:
            if self.keys and not signed_by(note, self.keys):
                fault = f"the note bears no signature of {self.keys[0][0]}"
                if not earlier:
                    raise ValueError(fault)
                self.unknown = f"an earlier checkpoint: {fault}"
                return False
            for witness in self.cosigned if earlier else ():
                if cosigned_by(note, witness):
                    self.cosigned[witness] = max(size, self.cosigned[witness])
        except ValueError as fault:
            if earlier:
                raise Inconclusive(f"an earlier checkpoint: {fault}")
            raise Broken(number, f"checkpoint after this event: {fault}")
        self.unsigned = [place for place in self.unsigned if place > size]
        return True

    def finish(self) -> None:
        """Raise Inconclusive, once no fault was found, for what could not be verified."""
        if self.unknown:
            raise Inconclusive(self.unknown)
        for (name, _public), size in self.cosigned.items():
            if not size:
                raise Inconclusive(f"no earlier checkpoint bears a cosignature of {name}")


def split_notes(text: str) -> list[str]:
    """Return the notes of a file to which they were appended."""
    notes: list[str] = []
    lines: list[str] = []
    signed = False
    for line in text.splitlines(True):
        if signed and not line.startswith("\u2014 "):
            notes.append("".join(lines))
            lines, signed = [], False
        lines.append(line)
        signed = signed or line.startswith("\u2014 ")
    return notes + (["".join(lines)] if lines else [])


class Clocks:
    """The times of the events between two checkpoints of the file, and the SHA-256 of each note."""

    def __init__(self) -> None:
        self.spans = list[tuple[int, tuple[str, int], tuple[str, int]]]()
        self.low: tuple[str, int] | None = None
        self.high = ("", 0)
        self.digests: dict[int, str] = {}

    def hear(self, number: int, ts: Any) -> None:
        """Take the time of an event."""
        moment = (str(ts), number)
        self.low, self.high = min(self.low or moment, moment), max(self.high, moment)

    def cut(self, size: int, note: str) -> None:
        """Take a checkpoint, which stands behind the last event that it covers."""
        self.digests[size] = sha256(note.encode()).hexdigest()
        if self.low:
            self.spans.append((size, self.low, self.high))
        self.low, self.high = None, ("", 0)

    def check(self, stated: dict[int, int]) -> tuple[list[str], int]:
        """Return the events whose time contradicts an authority's, and after how many seconds at most an event was
        stamped. stated: the moment of each stamped size.
        """
        if self.low:
            self.spans.append((self.low[1], self.low, self.high))
        before, longest, sizes = 0, 0, sorted(stated)
        found = list[str]()
        for size, low, high in self.spans:
            while sizes and sizes[0] < size:
                before = stated[sizes.pop(0)]
            if low[0] < strftime(SECONDS, gmtime(max(0, before - TRANSACTION))):
                found.append(f"TIME at number {low[1]}: it says a time before that of a stamp which does not cover it")
            if not sizes:
                continue
            if high[0] > strftime(SECONDS, gmtime(stated[sizes[0]] + CLOCKS + 1)):
                found.append(f"TIME at number {high[1]}: it says a time after that of a stamp which covers it")
            try:
                longest = max(longest, stated[sizes[0]] - seconds_of(low[0]))
            except ValueError:
                found.append(f"TIME at number {low[1]}: its time cannot be read")
        return found, longest


class Ledger:
    """The state of a verification that has read `number` events."""

    def __init__(self, earlier: Iterable[str], trust: Trust) -> None:
        self.number, self.checkpoints, self.agreed, self.begun = 0, 0, {True: 0, False: 0}, 0
        self.chain, self.trust, self.passkeys = bytes(32), trust, Passkeys()
        self.subtrees: list[bytes] = []
        self.stamps, self.clocks = list[Stamp](), Clocks()
        self.earlier: dict[int, list[tuple[bytes, str]]] = {}
        for note in earlier:
            size, root = parse_earlier(note)
            self.earlier.setdefault(size, []).append((root, note))

    def take_event(self, record: dict[str, Any]) -> None:
        """Check one line of an event against what came before."""
        number = self.number + 1
        if repr(record["number"]) != str(number):
            raise Broken(number, f"the event is missing; the export goes on with number {record['number']}")
        try:
            event, leaf, chain = from_base64(record["event"]), from_hex(record["leaf"]), from_hex(record["chain"])
        except (KeyError, TypeError, ValueError):
            raise Broken(number, "event, leaf or chain is missing or can't be read")
        if sha256(b"\x00" + event).digest() != leaf:
            raise Broken(number, "the bytes of the event do not hash to its leaf")
        self.chain = sha256(b"\x01" + self.chain + leaf).digest()
        if self.chain != chain:
            raise Broken(number, "the chain value is not that of the event before and this leaf")
        try:
            text = event.decode()
            contents, end = JSON.raw_decode(text)
        except (ValueError, RecursionError):
            raise Broken(number, "the bytes of the event are not JSON")
        if end != len(text):
            raise Broken(number, "the bytes of the event are not JSON")
        if not isinstance(contents, dict) or contents.keys() != KEYS:
            raise Broken(number, "the event has not the fields of an event")
        if repr(contents["v"]) != "2":
            raise Broken(number, "the event is not of version 2")
        if contents["kind"] not in KINDS:
            raise Broken(number, "the event is of no kind that there is")
        self.trust.hear(number, contents)
        self.passkeys.hear(number, contents)
        stamp = stamp_of(number, contents)
        self.stamps += [stamp] if stamp else []
        self.clocks.hear(number, contents["ts"])
        size, node = self.number, leaf
        while size & 1:
            node = sha256(b"\x01" + self.subtrees.pop() + node).digest()
            size >>= 1
        self.subtrees.append(node)
        self.number = number
        for root, note in self.earlier.pop(number, ()):
            if self.trust.check(number, number, note, earlier=True):
                self.compare(number, root, earlier=True)

    def root(self) -> bytes:
        """Return the Merkle tree hash so far."""
        if not self.subtrees:
            return sha256(b"").digest()
        root = self.subtrees[-1]
        for left in reversed(self.subtrees[:-1]):
            root = sha256(b"\x01" + left + root).digest()
        return root

    def compare(self, size: int, root: bytes, earlier: bool) -> None:
        """Check the claim of a checkpoint of exactly the events read. `earlier`: the reader's own."""
        if root != self.root():
            # After a restore the file's own checkpoints agree with it also behind what was lost.
            start = max(self.begun, self.agreed[True] if earlier else max(self.agreed.values()))
            raise Broken(
                start + 1,
                f"events {start + 1} to {size} are not those that the checkpoint of {size} events was signed for",
            )
        self.agreed[earlier], self.trust.last = size, (size, root)
        self.checkpoints += 1

    @property
    def words(self) -> str:
        """Return how many events were read."""
        return f"{self.number} events"

    @property
    def signed(self) -> int:
        """Return how many events the last checkpoint covers that agreed, and that something from outside vouches
        for.
        """
        return self.agreed[True] if self.trust.inside else max(self.agreed.values())

    def take_checkpoint(self, note: str) -> None:
        """Check a checkpoint line; it stands right behind the last event it covers."""
        try:
            size, root = parse_note(note)
        except (ValueError, AttributeError) as fault:
            raise Broken(self.number, f"checkpoint after this event: {fault}")
        if size > self.number:
            raise Broken(self.number + 1, f"the event is missing: a checkpoint covers {size} events")
        if size < self.number:
            raise Broken(self.number, f"a checkpoint of {size} events stands behind this event")
        self.trust.check(self.number, size, note, earlier=False)
        self.compare(size, root, earlier=False)
        self.clocks.cut(size, note)

    def finish(self, head: dict[str, Any] | None) -> None:
        """Check the head, and that every earlier checkpoint was reached."""
        beyond = [
            size
            for size, notes in self.earlier.items()
            if any(self.trust.check(self.number, 0, note, earlier=True) for _root, note in notes)
        ]
        if beyond:
            raise Broken(self.number + 1, f"the event is missing: a checkpoint covers {max(beyond)} events")
        if head is None:
            raise Broken(self.number + 1, "the export ends without its head")
        if repr(head["number"]) != str(self.number):
            raise Broken(self.number + 1, f"the event is missing: the head says {head['number']} events")
        if head["chain"] != self.chain.hex():
            raise Broken(self.number, "the chain value of the head is not that of the last event")
        if self.trust.unsigned:
            raise Broken(
                self.trust.unsigned[0], "it names another key of the signer, without the signature of the one before"
            )
        if self.passkeys.unread:
            raise Inconclusive(
                f"event {self.passkeys.unread[0]} was signed with a passkey of a kind that this program can't read"
            )
        self.trust.finish()


def leads_to(leaf: bytes, index: int, size: int, path: list[bytes], root: bytes) -> bool:
    """Tell whether an audit path leads from leaf `index` (from 0) to the root of `size` leaves (RFC 9162, 2.1.3.2)."""
    node, position, last = leaf, index, size - 1
    for sibling in path:
        if last == 0:
            return False
        if position & 1 or position == last:
            node = sha256(b"\x01" + sibling + node).digest()
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            node = sha256(b"\x01" + node + sibling).digest()
        position, last = position >> 1, last >> 1
    return last == 0 and node == root


def begins_with(old: Claim, new: Claim, path: list[bytes]) -> bool:
    """Tell whether a consistency proof shows the older tree to begin the newer one (RFC 9162, 2.1.4.2)."""
    rest = list(path)
    if not 0 < old[0] <= new[0]:
        return False
    if old[0] == new[0]:
        return not rest and old[1] == new[1]
    if old[0] & (old[0] - 1) == 0:
        rest.insert(0, old[1])
    if not rest:
        return False
    position, last = old[0] - 1, new[0] - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    small = large = rest[0]
    for sibling in rest[1:]:
        if last == 0:
            return False
        if position & 1 or position == last:
            small, large = sha256(b"\x01" + sibling + small).digest(), sha256(b"\x01" + sibling + large).digest()
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            large = sha256(b"\x01" + large + sibling).digest()
        position, last = position >> 1, last >> 1
    return last == 0 and small == old[1] and large == new[1]


class Part(Ledger):
    """The state of a verification of events from `begun` + 1 to `last`, which begins with the tree of those before."""

    def __init__(self, first: dict[str, Any], earlier: Iterable[str], trust: Trust) -> None:
        super().__init__(earlier, trust)
        try:
            if {type(first["first"]), type(first["last"])} != {int}:
                raise ValueError
            self.number = self.begun = first["first"] - 1
            self.last, self.chain = first["last"], from_hex(first["chain"])
            self.subtrees = [from_hex(node) for node in first["tree"]]
        except (KeyError, TypeError, ValueError):
            raise Inconclusive("the first line is not that of a part of an export")
        if not 0 <= self.begun < self.last or len(self.subtrees) != bin(self.begun).count("1"):
            raise Broken(max(self.begun, 0) + 1, "the tree before the first event is not one of so many events")
        if not self.begun and self.chain != bytes(32):
            raise Broken(1, "the chain value before the first event is not 32 zero bytes")
        self.later = list[tuple[Claim, str, list[bytes]]]()
        self.tokens = list[Stamp]()
        self.compare_kept(self.begun, self.root())

    @property
    def words(self) -> str:
        """Return which events were read."""
        return f"events {self.begun + 1} to {self.number}"

    def take(self, record: dict[str, Any]) -> None:
        """Check one line with a path: a checkpoint from before, one from behind, or an earlier event about keys."""
        number = self.begun + 1
        try:
            path = [from_hex(node) for node in record["path"]]
            if "number" in record:
                self.take_earlier(record, path)
                return
            note = record["before"] if "before" in record else record["after"]
            claim = parse_note(note)
            token = from_base64(record["token"]) if "token" in record else b""
        except (AttributeError, KeyError, TypeError, ValueError) as fault:
            raise Broken(number, f"a proof beside the events: {fault}")
        self.clocks.digests[claim[0]] = sha256(note.encode()).hexdigest()
        if "after" in record:
            self.later.append((claim, note, path))
            self.tokens += [Stamp(0, "", claim[0], "", token, self.clocks.digests[claim[0]])] if token else []
            return
        self.trust.check(number, claim[0], note, earlier=False)
        if not begins_with(claim, (self.begun, self.root()), path):
            raise Broken(number, f"the first {claim[0]} events are not the beginning of the tree before this part")
        self.trust.last = max(self.trust.last, claim)
        self.compare_kept(*claim)

    def take_earlier(self, record: dict[str, Any], path: list[bytes]) -> None:
        """Learn of a passkey, an identity or a key from an event before the part, proved in the tree before it."""
        number, event = record["number"], from_base64(record["event"])
        if self.number != self.begun or type(number) is not int or not 0 < number <= self.begun:
            raise Broken(self.begun + 1, "an event from before this part has not the number of one")
        if not leads_to(sha256(b"\x00" + event).digest(), number - 1, self.begun, path, self.root()):
            raise Broken(number, "its bytes and its path do not lead to the root of the tree before this part")
        self.passkeys.hear(number, JSON.decode(event.decode()))

    def compare_kept(self, size: int, root: bytes) -> None:
        """Compare the checkpoints that the reader kept of so many events with this root."""
        for kept, note in self.earlier.pop(size, ()):
            if self.trust.check(self.number, size, note, earlier=True):
                if kept != root:
                    raise Broken(size, f"two checkpoints of {size} events differ")
                self.agreed[True] = max(self.agreed[True], self.number if size >= self.last else 0)

    def finish(self, head: dict[str, Any] | None) -> None:
        """Check that the checkpoints from behind continue this tree, and the head."""
        if self.number != self.last:
            raise Broken(self.number + 1, f"the event is missing: this part ends with number {self.last}")
        for (size, root), note, path in self.later:
            self.trust.check(self.number, size, note, earlier=False)
            if not begins_with((self.number, self.root()), (size, root), path):
                raise Broken(self.begun + 1, f"these events are not those that the checkpoint of {size} events covers")
            self.agreed[False] = self.number
            self.checkpoints += 1
            self.compare_kept(size, root)
        outside = sorted(self.earlier)
        self.earlier.clear()
        super().finish(head)
        if outside:
            raise Inconclusive(f"this part holds no proof about the earlier checkpoint of {outside[0]} events")


class Proofs:
    """The state of a verification that has read `number` events, each with a proof of its own."""

    def __init__(self, earlier: Iterable[str], trust: Trust) -> None:
        self.number, self.checkpoints, self.trust = 0, 0, trust
        self.stamps, self.clocks = list[Stamp](), Clocks()
        self.claims: dict[str, Claim] = {}
        self.proved: set[str] = set()
        self.earlier = [(parse_earlier(note), note) for note in earlier]
        self.reach = max(
            [size for (size, _), note in self.earlier if trust.check(0, size, note, earlier=True)], default=0
        )
        self.furthest = 0

    @property
    def words(self) -> str:
        """Return how many events were read."""
        return f"{self.number} events"

    @property
    def signed(self) -> int:
        """Return how many events something from outside vouches for: each, or none."""
        return self.number if not self.trust.inside or self.furthest <= self.reach else 0

    def claim(self, number: int, note: Any) -> Claim:
        """Return what a checkpoint of the file claims, its signature checked once."""
        if not isinstance(note, str):
            raise Broken(number, "its checkpoint: the note has not the form of a checkpoint")
        if note not in self.claims:
            try:
                size, root = parse_note(note)
            except ValueError as fault:
                raise Broken(number, f"its checkpoint: {fault}")
            self.trust.check(number, size, note, earlier=False)
            self.claims[note] = (size, root)
            self.checkpoints += 1
        return self.claims[note]

    def take(self, record: dict[str, Any]) -> None:
        """Check one line: an event with its audit path, or the proof that one checkpoint begins another."""
        number = record.get("number", 0)
        if type(number) is not int:
            raise Broken(1, "the number of an event is not a number")
        try:
            path = [from_hex(node) for node in record["path"]]
            event = b"" if "since" in record else from_base64(record["event"])
        except (KeyError, TypeError, ValueError):
            raise Broken(number, "event or path is missing or can't be read")
        size, root = self.claim(number, record.get("checkpoint"))
        if "since" in record:
            old = self.claim(number, record["since"])
            if not begins_with(old, (size, root), path):
                raise Broken(1, f"the first {old[0]} events are not the beginning of the {size} signed later")
            self.proved.add(record["since"])
            return
        if not 0 < number <= size:
            raise Broken(size, f"a checkpoint of {size} events does not cover number {number}")
        if not leads_to(sha256(b"\x00" + event).digest(), number - 1, size, path, root):
            raise Broken(number, "its bytes and its path do not lead to the root of its checkpoint")
        self.number, self.furthest = self.number + 1, max(number, self.furthest)

    def finish(self, _head: Any = None) -> None:
        """Compare the checkpoints kept earlier with those of the file."""
        for (size, root), note in self.earlier:
            of_this_size = [claimed[1] for claimed in self.claims.values() if claimed[0] == size]
            if any(claimed != root for claimed in of_this_size):
                raise Broken(size, f"two checkpoints of {size} events differ")
            if not of_this_size and note not in self.proved:
                raise Inconclusive(f"the file holds no proof about the earlier checkpoint of {size} events")
        self.trust.finish()


def begin(
    first: dict[str, Any], earlier: list[str], keys: list[Key], witnesses: list[Key]
) -> tuple[Ledger | Proofs, bool]:
    """Return the state for a file that begins with this line, and whether the line was a title and no more."""
    title = first.get("ringi")
    if title not in ("export", "part", "proofs") and (title is not None or "path" not in first):
        raise Inconclusive("this is not an export of a Ringi ledger")
    if title is not None and repr(first.get("v")) != "1":
        raise Inconclusive("this is not an export of a Ringi ledger of version 1")
    named = [parse_key(word) for word in str(first.get("key") or "").split()] if not keys else []
    trust = Trust(keys or named, bool(named), witnesses)
    if title == "part":
        return Part(first, earlier, trust), True
    return (Ledger if title == "export" else Proofs)(earlier, trust), title is not None


def verify(
    lines: Iterable[str], earlier: Iterable[str], keys: Iterable[Key], witnesses: Iterable[Key] = ()
) -> Ledger | Proofs:
    """Verify an export or a file of proofs given as lines; return its state at the end."""
    state: Ledger | Proofs | None = None
    head: dict[str, Any] | None = None
    for place, line in enumerate(lines, 1):
        number = state.number + 1 if state is not None else 1
        try:
            record = JSON.decode(line)
            # Some readers of JSON take `Event` for `event`, and so another one than is verified here.
            if not isinstance(record, dict) or len({key.casefold() for key in record}) != len(record):
                raise ValueError
        except (ValueError, RecursionError):
            if state is None:
                raise Inconclusive("this is not an export of a Ringi ledger")
            raise Broken(number, f"line {place} can't be read")
        if state is None:
            state, titled = begin(record, list(earlier), list(keys), list(witnesses))
            if titled:
                continue
        if isinstance(state, Proofs):
            state.take(record)
        elif head is not None:
            raise Broken(number, f"line {place} stands behind the head")
        elif isinstance(state, Part) and "path" in record:
            state.take(record)
        elif "number" in record:
            state.take_event(record)
        elif "checkpoint" in record:
            state.take_checkpoint(record["checkpoint"])
        elif isinstance(record.get("head"), dict) and {"number", "chain"} <= set(record["head"]):
            head = record["head"]
        else:
            raise Broken(number, f"line {place} is neither event nor checkpoint nor head")
    if state is None:
        raise Inconclusive("the export is empty")
    state.finish(head)
    return state


def open_lines(name: str) -> Iterable[str]:
    """Return the lines of a file, or of standard input (-). A newline alone ends one, on every system."""
    return io.TextIOWrapper(sys.stdin.buffer if name == "-" else open(name, "rb"), "utf-8", newline="\n")


def read_keys(words: Iterable[str], kind: bytes = b"\x01") -> list[Key]:
    """Return the keys given as words, or in files that hold one on each line."""
    keys = []
    for word in words:
        text = word
        if os.path.exists(word):
            with open(word, encoding="utf-8") as source:
                text = source.read()
        keys += [parse_key(line, kind) for line in text.splitlines() if line.strip()]
    return keys


def result(state: Ledger | Proofs) -> tuple[int, str]:
    """Return exit status and sentence about what was read to its end without a fault."""
    if not state.checkpoints or not state.trust.keys:
        why = "no public key was given to tell by whom" if state.checkpoints else "no checkpoint was compared"
        return 2, f"CAN'T TELL whether anybody signed the {state.words}, which fit each other: {why}"
    if not state.signed:
        return 2, (
            f"CAN'T TELL: {state.words} and {state.checkpoints} checkpoints fit each other, and hold "
            "as far as can"
            " be seen, but nothing from outside the file was given for them. The public key came from the "
            "file itself: give"
            " one that you have from elsewhere, or a checkpoint that you kept."
        )
    root = f", root {state.root().hex()}" if isinstance(state, Ledger) else ", each proved by itself"
    behind = f", signed up to {state.signed} of {state.number}" if state.signed < state.number else ""
    by = "".join(f", cosigned by {name} up to {size}" for (name, _key), size in state.trust.cosigned.items())
    return 0, f"HOLDS: {state.words}{behind}, {state.checkpoints} checkpoints{root}{by}"


def kept_stamps(names: Iterable[str]) -> tuple[list[str], list[Stamp]]:
    """Return the notes and the time stamps of files that the signer's `time_stamps.jsonl` was copied to."""
    notes, stamps = [], []
    for line in "".join(Path(name).read_text("utf-8") for name in names).splitlines():
        try:
            kept = JSON.decode(line)
            size, digest = parse_note(kept["note"])[0], sha256(kept["note"].encode()).hexdigest()
            stamps.append(Stamp(0, "", size, "", from_base64(kept["token"]), digest))
            notes.append(kept["note"])
        except (ValueError, KeyError, TypeError, AttributeError):
            raise Inconclusive("a time stamp that was kept can't be read")
    return notes, stamps


def renewed_stamps(authority: Authority, true: list[tuple[Stamp, int, str]]) -> list[tuple[Stamp, int]]:
    """Return the stamps that prove their moment today: by certificates that hold now, or held when a later stamp was
    made that proves its own moment and covers the event of this one. true: stamp, moment and digest of the note.
    """
    proved: list[tuple[Stamp, int]] = []
    for stamp, moment, digest in sorted(true, key=lambda one: (one[1], one[0].number), reverse=True):
        covering = [at for later, at in proved if 0 < stamp.number <= later.size]
        if not authority.fault(stamp.token, digest, min(covering, default=int(time()))):
            proved.append((stamp, moment))
    return proved


def time_result(state: Ledger | Proofs, authority: Authority, kept: list[Stamp]) -> tuple[int, list[str]]:
    """Return exit status and sentences about the time stamps of what was read without a fault."""
    inside = {stamp.token for stamp in state.stamps}
    kept = [*kept, *getattr(state, "tokens", ())]
    lines, true = list[str](), list[tuple[Stamp, int, str]]()
    for stamp in [*state.stamps, *(stamp for stamp in kept if stamp.token not in inside)]:
        digest = stamp.digest or state.clocks.digests.get(stamp.size)
        moment, fault = authority.stated(stamp, digest)
        lines += [f"TIME STAMP at number {stamp.number or stamp.size}: {fault}"] if fault else []
        true += [(stamp, moment, digest)] if moment and digest else []
    proved = renewed_stamps(authority, true)
    stated: dict[int, int] = {}
    for stamp, moment in proved:
        stated[stamp.size] = min(moment, stated.get(stamp.size, moment))
    found, longest = state.clocks.check(stated)
    lines += found
    if not proved:
        why = "the certificates of its time stamps have ended" if true else "there is no time stamp of it that verifies"
        return 1 if lines else 2, [*lines, f"CAN'T TELL when the ledger existed: {why}"]
    last, moment = max(proved, key=lambda one: (one[0].size, -one[1]))
    said, ended = strftime("%Y-%m-%d %H:%M:%S UTC", gmtime(moment)), len(true) - len(proved)
    within = f", each event within {longest / 86400:.1f} days of its own time" if state.clocks.spans else ""
    lines.append(
        f"TIME: events 1 to {last.size} existed at {said}, by the clock of {authority.name(last.token)}"
        f" ({len(proved)} time stamps{within}{f'; {ended} more prove nothing today' if ended else ''})"
    )
    return 1 if len(lines) > 1 else 0, lines


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description="Verify a Ringi ledger offline.")
    parser.add_argument("file", help="export, part of one, or proofs as JSON Lines, or - for standard input")
    parser.add_argument("--checkpoint", action="append", default=[], help="file with signed checkpoints kept earlier")
    parser.add_argument("--key", action="append", default=[], help="public key of the signer, or a file with keys")
    parser.add_argument("--witness", action="append", default=[], help="public key of a witness, or a file with keys")
    parser.add_argument("--time-stamp-ca", help="file with the certificates (PEM) of the time-stamping authority")
    parser.add_argument("--time-stamps", action="append", default=[], help="file with time stamps kept earlier")
    options = parser.parse_args(arguments)
    if options.time_stamps and not options.time_stamp_ca:
        parser.error("--time-stamps needs --time-stamp-ca")
    try:
        authority = Authority(options.time_stamp_ca) if options.time_stamp_ca else None
        notes, kept = kept_stamps(options.time_stamps)
        for name in options.checkpoint:
            with open(name, encoding="utf-8") as source:
                notes += split_notes(source.read())
        witnesses = read_keys(options.witness, b"\x04")
        state = verify(open_lines(options.file), notes, read_keys(options.key), witnesses)
        timed, lines = 0, list[str]()
        if authority:
            timed, lines = time_result(state, authority, kept)
        elif state.stamps:
            count = len(state.stamps)
            lines = [f"NOT VERIFIED: {count} time stamps; give the authority's certificates with --time-stamp-ca"]
    except Broken as broken:
        print(f"BROKEN at number {broken.number}: {broken.what}")
        return 1
    except (Inconclusive, OSError, UnicodeDecodeError) as fault:
        print(f"CAN'T TELL: {fault}")
        return 2
    status, said = result(state)
    print(said, *lines, sep="\n")
    return timed if timed == 1 else max(status, timed)


if __name__ == "__main__":
    sys.exit(main())
