"""Signed checkpoints (C2SP tlog-checkpoint, Ed25519): how a note is written, read, and by which keys it is believed.

The ledger signer writes notes; audit_verify and the export read them, with the forms of the offline verifier, so that
no two verifiers read a note in two ways.
"""

import base64
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from audit.ledger.signing_key import SigningKey
from audit.offline.ringi_verify import RENEWAL, Inconclusive, key_id, parse_key, parse_note, signatures_of, split_notes
from audit.private_files import as_its_folder

ED25519 = b"\x01"
# More digits has no number that the ledger counts with; a note of thousands would keep every reader busy.
MOST_DIGITS = 19
# The line by which the key before signs the next one.
NEXT_KEY = "next key "


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


@dataclass(frozen=True)
class PublicKey:
    """A key to verify notes with, written as `name+keyid+base64(type ‖ key)`."""

    name: str
    public: bytes

    def __str__(self) -> str:
        encoded = base64.b64encode(ED25519 + self.public).decode()
        return f"{self.name}+{key_id(self.name, self.public).hex()}+{encoded}"

    @classmethod
    def all_of(cls, text: str) -> "list[PublicKey]":
        """Read a file of keys, one on each line; raise `BadNote`."""
        return [cls.parse(line) for line in text.splitlines() if line.strip()]

    @classmethod
    def parse(cls, text: str) -> "PublicKey":
        """Read the written form; raise `BadNote` when it is not one."""
        try:
            return cls(*parse_key(text))
        except Inconclusive as fault:
            raise BadNote(str(fault))


def sign(checkpoint: Checkpoint, private: SigningKey, next_key: PublicKey | None = None) -> str:
    """Return the signed note of a checkpoint, and of the key that follows; the key is named like the origin."""
    text, name = checkpoint.text() + (f"{NEXT_KEY}{next_key}\n" if next_key else ""), checkpoint.origin
    public = private.public_key().public_bytes_raw()
    blob = base64.b64encode(key_id(name, public) + private.sign(text.encode())).decode()
    return f"{text}\n— {name} {blob}\n"


def parse(note: str) -> Checkpoint:
    """Return the claim of a note, its signatures not looked at; raise `BadNote`."""
    return _split(note)[0]


def _split(note: str) -> tuple[Checkpoint, str, list[tuple[str, bytes]]]:
    """Return claim, signed text, and name and bytes (key id, signature) of each signature line of a note."""
    try:
        size, root = parse_note(note)
        signatures = signatures_of(note)
    except ValueError as fault:
        raise BadNote(f"the note can't be read: {fault}")
    text = note.rpartition("\n\n")[0] + "\n"
    return Checkpoint(text.partition("\n")[0], size, root), text, signatures


def read(note: str, keys: PublicKey | Iterable[PublicKey] | None = None) -> Checkpoint:
    """Return the claim of a note, verified when keys are given; raise `BadNote`."""
    checkpoint, text, signatures = _split(note)
    known = as_keys(keys)
    if known and not _signed(text, signatures, known):
        raise BadNote(f"the note bears no signature of {known[0].name}")
    return checkpoint


def as_keys(keys: PublicKey | Iterable[PublicKey] | None) -> tuple[PublicKey, ...]:
    """Return one key, several or none as a tuple."""
    if keys is None:
        return ()
    return (keys,) if isinstance(keys, PublicKey) else tuple(keys)


def _signed(text: str, signatures: Iterable[tuple[str, bytes]], keys: Iterable[PublicKey]) -> bool:
    """Tell whether a key of these signed the text; raise `BadNote` for a signature by one that is false."""
    by_id = {(key.name, key_id(key.name, key.public)): key for key in keys}
    signed = False
    for name, raw in signatures:
        if (key := by_id.get((name, raw[:4]))) is not None:  # the note may carry signatures of others
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


def renewal(event: Mapping[str, Any], keys: Iterable[PublicKey]) -> tuple[Checkpoint, PublicKey] | None:
    """Return the key that an event names as the next one, and the checkpoint up to which one of these keys has signed
    when it signed that; None where none of them did.
    """
    try:
        key = PublicKey.parse(event["after"]["key"])
        checkpoint, text, signatures = _split(event["after"]["note"])
        if text == f"{checkpoint.text()}{NEXT_KEY}{key}\n" and _signed(text, signatures, keys):
            return checkpoint, key
    except (BadNote, KeyError, TypeError, AttributeError):
        return None
    return None


class Signers:
    """The keys that are believed: those given, and those that the ledger names, each signed by one believed before.

    last: size and root of the last checkpoint that agreed. unsigned: numbers of events that name a key without that
    signature, and that no believed checkpoint covers.
    """

    def __init__(self, keys: PublicKey | Iterable[PublicKey] | None, last: tuple[int, bytes]) -> None:
        self.keys, self.last = list(as_keys(keys)), last
        self.unsigned: list[int] = []

    def hear(self, number: int, event: Mapping[str, Any]) -> None:
        """Believe the key that an event names, if a believed key signed that together with the last checkpoint."""
        if event["operation"] != RENEWAL or event["kind"] != "operation" or not self.keys:
            return
        named = renewal(event, self.keys)
        if named is not None and (named[0].size, named[0].root) == self.last:
            self.keys.append(named[1])
        else:
            self.unsigned.append(number)

    def believe(self, note: str) -> bool:
        """Tell whether a believed key signed the note. Raises `BadNote` when the signature of one does not verify."""
        checkpoint, text, signatures = _split(note)
        if not _signed(text, signatures, self.keys):
            return False
        self.unsigned = [number for number in self.unsigned if number > checkpoint.size]
        return True


def append_note(file: Path, note: str) -> None:
    """Append a note to a file of them, unless it is the last; what a crash left behind the last whole one is cut
    off.
    """
    written = note.encode()
    with file.open("a+b") as out:
        as_its_folder(out.fileno(), file.parent)
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


def notes_of(file: Path) -> list[str]:
    """Return the notes of a file to which the ledger signer appends them, the last perhaps cut short; none when there
    is no file.
    """
    return split_notes(file.read_text(encoding="utf-8")) if file.exists() else []
