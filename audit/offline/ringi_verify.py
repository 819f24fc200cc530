#!/usr/bin/env python3
"""Verify an exported Ringi ledger offline; one file, nothing but the Python standard library (3.9 or newer).

    ringi_verify.py EXPORT [--checkpoint NOTE]... [--key KEY]

EXPORT is a file of JSON Lines, or - for standard input. NOTE is a file with one or more signed checkpoints
kept from earlier; KEY is the sealer's public key (`name+keyid+base64`, or a file that holds it), best known
from elsewhere than the export. Exit status: 0 it holds, 1 it is broken (the first bad number is printed), 2
it can't be told.

What is checked: leaf = SHA-256(0x00 || event); chain = SHA-256(0x01 || previous chain || leaf), before the
first event 32 zero bytes; numbers 1, 2, 3, ... without a gap; each checkpoint (C2SP tlog-checkpoint,
Ed25519) against the RFC 6962 Merkle tree hash over the leaves; the head at the end.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import json
import os
import sys
from collections.abc import Iterable
from hashlib import sha256, sha512
from typing import Any

KEYS = {"act", "action", "actor", "after", "before", "channel", "id", "kind"}
KEYS |= {"object", "on_behalf", "outcome", "reason", "request", "ts", "tx", "v"}

# Edwards curve of Ed25519 (RFC 8032, 5.1), points as extended coordinates (X, Y, Z, T).
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)


Point = tuple[int, ...]
Key = tuple[str, bytes]


class Broken(Exception):
    """The export contradicts itself or a checkpoint."""

    def __init__(self, number: int, what: str) -> None:
        self.number, self.what = number, what
        super().__init__(what)


class CannotTell(Exception):
    """Something needed for a verdict is missing or unreadable."""


def add(a: Point, b: Point) -> Point:
    """Add two points of the curve."""
    e, f = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    g, h = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    i, j, k, m = f - e, h - g, h + g, f + e
    return (i * j % P, k * m % P, j * k % P, i * m % P)


def times(scalar: int, point: Point) -> Point:
    """Multiply a point."""
    result: Point = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point = add(point, point)
        scalar >>= 1
    return result


def point_of(encoded: bytes) -> Point | None:
    """Decode 32 bytes to a point; None when they are none."""
    y = int.from_bytes(encoded, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT_OF_MINUS_ONE % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return (x, y, 1, x * y % P)


BASE_Y = 4 * pow(5, P - 2, P) % P
BASE = point_of(BASE_Y.to_bytes(32, "little")) or ()


def ed25519_verifies(public: bytes, message: bytes, signature: bytes) -> bool:
    """Tell whether a signature of 64 bytes is by the key of 32 bytes (RFC 8032, 5.1.7)."""
    if len(public) != 32 or len(signature) != 64:
        return False
    a, r, s = point_of(public), point_of(signature[:32]), int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= L:
        return False
    challenge = int.from_bytes(sha512(signature[:32] + public + message).digest(), "little") % L
    left, right = times(s, BASE), add(r, times(challenge, a))
    return (left[0] * right[2] - right[0] * left[2]) % P == 0 and (left[1] * right[2] - right[1] * left[2]) % P == 0


def key_id(name: str, public: bytes) -> bytes:
    """Return the four bytes by which a note names its key."""
    return sha256(name.encode() + b"\n\x01" + public).digest()[:4]


def parse_key(text: str) -> Key:
    """Read `name+keyid+base64`; return name and key."""
    try:
        name, identity, encoded = text.strip().split("+", 2)
        raw = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error):
        raise CannotTell("the public key is not of the form name+keyid+base64")
    if raw[:1] != b"\x01" or len(raw) != 33 or key_id(name, raw[1:]).hex() != identity:
        raise CannotTell("the public key is not an Ed25519 key or its id is wrong")
    return name, raw[1:]


def read_note(note: str, key: Key | None) -> tuple[int, bytes]:
    """Return size and root of a checkpoint; raise ValueError when malformed or not signed by the key."""
    text, blank, signatures = note.rpartition("\n\n")
    lines = text.split("\n")
    if not blank or not note.endswith("\n") or len(lines) < 3 or not all(lines):
        raise ValueError("the note has not the form of a checkpoint")
    size, root = int(lines[1]), base64.b64decode(lines[2], validate=True)
    if str(size) != lines[1] or len(root) != 32:
        raise ValueError("size or root of the note is malformed")
    if key is None:
        return size, root
    name, public = key
    for line in signatures.splitlines():
        words = line.split(" ")
        if len(words) == 3 and words[0] == "\u2014" and words[1] == name:
            raw = base64.b64decode(words[2], validate=True)
            if raw[:4] == key_id(name, public):
                if ed25519_verifies(public, (text + "\n").encode(), raw[4:]):
                    return size, root
                raise ValueError("the signature does not verify")
    raise ValueError("the note bears no signature of " + name)


def split_notes(text: str) -> list[str]:
    """Return the notes of a file to which they were appended."""
    notes: list[str] = []
    lines: list[str] = []
    signed = False
    for line in text.splitlines(True):
        if signed and not line.startswith("\u2014 "):
            notes.append("".join(lines))
            lines, signed = [], False
        lines.append(line)
        signed = signed or line.startswith("\u2014 ")
    return notes + (["".join(lines)] if lines else [])


class Ledger:
    """The state of a verification that has read `number` events."""

    def __init__(self, earlier: Iterable[tuple[int, bytes]], key: Key | None) -> None:
        self.number, self.agreed, self.checkpoints = 0, 0, 0
        self.chain, self.key = bytes(32), key
        self.subtrees: list[bytes] = []
        self.earlier: dict[int, list[bytes]] = {}
        for size, root in earlier:
            self.earlier.setdefault(size, []).append(root)

    def take_event(self, record: dict[str, Any]) -> None:
        """Check one line of an event against what came before."""
        number = self.number + 1
        if record["number"] != number:
            raise Broken(number, f"the event is missing; the export goes on with number {record['number']}")
        try:
            event = base64.b64decode(record["event"], validate=True)
            leaf, chain = bytes.fromhex(record["leaf"]), bytes.fromhex(record["chain"])
        except (KeyError, TypeError, ValueError):
            raise Broken(number, "event, leaf or chain is missing or can't be read")
        if sha256(b"\x00" + event).digest() != leaf:
            raise Broken(number, "the bytes of the event do not hash to its leaf")
        self.chain = sha256(b"\x01" + self.chain + leaf).digest()
        if self.chain != chain:
            raise Broken(number, "the chain value is not that of the event before and this leaf")
        try:
            contents = json.loads(event)
        except ValueError:
            raise Broken(number, "the bytes of the event are not JSON")
        if not isinstance(contents, dict) or set(contents) != KEYS:
            raise Broken(number, "the event has not the fields of an event")
        size, node = self.number, leaf
        while size & 1:
            node = sha256(b"\x01" + self.subtrees.pop() + node).digest()
            size >>= 1
        self.subtrees.append(node)
        self.number = number
        for root in self.earlier.pop(number, ()):
            self.compare(number, root)

    def root(self) -> bytes:
        """Return the Merkle tree hash so far."""
        if not self.subtrees:
            return sha256(b"").digest()
        root = self.subtrees[-1]
        for left in reversed(self.subtrees[:-1]):
            root = sha256(b"\x01" + left + root).digest()
        return root

    def compare(self, size: int, root: bytes) -> None:
        """Check the claim of a checkpoint of exactly the events read."""
        if root != self.root():
            raise Broken(
                self.agreed + 1,
                f"events {self.agreed + 1} to {size} are not those that the checkpoint of {size} events was signed for",
            )
        self.agreed = size
        self.checkpoints += 1

    def take_checkpoint(self, note: str) -> None:
        """Check a checkpoint line; it stands right behind the last event it covers."""
        try:
            size, root = read_note(note, self.key)
        except (ValueError, AttributeError) as fault:
            raise Broken(self.number, f"checkpoint after this event: {fault}")
        if size > self.number:
            raise Broken(self.number + 1, f"the event is missing: a checkpoint covers {size} events")
        if size < self.number:
            raise Broken(self.number, f"a checkpoint of {size} events stands behind this event")
        self.compare(size, root)

    def finish(self, head: dict[str, Any] | None) -> None:
        """Check the head, and that every earlier checkpoint was reached."""
        if self.earlier:
            raise Broken(self.number + 1, f"the event is missing: a checkpoint covers {max(self.earlier)} events")
        if head is None:
            raise Broken(self.number + 1, "the export ends without its head")
        if head["number"] != self.number:
            raise Broken(self.number + 1, f"the event is missing: the head says {head['number']} events")
        if head["chain"] != self.chain.hex():
            raise Broken(self.number, "the chain value of the head is not that of the last event")


def verify(lines: Iterable[str], earlier_notes: Iterable[str], key: Key | None) -> tuple[Ledger, bool]:
    """Verify an export given as lines; return the Ledger at its end, and whether the key came from inside."""
    ledger: Ledger | None = None
    head: dict[str, Any] | None = None
    key_inside = False
    for place, line in enumerate(lines, 1):
        number = ledger.number + 1 if ledger is not None else 1
        try:
            record = json.loads(line)
            if not isinstance(record, dict):
                raise ValueError
        except ValueError:
            if ledger is None:
                raise CannotTell("this is not an export of a Ringi ledger")
            raise Broken(number, f"line {place} can't be read")
        if ledger is None:
            if record.get("ringi") != "export" or record.get("v") != 1:
                raise CannotTell("this is not an export of a Ringi ledger of version 1")
            if key is None and record.get("key"):
                key, key_inside = parse_key(record["key"]), True
            try:
                earlier = [read_note(note, key) for note in earlier_notes]
            except ValueError as fault:
                raise CannotTell(f"an earlier checkpoint: {fault}")
            ledger = Ledger(earlier, key)
        elif head is not None:
            raise Broken(number, f"line {place} stands behind the head")
        elif "number" in record:
            ledger.take_event(record)
        elif "checkpoint" in record:
            ledger.take_checkpoint(record["checkpoint"])
        elif isinstance(record.get("head"), dict) and {"number", "chain"} <= set(record["head"]):
            head = record["head"]
        else:
            raise Broken(number, f"line {place} is neither event nor checkpoint nor head")
    if ledger is None:
        raise CannotTell("the export is empty")
    ledger.finish(head)
    return ledger, key_inside


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description="Verify an exported Ringi ledger offline.")
    parser.add_argument("export", help="JSON Lines, or - for standard input")
    parser.add_argument("--checkpoint", action="append", default=[], help="file with signed checkpoints kept earlier")
    parser.add_argument("--key", help="public key of the sealer, or a file that holds it")
    options = parser.parse_args(arguments)
    try:
        key = None
        if options.key:
            text = options.key
            if os.path.exists(text):
                with open(text, encoding="utf-8") as source:
                    text = source.read()
            key = parse_key(text)
        notes = []
        for name in options.checkpoint:
            with open(name, encoding="utf-8") as source:
                notes += split_notes(source.read())
        if options.export == "-":
            ledger, key_inside = verify(sys.stdin, notes, key)
        else:
            with open(options.export, encoding="utf-8") as export:
                ledger, key_inside = verify(export, notes, key)
    except Broken as broken:
        print(f"BROKEN at number {broken.number}: {broken.what}")
        return 1
    except (CannotTell, OSError, UnicodeDecodeError) as fault:
        print(f"CAN'T TELL: {fault}")
        return 2
    print(f"HOLDS: {ledger.number} events, {ledger.checkpoints} checkpoints, root {ledger.root().hex()}")
    if ledger.key is None and ledger.checkpoints:
        print("CAN'T TELL who signed the checkpoints: no public key given")
        return 2
    if key_inside:
        print("The public key came from the export itself; compare it with one you have from elsewhere.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
