#!/usr/bin/env python3
"""Verify a Ringi ledger offline; one file, nothing but the Python standard library (3.9 or newer).

    ringi_verify.py FILE [--checkpoint NOTE]... [--key KEY]...

FILE is an export or a file of proofs (JSON Lines), or - for standard input. NOTE is a file with one or more signed
checkpoints kept from earlier; KEY is a public key of the sealer (`name+keyid+base64`, or a file with one on each
line), best known from elsewhere than FILE. Exit status: 0 it holds, 1 it is broken (the first bad number is printed), 2
it can't be told. Nothing holds that nobody signed: without any checkpoint, or without a key, it can't be told, and of
events behind the last checkpoint it says so.

What is checked: leaf = SHA-256(0x00 || event); chain = SHA-256(0x01 || previous chain || leaf), before the
first event 32 zero bytes; numbers 1, 2, 3, ... without a gap; each checkpoint (C2SP tlog-checkpoint,
Ed25519) against the RFC 6962 Merkle tree hash over the leaves; the head at the end. Of a file of proofs: each
event's audit path, and that earlier checkpoints are beginnings of the later one.
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


RENEWAL = "audit:renew_key"


def no_json(name: str) -> None:
    """Refuse NaN and Infinity, which Python reads and JSON has not."""
    raise ValueError(name)


# Reads one JSON text and says where it ends: in the bytes of an event nothing stands around it, not even white space.
READ = json.JSONDecoder(parse_constant=no_json).raw_decode
Point = tuple[int, ...]
Key = tuple[str, bytes]
Claim = tuple[int, bytes]


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


def sum_of(s: int, a: Point, t: int, b: Point) -> Point:
    """Return s a + t b, both found along one row of doublings."""
    both: Point = add(a, b)
    result: Point = (0, 1, 1, 0)
    for bit in range(max(s.bit_length(), t.bit_length()) - 1, -1, -1):
        result = add(result, result)
        one, other = s >> bit & 1, t >> bit & 1
        if one or other:
            result = add(result, both if one and other else a if one else b)
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
    left, right = sum_of(s, BASE, challenge, (P - a[0], a[1], a[2], P - a[3])), r
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


def parse_note(note: str) -> Claim:
    """Return size and root that a checkpoint claims; raise ValueError when it is malformed."""
    text, blank, _signatures = note.rpartition("\n\n")
    lines = text.split("\n")
    if not blank or not note.endswith("\n") or len(lines) < 3 or not all(lines):
        raise ValueError("the note has not the form of a checkpoint")
    if len(lines[1]) > 19:
        raise ValueError("size or root of the note is malformed")
    size, root = int(lines[1]), base64.b64decode(lines[2], validate=True)
    if str(size) != lines[1] or size < 0 or len(root) != 32:
        raise ValueError("size or root of the note is malformed")
    return size, root


def parse_earlier(note: str) -> Claim:
    """Return what a checkpoint of the reader's own claims."""
    try:
        return parse_note(note)
    except ValueError as fault:
        raise CannotTell(f"an earlier checkpoint: {fault}")


def signed_by(note: str, keys: Iterable[Key]) -> bool:
    """Tell whether one of the keys signed a note; raise ValueError when a signature by one of them is false."""
    text, _blank, signatures = note.rpartition("\n\n")
    by_id = {(name, key_id(name, public)): public for name, public in keys}
    signed = False
    for line in signatures.splitlines():
        words = line.split(" ")
        if len(words) != 3 or words[0] != "\u2014":
            continue
        raw = base64.b64decode(words[2], validate=True)
        public = by_id.get((words[1], raw[:4]))
        if public is not None:
            if not ed25519_verifies(public, (text + "\n").encode(), raw[4:]):
                raise ValueError("the signature does not verify")
            signed = True
    return signed


