"""A small log, made as the ledger makes it, for the test vectors."""

from __future__ import annotations

import base64
from hashlib import sha256
from typing import Any

import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.ledger.note import Checkpoint, PublicKey, sign
from audit.ledger.proof import leaf_hash, tree_hash

Line = Any
NEXT_SEED = b"ringi: next key of the test vectors"


SIGNATURE_MARK = "\N{EM DASH} "


def private(seed: bytes) -> Ed25519PrivateKey:
    """Return the key whose seed is the SHA-256 of these bytes."""
    return Ed25519PrivateKey.from_private_bytes(sha256(seed).digest())


class Log:
    """Events in a row, with what an export says of them."""

    def __init__(self, origin: str, key: Ed25519PrivateKey, events: list[bytes]) -> None:
        self.origin, self.key, self.events = origin, key, events
        self.leaves = [leaf_hash(event) for event in events]

    def lines(self) -> list[Line]:
        """Return the line of each event."""
        chain, found = bytes(32), []
        for number, (event, leaf) in enumerate(zip(self.events, self.leaves, strict=True), 1):
            chain = sha256(b"\x01" + chain + leaf).digest()
            event64 = base64.b64encode(event).decode()
            found.append({"number": number, "event": event64, "leaf": leaf.hex(), "chain": chain.hex()})
        return found

    def head(self) -> Line:
        """Return the line of the head."""
        last = self.lines()[-1]
        return {"head": {"number": last["number"], "chain": last["chain"]}}

    def note(self, size: int, key: Ed25519PrivateKey | None = None, root: bytes | None = None) -> str:
        """Return the signed checkpoint of a size."""
        claim = Checkpoint(self.origin, size, tree_hash(self.leaves[:size]) if root is None else root)
        return sign(claim, key or self.key)

    def exported(self, *sizes: int) -> list[Line]:
        """Return all lines but the title, with checkpoints behind these sizes."""
        found = []
        for line in self.lines():
            found.append(line)
            found += [{"checkpoint": self.note(size)} for size in sizes if size == line["number"]]
        return [*found, self.head()]


def _renewing(log: Log, renewal: dict[str, Any], by: Ed25519PrivateKey, root: bytes) -> dict[str, Any]:
    """Return a renewal with the note of its signature; before it there is no checkpoint."""
    note = sign(Checkpoint(log.origin, 0, root), by, PublicKey.parse(renewal["after"]["key"]))
    return renewal | {"after": renewal["after"] | {"note": note}}


def _with(log: Log, event: dict[str, Any]) -> Log:
    """Return the log with another second event."""
    return Log(log.origin, log.key, [log.events[0], rfc8785.dumps(event), log.events[2]])
