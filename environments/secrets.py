"""Secrets at rest: AES-256-GCM (NIST SP 800-38D) under a key of the ring, bound to the row and field they belong to."""

import base64
import hashlib
import hmac
import json
import os
from collections.abc import Mapping

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from environments import key_ring


def encrypt(text: str, bound_to: str) -> str:
    """Return `<key id>.<base64 of nonce and ciphertext>`; it opens only with the same `bound_to`."""
    ring = key_ring.read()
    nonce = os.urandom(12)
    encrypted = AESGCM(ring.key(ring.current)).encrypt(nonce, text.encode(), bound_to.encode())
    return f"{ring.current}.{base64.b64encode(nonce + encrypted).decode()}"


def decrypt(encrypted: str, bound_to: str) -> str:
    """Return the text of `encrypt`. Raises cryptography's InvalidTag when moved or altered, KeyMissing for a lost
    key.
    """
    key_id, _dot, rest = encrypted.partition(".")
    raw = base64.b64decode(rest)
    return AESGCM(key_ring.read().key(key_id)).decrypt(raw[:12], raw[12:], bound_to.encode()).decode()


def key_of(encrypted: str) -> str:
    """Return the id of the key under which a value was encrypted."""
    return encrypted.partition(".")[0]


def keyed_digest(values: Mapping[str, str]) -> str:
    """Return an HMAC-SHA256 over sorted keys and values, so that a digest does not let a secret be guessed.

    Its key stays when the encryption key is changed: digests that were approved must go on to match.
    """
    text = json.dumps(dict(sorted(values.items())), ensure_ascii=False, separators=(",", ":"))
    return hmac.new(key_ring.read().digest, text.encode(), hashlib.sha256).hexdigest()