class Trust:
    """The keys that are believed: those given, and those that the ledger names below a checkpoint by a believed key."""

    def __init__(self, keys: Iterable[Key], inside: bool = False) -> None:
        self.keys, self.inside = list(keys), inside
        self.named: list[tuple[int, Key]] = []
        self.unknown: list[tuple[int, str, bool]] = []

    def hear(self, number: int, event: dict[str, Any]) -> None:
        """Take note of an event in which the sealer names its next key."""
        if event["action"] == RENEWAL and event["kind"] == "action" and isinstance(event["after"], dict):
            try:
                self.named.append((number, parse_key(str(event["after"].get("key")))))
            except CannotTell:
                return

    def judge(self, number: int, size: int, note: str, earlier: bool) -> None:
        """Check who signed; a note by nobody known waits until `finish`. `earlier`: the reader's own, not the file's."""
        if not self.keys:
            return
        try:
            if not signed_by(note, self.keys):
                self.unknown.append((number, note, earlier))
                return
        except ValueError as fault:
            if earlier:
                raise CannotTell(f"an earlier checkpoint: {fault}")
            raise Broken(number, f"checkpoint after this event: {fault}")
        self.keys += [key for place, key in self.named if place <= size]
        self.named = [(place, key) for place, key in self.named if place > size]

    def finish(self) -> None:
        """Judge those that waited, now that all keys are known; the reader's own first."""
        waiting, self.unknown = sorted(self.unknown, key=lambda one: not one[2]), []
        for number, note, earlier in waiting:
            self.judge(number, 0, note, earlier)
        for number, _note, earlier in self.unknown:
            if earlier:
                raise CannotTell(f"an earlier checkpoint: the note bears no signature of {self.keys[0][0]}")
            raise Broken(number, f"checkpoint after this event: the note bears no signature of {self.keys[0][0]}")


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

    def __init__(self, earlier: Iterable[str], trust: Trust) -> None:
        self.number, self.checkpoints, self.agreed = 0, 0, {True: 0, False: 0}
        self.chain, self.trust = bytes(32), trust
        self.subtrees: list[bytes] = []
        self.earlier: dict[int, list[tuple[bytes, str]]] = {}
        for note in earlier:
            size, root = parse_earlier(note)
            self.earlier.setdefault(size, []).append((root, note))

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
            text = event.decode()
            contents, end = READ(text)
        except (ValueError, RecursionError):
            raise Broken(number, "the bytes of the event are not JSON")
        if end != len(text):
            raise Broken(number, "the bytes of the event are not JSON")
        if not isinstance(contents, dict) or contents.keys() != KEYS:
            raise Broken(number, "the event has not the fields of an event")
        if contents["action"] == RENEWAL:
            self.trust.hear(number, contents)
        size, node = self.number, leaf
        while size & 1:
            node = sha256(b"\x01" + self.subtrees.pop() + node).digest()
            size >>= 1
        self.subtrees.append(node)
        self.number = number
        for root, note in self.earlier.pop(number, ()):
            self.trust.judge(number, number, note, earlier=True)
            self.compare(number, root, earlier=True)

    def root(self) -> bytes:
        """Return the Merkle tree hash so far."""
        if not self.subtrees:
            return sha256(b"").digest()
        root = self.subtrees[-1]
        for left in reversed(self.subtrees[:-1]):
            root = sha256(b"\x01" + left + root).digest()
        return root

    def compare(self, size: int, root: bytes, earlier: bool) -> None:
        """Check the claim of a checkpoint of exactly the events read. `earlier`: the reader's own."""
        if root != self.root():
            # After a restore the file's own checkpoints agree with it also behind what was lost.
            start = self.agreed[True] if earlier else max(self.agreed.values())
            raise Broken(
                start + 1,
                f"events {start + 1} to {size} are not those that the checkpoint of {size} events was signed for",
            )
        self.agreed[earlier] = size
        self.checkpoints += 1

    @property
    def signed(self) -> int:
        """Return how many events the last checkpoint that agreed covers."""
        return max(self.agreed.values())

    def take_checkpoint(self, note: str) -> None:
        """Check a checkpoint line; it stands right behind the last event it covers."""
        try:
            size, root = parse_note(note)
        except (ValueError, AttributeError) as fault:
            raise Broken(self.number, f"checkpoint after this event: {fault}")
        if size > self.number:
            raise Broken(self.number + 1, f"the event is missing: a checkpoint covers {size} events")
        if size < self.number:
            raise Broken(self.number, f"a checkpoint of {size} events stands behind this event")
        self.trust.judge(self.number, size, note, earlier=False)
        self.compare(size, root, earlier=False)

    def finish(self, head: dict[str, Any] | None) -> None:
        """Check the head, and that every earlier checkpoint was reached."""
        for notes in self.earlier.values():
            for _root, note in notes:
                self.trust.judge(self.number, 0, note, earlier=True)
        self.trust.finish()
        if self.earlier:
            raise Broken(self.number + 1, f"the event is missing: a checkpoint covers {max(self.earlier)} events")
        if head is None:
            raise Broken(self.number + 1, "the export ends without its head")
        if head["number"] != self.number:
            raise Broken(self.number + 1, f"the event is missing: the head says {head['number']} events")
        if head["chain"] != self.chain.hex():
            raise Broken(self.number, "the chain value of the head is not that of the last event")


