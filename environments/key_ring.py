"""The keys of secrets at rest, in one file outside the database: one of them encrypts, the others still open."""

import fcntl
import hashlib
import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings
from django.utils.translation import gettext as _

from audit.private_files import as_its_folder, make_folder, write_private


class KeyMissing(Exception):
    """A value was encrypted under a key that is not in this machine's ring."""


@dataclass(frozen=True)
class Ring:
    """keys: id → 32 bytes; current: the id that encrypts; digest: the key of digests, which is never changed.

    changed_at: seconds of Unix time when `current` was chosen.
    """

    current: str
    keys: dict[str, bytes] = field(repr=False)
    digest: bytes = field(repr=False)
    changed_at: float = 0.0

    def key(self, key_id: str) -> bytes:
        """Return a key. Raises KeyMissing with a sentence that names it."""
        if key_id not in self.keys:
            raise KeyMissing(
                _(
                    "Key %(key)s is not in the key ring of this server. Copy the key ring from the server that "
                    "created the key."
                )
                % {"key": key_id}
            )
        return self.keys[key_id]

    @property
    def newest(self) -> str:
        """Return the id that was added last."""
        return list(self.keys)[-1]


def path() -> Path:
    """Return where the ring lies."""
    return Path(settings.STATE_DIR) / "secrets" / "configuration.keys"


def fingerprint(key: bytes) -> str:
    """Return the first 12 digits of SHA-256 over a key, by which two machines' rings are compared."""
    return hashlib.sha256(b"ringi key\0" + key).hexdigest()[:12]


def read() -> Ring:
    """Return the ring; the first call makes it, with one key."""
    try:
        return _parsed(path().read_text())
    except FileNotFoundError:
        with _alone():
            if not path().exists():
                first = secrets.token_hex(4)
                _write(Ring(first, {first: secrets.token_bytes(32)}, secrets.token_bytes(32), time.time()))
        return _parsed(path().read_text())


def add() -> Ring:
    """Add a key that encrypts nothing yet, so that it can be carried to the other machines first."""
    read()
    with _alone():
        ring = _parsed(path().read_text())
        made = Ring(
            ring.current, {**ring.keys, secrets.token_hex(4): secrets.token_bytes(32)}, ring.digest, ring.changed_at
        )
        _write(made)
    return made


def use(key_id: str) -> Ring:
    """Let a key encrypt from now on. Raises KeyMissing."""
    with _alone():
        ring = _parsed(path().read_text())
        ring.key(key_id)
        made = Ring(key_id, ring.keys, ring.digest, time.time())
        _write(made)
    return made


def drop(key_ids: set[str]) -> Ring:
    """Take keys out for good; what only they open is lost. The one that encrypts stays, whatever is asked."""
    with _alone():
        ring = _parsed(path().read_text())
        kept = {name: key for name, key in ring.keys.items() if name not in key_ids or name == ring.current}
        made = Ring(ring.current, kept, ring.digest, ring.changed_at)
        _write(made)
    return made


def _parsed(text: str) -> Ring:
    content = json.loads(text)
    keys = {name: bytes.fromhex(key) for name, key in content["keys"].items()}
    return Ring(content["current"], keys, bytes.fromhex(content["digest"]), content["changed_at"])


@contextmanager
def _alone() -> Iterator[None]:
    make_folder(path().parent)
    descriptor = os.open(path().with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    as_its_folder(descriptor, path().parent)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write(ring: Ring) -> None:
    """Replace the file in one rename, so that a crash leaves the old or the new ring."""
    content = {
        "current": ring.current,
        "changed_at": ring.changed_at,
        "digest": ring.digest.hex(),
        "keys": {name: key.hex() for name, key in ring.keys.items()},
    }
    write_private(path(), json.dumps(content, indent=1) + "\n")
