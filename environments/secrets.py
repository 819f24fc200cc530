"""Secrets at rest: AES-256-GCM with a key kept in a file outside the database, bound to the field they belong to."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings


def _key() -> bytes:
    path = Path(settings.STATE) / "secrets" / "configuration.key"
    try:
        return bytes.fromhex(path.read_text().strip())
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = path.with_suffix(f".{secrets.token_hex(8)}")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as handle:
            handle.write(secrets.token_hex(32))
        try:
            os.link(partial, path)  # the first one wins; a second process reads the winner's key
        except FileExistsError:
            pass
        finally:
            partial.unlink()
        return bytes.fromhex(path.read_text().strip())


def seal(text: str, bound_to: str) -> str:
    """Return `text` encrypted, base64; it opens only with the same `bound_to`."""
    nonce = os.urandom(12)
    return base64.b64encode(nonce + AESGCM(_key()).encrypt(nonce, text.encode(), bound_to.encode())).decode()


def open_sealed(sealed: str, bound_to: str) -> str:
    """Return the text of `seal`. Raises cryptography's InvalidTag when moved, altered or under another key."""
    raw = base64.b64decode(sealed)
    return AESGCM(_key()).decrypt(raw[:12], raw[12:], bound_to.encode()).decode()


def keyed_digest(values: Mapping[str, str]) -> str:
    """Return an HMAC-SHA256 over sorted keys and values, so that a digest does not let a secret be guessed."""
    text = json.dumps(dict(sorted(values.items())), ensure_ascii=False, separators=(",", ":"))
    return hmac.new(_key(), text.encode(), hashlib.sha256).hexdigest()