def leads_to(leaf: bytes, index: int, size: int, path: list[bytes], root: bytes) -> bool:
    """Tell whether an audit path leads from leaf `index` (from 0) to the root of `size` leaves (RFC 9162, 2.1.3.2)."""
    node, position, last = leaf, index, size - 1
    for sibling in path:
        if last == 0:
            return False
        if position & 1 or position == last:
            node = sha256(b"\x01" + sibling + node).digest()
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            node = sha256(b"\x01" + node + sibling).digest()
        position, last = position >> 1, last >> 1
    return last == 0 and node == root


def begins_with(old: Claim, new: Claim, path: list[bytes]) -> bool:
    """Tell whether a consistency proof shows the older tree to begin the newer one (RFC 9162, 2.1.4.2)."""
    rest = list(path)
    if not 0 < old[0] <= new[0]:
        return False
    if old[0] == new[0]:
        return not rest and old[1] == new[1]
    if old[0] & (old[0] - 1) == 0:
        rest.insert(0, old[1])
    if not rest:
        return False
    position, last = old[0] - 1, new[0] - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    small = large = rest[0]
    for sibling in rest[1:]:
        if last == 0:
            return False
        if position & 1 or position == last:
            small, large = sha256(b"\x01" + sibling + small).digest(), sha256(b"\x01" + sibling + large).digest()
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            large = sha256(b"\x01" + large + sibling).digest()
        position, last = position >> 1, last >> 1
    return last == 0 and small == old[1] and large == new[1]


class Proofs:
    """The state of a verification that has read `number` events, each with a proof of its own."""

    def __init__(self, earlier: Iterable[str], trust: Trust) -> None:
        self.number, self.checkpoints, self.trust = 0, 0, trust
        self.judged: dict[str, Claim] = {}
        self.proved: set[str] = set()
        self.earlier = [(parse_earlier(note), note) for note in earlier]
        for (size, _root), note in self.earlier:
            trust.judge(0, size, note, earlier=True)
        trust.finish()

    @property
    def signed(self) -> int:
        """Return how many events lie under a checkpoint: each does."""
        return self.number

    def claim(self, number: int, note: Any) -> Claim:
        """Return what a checkpoint of the file claims, its signature checked once."""
        if not isinstance(note, str):
            raise Broken(number, "its checkpoint: the note has not the form of a checkpoint")
        if note not in self.judged:
            try:
                size, root = parse_note(note)
            except ValueError as fault:
                raise Broken(number, f"its checkpoint: {fault}")
            self.trust.judge(number, size, note, earlier=False)
            self.trust.finish()
            self.judged[note] = (size, root)
            self.checkpoints += 1
        return self.judged[note]

    def take(self, record: dict[str, Any]) -> None:
        """Check one line: an event with its audit path, or the proof that one checkpoint begins another."""
        number = record.get("number", 0)
        try:
            path = [bytes.fromhex(node) for node in record["path"]]
            event = b"" if "since" in record else base64.b64decode(record["event"], validate=True)
        except (KeyError, TypeError, ValueError):
            raise Broken(number, "event or path is missing or can't be read")
        size, root = self.claim(number, record.get("checkpoint"))
        if "since" in record:
            old = self.claim(number, record["since"])
            if not begins_with(old, (size, root), path):
                raise Broken(1, f"the first {old[0]} events are not the beginning of the {size} signed later")
            self.proved.add(record["since"])
            return
        if not isinstance(number, int) or not 0 < number <= size:
            raise Broken(size, f"a checkpoint of {size} events does not cover number {number}")
        if not leads_to(sha256(b"\x00" + event).digest(), number - 1, size, path, root):
            raise Broken(number, "its bytes and its path do not lead to the root of its checkpoint")
        self.number += 1

    def finish(self, _head: Any = None) -> None:
        """Compare the checkpoints kept earlier with those of the file."""
        for (size, root), note in self.earlier:
            of_this_size = [claimed[1] for claimed in self.judged.values() if claimed[0] == size]
            if any(claimed != root for claimed in of_this_size):
                raise Broken(size, f"two checkpoints of {size} events differ")
            if not of_this_size and note not in self.proved:
                raise CannotTell(f"the file holds no proof about the earlier checkpoint of {size} events")


