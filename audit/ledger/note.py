"""Signed checkpoints (C2SP tlog-checkpoint, Ed25519): how a note is written, read, and by which keys it is believed.

The sealer writes notes; audit_verify, the export and the offline verifier read them.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ED25519 = b"\x01"
# More digits has no number that the ledger counts with; a note of thousands would keep every reader busy.
MOST_DIGITS = 19
# The one action by which the sealer names its next key; the database lets nobody else append it.
RENEWAL = "audit:renew_key"


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
    def all_of(cls, text: str) -> list[PublicKey]:
        """Read a file of keys, one on each line; raise `BadNote`."""
        return [cls.parse(line) for line in text.splitlines() if line.strip()]

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


def parse(note: str) -> Checkpoint:
    """Return the claim of a note, its signatures not looked at; raise `BadNote`."""
    return _split(note)[0]


def _split(note: str) -> tuple[Checkpoint, str, str]:
    """Return claim, signed text and signature lines of a note."""
    text, blank, lines = note.rpartition("\n\n")
    text += "\n"
    parts = text.split("\n")
    if not blank or not note.endswith("\n") or len(parts) < 4 or not all(parts[:-1]):
        raise BadNote("the note has not the form of a checkpoint")
    origin, size, root = parts[:3]
    if len(size) > MOST_DIGITS:
        raise BadNote("size or root of the note is malformed")
    try:
        checkpoint = Checkpoint(origin, int(size), base64.b64decode(root, validate=True))
    except (ValueError, binascii.Error):
        raise BadNote("size or root of the note can't be read")
    if str(checkpoint.size) != size or checkpoint.size < 0 or len(checkpoint.root) != 32:
        raise BadNote("size or root of the note is malformed")
    return checkpoint, text, lines


def read(note: str, keys: PublicKey | Iterable[PublicKey] | None = None) -> Checkpoint:
    """Return the claim of a note, verified when keys are given; raise `BadNote`."""
    checkpoint, text, lines = _split(note)
    known = as_keys(keys)
    if known and not _signed(text, lines, known):
        raise BadNote(f"the note bears no signature of {known[0].name}")
    return checkpoint


def as_keys(keys: PublicKey | Iterable[PublicKey] | None) -> tuple[PublicKey, ...]:
    """Return one key, several or none as a tuple."""
    if keys is None:
        return ()
    return (keys,) if isinstance(keys, PublicKey) else tuple(keys)


def _signed(text: str, lines: str, keys: Iterable[PublicKey]) -> bool:
    """Tell whether a key of these signed the text; raise `BadNote` for a signature that is false or no signature."""
    by_id = {(key.name, key_id(key.name, key.public)): key for key in keys}
    signed = False
    for line in lines.splitlines():
        dash, name, blob = [*line.split(" "), "", "", ""][:3]
        try:
            raw = base64.b64decode(blob, validate=True)
        except binascii.Error:
            raise BadNote("a signature line of the note can't be read")
        key = by_id.get((name, raw[:4]))
        if dash != "—" or key is None:
            continue  # the note may carry signatures of others
        try:
            Ed25519PublicKey.from_public_bytes(key.public).verify(raw[4:], text.encode())
        except InvalidSignature:
            raise BadNote("the signature does not verify")
        signed = True
    return signed


class KeyRing(tuple[PublicKey, ...]):
    """Several keys, written with spaces between."""

    def __str__(self) -> str:
        return " ".join(map(str, self))


class Signers:
    """The keys that are believed: those given, and those that the ledger names below a note of a believed one."""

    def __init__(self, keys: PublicKey | Iterable[PublicKey] | None) -> None:
        self.keys = list(as_keys(keys))
        self.named: list[tuple[int, PublicKey]] = []

    def hear(self, number: int, event: Mapping[str, Any]) -> None:
        """Take note of an event that names the sealer's next key; it counts once a believed note covers it."""
        if event["action"] != RENEWAL or event["kind"] != "action" or not isinstance(event["after"], dict):
            return
        try:
            self.named.append((number, PublicKey.parse(str(event["after"].get("key", "")))))
        except BadNote:
            return

    def believe(self, note: str) -> bool:
        """Tell whether a believed key signed the note, and believe the keys that it covers.

        Raises `BadNote` when a believed key's signature does not verify.
        """
        checkpoint, text, lines = _split(note)
        if not _signed(text, lines, self.keys):
            return False
        self.keys += [key for number, key in self.named if number <= checkpoint.size]
        self.named = [(number, key) for number, key in self.named if number > checkpoint.size]
        return True


def append_note(file: Path, note: str) -> None:
    """Append a note to a file of them, unless it is the last; what a crash left behind the last whole one is cut off."""
    written = note.encode()
    with file.open("a+b") as out:
        end = _whole(out)
        out.truncate(end)
        out.seek(max(0, end - len(written)))
        if out.read() != written:
            out.write(written)
            out.flush()
            os.fsync(out.fileno())


def _whole(file: IO[bytes]) -> int:
    """Return where the last line of a signature ends that was written to its end, looked for from the end on."""
    dash, length = "— ".encode(), file.seek(0, os.SEEK_END)
    for begin in (max(0, length - 4096), 0):
        file.seek(begin)
        read = file.read()
        end = len(read)
        while (end := read.rfind(b"\n", 0, end)) >= 0:
            if read[read.rfind(b"\n", 0, end) + 1 : end].startswith(dash):
                return begin + end + 1
    return 0


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
