#!/usr/bin/env python3
"""Verify offline that a deployment has its approval now; nothing but the standard library (3.9 or newer).

    ringi_verify_approval.py APPROVAL.json --key KEY --application KEY --environment KEY (--commit ID | --digest SHA256)

APPROVAL.json is what Ringi answers at /api/v1/ci/deployments/NUMBER/approval. --key is the public key of Ringi's
statements (base64 of 32 bytes, or a file), from the page *Export of the ledger* and never from the same answer. Exit
status: 0 deploy, 1 do not deploy (the reason is printed), 2 the approval cannot be read.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import sys
from datetime import datetime, timezone
from hashlib import sha512
from typing import Any

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


class Refused(Exception):
    """The approval is not one for this deployment."""


def added(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    """Add two points of the curve (RFC 8032, 5.1.4, in affine coordinates)."""
    product = D * a[0] * b[0] * a[1] * b[1]
    x = (a[0] * b[1] + a[1] * b[0]) * pow(1 + product, P - 2, P) % P
    return x, (a[1] * b[1] + a[0] * b[0]) * pow(1 - product, P - 2, P) % P


def times(number: int, point: tuple[int, int]) -> tuple[int, int]:
    """Add a point to itself so many times."""
    result = (0, 1)
    for bit in bin(number)[2:]:
        result = added(result, result)
        if bit == "1":
            result = added(result, point)
    return result


def point_of(encoded: bytes) -> tuple[int, int]:
    """Decode 32 bytes (RFC 8032, 5.1.3). Raises Refused."""
    number = int.from_bytes(encoded, "little")
    y, sign = number & (2**255 - 1), number >> 255
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if y >= P or (x * x - square) % P or (x == 0 and sign):
        raise Refused("the signature is not a point of the curve")
    return (P - x if x & 1 != sign else x), y


def ed25519_verifies(public: bytes, message: bytes, signature: bytes) -> bool:
    """Tell whether a signature of 64 bytes is by the key of 32 bytes (RFC 8032, 5.1.7)."""
    s = int.from_bytes(signature[32:], "little")
    if len(public) != 32 or len(signature) != 64 or s >= L:
        return False
    base = point_of((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))
    challenge = int.from_bytes(sha512(signature[:32] + public + message).digest(), "little") % L
    return times(s, base) == added(point_of(signature[:32]), times(challenge, point_of(public)))


def verified(envelope: dict[str, Any], public: bytes, asked: dict[str, str], at: datetime) -> dict[str, Any]:
    """Return what the approval says. asked: application, environment, and gitCommit or sha256. Raises Refused."""
    kind, body = envelope["payloadType"], base64.b64decode(envelope["payload"], validate=True)
    signed = b"DSSEv1 %d %s %d %s" % (len(kind.encode()), kind.encode(), len(body), body)
    signatures = [base64.b64decode(one["sig"], validate=True) for one in envelope["signatures"]]
    if not any(ed25519_verifies(public, signed, signature) for signature in signatures):
        raise Refused("the signature is not by this key")
    statement = json.loads(body)
    if (kind, statement["predicateType"]) != ("application/vnd.in-toto+json", "urn:ringi:approval:v1"):
        raise Refused("this is no approval")
    said: dict[str, Any] = statement["predicate"]
    digests = [(name, value) for subject in statement["subject"] for name, value in subject["digest"].items()]
    for name, value in asked.items():
        if said.get(name) != value and (name, value) not in digests:
            raise Refused(
                "the approval is for another " + {"gitCommit": "commit", "sha256": "artefact"}.get(name, name)
            )
    if not datetime.fromisoformat(said["issuedAt"]) <= at < datetime.fromisoformat(said["expiresAt"]):
        raise Refused(f"the approval holds from {said['issuedAt']} to {said['expiresAt']}")
    return said


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description="Verify offline that a deployment has its approval now.")
    parser.add_argument("approval", help="the file with the approval")
    parser.add_argument("--key", required=True, help="public key of the statements, or a file that holds it")
    parser.add_argument("--application", required=True)
    parser.add_argument("--environment", required=True)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--commit", dest="gitCommit", help="the commit that is deployed, 40 hex digits")
    what.add_argument("--digest", dest="sha256", help="SHA-256 of the artefact that is deployed, 64 hex digits")
    given = vars(parser.parse_args(arguments))
    file, key = given.pop("approval"), given.pop("key")
    try:
        if os.path.exists(key):
            with open(key, encoding="utf-8") as text:
                key = text.read()
        with open(file, encoding="utf-8") as text:
            envelope = json.load(text)
        asked = {name: value for name, value in given.items() if value is not None}
        at = datetime.now(timezone.utc)  # noqa: UP017  Python 3.9 has no datetime.UTC
        said = verified(envelope, base64.b64decode(key), asked, at)
    except Refused as refused:
        print(f"DO NOT DEPLOY: {refused}")
        return 1
    except (KeyError, ValueError, TypeError, AttributeError, OSError, RecursionError) as fault:
        print(f"CAN'T TELL: {fault!r}")
        return 2
    print(f"DEPLOY: {said['application']} {said['version']} to {said['environment']}, deployment {said['deployment']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