def begin(first: dict[str, Any], earlier: list[str], keys: list[Key]) -> tuple[Ledger | Proofs, bool]:
    """Return the state for a file that begins with this line, and whether the line was a title and no more."""
    title = first.get("ringi")
    if title not in ("export", "proofs") and (title is not None or "path" not in first):
        raise CannotTell("this is not an export of a Ringi ledger")
    if title is not None and first.get("v") != 1:
        raise CannotTell("this is not an export of a Ringi ledger of version 1")
    named = [parse_key(word) for word in str(first.get("key") or "").split()] if not keys else []
    trust = Trust(keys or named, inside=bool(named))
    return (Ledger if title == "export" else Proofs)(earlier, trust), title is not None


def verify(lines: Iterable[str], earlier: Iterable[str], keys: Iterable[Key]) -> Ledger | Proofs:
    """Verify an export or a file of proofs given as lines; return its state at the end."""
    state: Ledger | Proofs | None = None
    head: dict[str, Any] | None = None
    for place, line in enumerate(lines, 1):
        number = state.number + 1 if state is not None else 1
        try:
            record = json.loads(line)
            if not isinstance(record, dict):
                raise ValueError
        except (ValueError, RecursionError):
            if state is None:
                raise CannotTell("this is not an export of a Ringi ledger")
            raise Broken(number, f"line {place} can't be read")
        if state is None:
            state, titled = begin(record, list(earlier), list(keys))
            if titled:
                continue
        if isinstance(state, Proofs):
            state.take(record)
        elif head is not None:
            raise Broken(number, f"line {place} stands behind the head")
        elif "number" in record:
            state.take_event(record)
        elif "checkpoint" in record:
            state.take_checkpoint(record["checkpoint"])
        elif isinstance(record.get("head"), dict) and {"number", "chain"} <= set(record["head"]):
            head = record["head"]
        else:
            raise Broken(number, f"line {place} is neither event nor checkpoint nor head")
    if state is None:
        raise CannotTell("the export is empty")
    state.finish(head)
    return state


def open_lines(name: str) -> Iterable[str]:
    """Return the lines of a file, or of standard input (-)."""
    return sys.stdin if name == "-" else open(name, encoding="utf-8")


def read_keys(words: Iterable[str]) -> list[Key]:
    """Return the keys given as words, or in files that hold one on each line."""
    keys = []
    for word in words:
        text = word
        if os.path.exists(word):
            with open(word, encoding="utf-8") as source:
                text = source.read()
        keys += [parse_key(line) for line in text.splitlines() if line.strip()]
    return keys


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description="Verify a Ringi ledger offline.")
    parser.add_argument("file", help="export or proofs as JSON Lines, or - for standard input")
    parser.add_argument("--checkpoint", action="append", default=[], help="file with signed checkpoints kept earlier")
    parser.add_argument("--key", action="append", default=[], help="public key of the sealer, or a file with keys")
    options = parser.parse_args(arguments)
    try:
        notes = []
        for name in options.checkpoint:
            with open(name, encoding="utf-8") as source:
                notes += split_notes(source.read())
        state = verify(open_lines(options.file), notes, read_keys(options.key))
    except Broken as broken:
        print(f"BROKEN at number {broken.number}: {broken.what}")
        return 1
    except (CannotTell, OSError, UnicodeDecodeError) as fault:
        print(f"CAN'T TELL: {fault}")
        return 2
    if not state.checkpoints or not state.trust.keys:
        why = "no public key was given to tell by whom" if state.checkpoints else "no checkpoint was compared"
        print(f"CAN'T TELL whether anybody signed the {state.number} events, which fit each other: {why}")
        return 2
    root = f", root {state.root().hex()}" if isinstance(state, Ledger) else ", each proved by itself"
    behind = f", signed up to {state.signed} of {state.number}" if state.signed < state.number else ""
    print(f"HOLDS: {state.number} events{behind}, {state.checkpoints} checkpoints{root}")
    if state.trust.inside:
        print("The public key came from the file itself; compare it with one you have from elsewhere.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
