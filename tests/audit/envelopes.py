"""What opens an envelope of DSSE; the product makes them, and `ringi_verify_pack.py` opens them."""

from __future__ import annotations

import base64
import json

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from audit.dsse import to_sign


class BadStatement(ValueError):
    """An envelope is malformed or bears no valid signature of the key."""


def opened(envelope: bytes, public: bytes) -> tuple[str, bytes]:
    """Return (type, payload) of an envelope that bears a valid signature of a key of 32 bytes; raises BadStatement."""
    try:
        read = json.loads(envelope)
        kind, body = read["payloadType"], base64.b64decode(read["payload"], validate=True)
        signatures = [base64.b64decode(one["sig"], validate=True) for one in read["signatures"]]
    except (ValueError, KeyError, TypeError) as fault:
        raise BadStatement("the envelope can't be read") from fault
    for signature in signatures:
        try:
            Ed25519PublicKey.from_public_bytes(public).verify(signature, to_sign(kind, body))
        except InvalidSignature:
            continue
        return kind, body
    raise BadStatement("no signature of the envelope verifies with this key")
