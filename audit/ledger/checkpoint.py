"""Signed checkpoints (C2SP tlog-checkpoint, Ed25519), and the sealer that makes and remembers them.

`manage.py sealer` seals; audit_verify and the export read notes. The sealer's folder lies outside the
database.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from audit.ledger.proof import Frontier, leaf_hash

ED25519 = b"\x01"
GENESIS = bytes(32)
BATCH = 5000


class Unsealable(Exception):
    """The ledger contradicts what the sealer remembers to have signed; the message says where."""


class BadNote(ValueError):
    """A checkpoint note is malformed, or its signature does not verify with the key given."""


@dataclass(frozen=True)
class Checkpoint:
    """The claim of a note: the first `size` events have the Merkle root `root` (32 bytes)."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """Return the text that is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def key_id(name: str, public: bytes) -> bytes:
    """Return the four bytes by which a signature line names its key."""
    return sha256(name.encode() + b"\n" + ED25519 + public).digest()[:4]


@dataclass(frozen=True)
class PublicKey:
    """A key to verify notes with, written as `name+keyid+base64(type ‖ key)`."""

    name: str
    public: bytes

    def __str__(self) -> str:
        encoded = base64.b64encode(ED25519 + self.public).decode()
        return f"{self.name}+{key_id(self.name, self.public).hex()}+{encoded}"

    @classmethod
    def parse(cls, text: str) -> PublicKey:
        """Read the written form; raise `BadNote` when it is not one."""
        try:
            name, identity, encoded = text.strip().split("+", 2)
            raw = base64.b64decode(encoded, validate=True)
        except (ValueError, binascii.Error):
            raise BadNote("the public key is not of the form name+keyid+base64")
        if raw[:1] != ED25519 or len(raw) != 33 or key_id(name, raw[1:]).hex() != identity:
            raise BadNote("the public key is not an Ed25519 key or its id is wrong")
        return cls(name, raw[1:])


def sign(checkpoint: Checkpoint, private: Ed25519PrivateKey) -> str:
    """Return the signed note of a checkpoint; the key is named like the origin."""
    text, name = checkpoint.text(), checkpoint.origin
    public = private.public_key().public_bytes_raw()
    blob = base64.b64encode(key_id(name, public) + private.sign(text.encode())).decode()
    return f"{text}\n— {name} {blob}\n"


def read(note: str, key: PublicKey | None = None) -> Checkpoint:
    """Return the claim of a note, verified when a key is given; raise `BadNote`."""
    text, blank, lines = note.rpartition("\n\n")
    text += "\n"
    parts = text.split("\n")
    if not blank or not note.endswith("\n") or len(parts) < 4 or not all(parts[:-1]):
        raise BadNote("the note has not the form of a checkpoint")
    origin, size, root = parts[:3]
    try:
        checkpoint = Checkpoint(origin, int(size), base64.b64decode(root, validate=True))
    except (ValueError, binascii.Error):
        raise BadNote("size or root of the note can't be read")
    if str(checkpoint.size) != size or len(checkpoint.root) != 32:
        raise BadNote("size or root of the note is malformed")
    if key is not None:
        _verify(text, lines, key)
    return checkpoint


def _verify(text: str, lines: str, key: PublicKey) -> None:
    verified = False
    for line in lines.splitlines():
        dash, name, blob = [*line.split(" "), "", "", ""][:3]
        try:
            raw = base64.b64decode(blob, validate=True)
        except binascii.Error:
            raise BadNote("a signature line of the note can't be read")
        if dash != "—" or name != key.name or raw[:4] != key_id(key.name, key.public):
            continue  # the note may carry signatures of others
        try:
            Ed25519PublicKey.from_public_bytes(key.public).verify(raw[4:], text.encode())
        except InvalidSignature:
            raise BadNote("the signature does not verify")
        verified = True
    if not verified:
        raise BadNote(f"the note bears no signature of {key.name}")


def notes_of(file: Path) -> Iterator[str]:
    """Yield the notes of a file to which the sealer appends them; nothing when there is no file."""
    if not file.exists():
        return
    lines: list[str] = []
    signed = False
    for line in [*file.read_text(encoding="utf-8").splitlines(keepends=True), ""]:
        if signed and not line.startswith("— "):
            yield "".join(lines)
            lines, signed = [], False
        lines.append(line)
        signed = signed or line.startswith("— ")
    if "".join(lines).strip():
        yield "".join(lines)  # a note cut short; reading it says so


def _write(file: Path, text: str) -> None:
    """Replace a private file in one step, safe against a crash."""
    fresh = file.with_name(file.name + ".new")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    fresh.replace(file)


