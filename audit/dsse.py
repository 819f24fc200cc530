"""Signed statements of the application (DSSE v1, Ed25519): manifests of evidence packs and counts of populations.

The key is the application's own, kept in a folder outside the database; the ledger signer's key signs the ledger alone.
Source: the protocol of secure-systems-lab/dsse, version 1.0.2.
"""

import base64
import os
import secrets
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.private_files import as_its_folder, make_folder

KEY = "key"


def to_sign(kind: str, body: bytes) -> bytes:
    """Return the pre-authentication encoding of a payload of the payload type `kind`."""
    name = kind.encode()
    return b"DSSEv1 %d %s %d %s" % (len(name), name, len(body), body)


@dataclass(frozen=True)
class Signer:
    """The application's key for statements."""

    private: Ed25519PrivateKey

    @property
    def public(self) -> bytes:
        """Return the public key, 32 bytes."""
        return self.private.public_key().public_bytes_raw()

    @property
    def key_id(self) -> str:
        """Return the name by which envelopes call the key: SHA-256 of the public key, hex."""
        return sha256(self.public).hexdigest()

    @classmethod
    def opened(cls, folder: Path) -> "Signer":
        """Open the key of a folder; the first time one is made, private to the account that runs the application."""
        file = folder / KEY
        if not file.exists():
            make_folder(folder)
            fresh = folder / f"{KEY}.{secrets.token_hex(4)}"
            with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
                as_its_folder(out.fileno(), folder)
                out.write(base64.b64encode(secrets.token_bytes(32)) + b"\n")
                out.flush()
                os.fsync(out.fileno())
            try:
                os.link(fresh, file)  # of two processes that make the first key, one wins
            except FileExistsError:
                pass
            fresh.unlink()
        return cls(Ed25519PrivateKey.from_private_bytes(base64.b64decode(file.read_bytes())))

    def envelope(self, kind: str, body: bytes) -> bytes:
        """Return the signed envelope of a payload; Ed25519 gives the same bytes every time."""
        signature = base64.b64encode(self.private.sign(to_sign(kind, body))).decode()
        return rfc8785.dumps(
            {
                "payload": base64.b64encode(body).decode(),
                "payloadType": kind,
                "signatures": [{"keyid": self.key_id, "sig": signature}],
            }
        )