class Sealer:
    """Signs the ledger's growth; its folder holds `key`, `key.pub`, `state.json` and `checkpoints.txt`."""

    def __init__(self, folder: Path, origin: str = "ringi.example/ledger") -> None:
        """Open the folder, made with a key when there is none; `origin` begins the name of a new ledger."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder = folder
        file = folder / "key"
        if not file.exists():
            if (folder / "state.json").exists():
                raise Unsealable("the sealer's key is missing, but it has signed before: put the key back")
            seed = base64.b64encode(secrets.token_bytes(32)).decode()
            _write(file, f"{origin}/{secrets.token_hex(4)}\n{seed}\n")
        self.origin, seed = file.read_text(encoding="utf-8").split()
        self.private = Ed25519PrivateKey.from_private_bytes(base64.b64decode(seed))
        self.public = PublicKey(self.origin, self.private.public_key().public_bytes_raw())
        _write(folder / "key.pub", f"{self.public}\n")
        self.frontier, self.chain, self.note = Frontier(), GENESIS, ""
        state = folder / "state.json"
        self.remembers = state.exists()
        if self.remembers:
            kept = json.loads(state.read_text(encoding="utf-8"))
            self.frontier = Frontier(kept["size"], map(bytes.fromhex, kept["frontier"]))
            self.chain, self.note = bytes.fromhex(kept["chain"]), kept["note"]

    def seal(self, connection: Any) -> Checkpoint | None:
        """Sign what was linked since the last time and publish it; None when there is nothing new.

        Raises `Unsealable` when the ledger is shorter than, or not an extension of, what was signed before.
        """
        with connection.cursor() as cursor:
            self._compare(cursor)
            self._publish(cursor)  # what a crash kept from being published
            frontier, chain = self._grown(cursor)
            if frontier.size == self.frontier.size:
                return None
            checkpoint = Checkpoint(self.origin, frontier.size, frontier.root())
            self.frontier, self.chain = frontier, chain
            self.note = sign(checkpoint, self.private)
            kept = {
                "size": frontier.size,
                "frontier": [root.hex() for root in frontier.roots],
                "chain": chain.hex(),
                "note": self.note,
            }
            # Remembered before it is published: never two different statements about one size.
            _write(self.folder / "state.json", json.dumps(kept))
            self.remembers = True
            self._publish(cursor)
        return checkpoint

    def _compare(self, cursor: Any) -> None:
        size = self.frontier.size
        cursor.execute("SELECT number, chain FROM audit_head WHERE id = 1")
        head = cursor.fetchone()
        if head is None or head[0] < size:
            raise Unsealable(
                f"the ledger has {head[0] if head else 0} events, but {size} were signed before:"
                f" events from number {head[0] + 1 if head else 1} on are missing"
            )
        cursor.execute("SELECT number, note FROM audit_checkpoint ORDER BY number DESC LIMIT 1")
        last = cursor.fetchone()
        if last is not None and not self.remembers:
            raise Unsealable("the ledger bears checkpoints that this sealer does not remember: put its state.json back")
        if last is not None and (last[0] > size or (last[0] == size and last[1] != self.note)):
            raise Unsealable(f"the last checkpoint in the ledger, of {last[0]} events, is not the one signed here")
        if size:
            cursor.execute("SELECT chain FROM audit_link WHERE number = %s", [size])
            link = cursor.fetchone()
            if link is None or bytes(link[0]) != self.chain:
                raise Unsealable(
                    f"the first {size} events are not those that were signed before: number {size} differs"
                )

    def _grown(self, cursor: Any) -> tuple[Frontier, bytes]:
        frontier, chain = Frontier(self.frontier.size, self.frontier.roots), self.chain
        while True:
            cursor.execute(
                "SELECT l.number, l.leaf, l.chain, e.bytes FROM audit_link l LEFT JOIN audit_event e"
                " ON e.id = l.event_id WHERE l.number > %s ORDER BY l.number LIMIT %s",
                [frontier.size, BATCH],
            )
            rows = cursor.fetchall()
            for number, leaf, linked, event in rows:
                leaf = bytes(leaf)
                chain = sha256(b"\x01" + chain + leaf).digest()
                if number != frontier.size + 1 or event is None:
                    raise Unsealable(f"number {frontier.size + 1} is missing")
                if leaf_hash(bytes(event)) != leaf or chain != bytes(linked):
                    raise Unsealable(f"number {number} does not fit the chain")
                frontier.add(leaf)
            if len(rows) < BATCH:
                return frontier, chain

    def _publish(self, cursor: Any) -> None:
        if not self.note:
            return
        file = self.folder / "checkpoints.txt"
        note = self.note.encode()
        with file.open("a+b") as out:
            out.seek(max(0, out.tell() - len(note)))
            if out.read() != note:
                out.write(note)
                out.flush()
                os.fsync(out.fileno())
        cursor.execute("SELECT EXISTS (SELECT FROM audit_checkpoint WHERE number = %s)", [self.frontier.size])
        if not cursor.fetchone()[0]:
            cursor.execute("SELECT ringi_seal(%s, %s, %s)", [self.frontier.size, self.frontier.root(), self.note])
