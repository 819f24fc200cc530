#!/usr/bin/env python3
"""Verify an evidence pack of Ringi offline; nothing but the standard library and ringi_verify.py beside it.

    ringi_verify_pack.py PACK.zip [--key KEY] [--statements KEY]

KEY is the ledger signer's public key (`name+keyid+base64`, or a file that holds it); --statements the application's
(base64 of 32 bytes, or a file). Without them those in the pack are used; then it holds at most as far as can be seen,
which is 2. Exit status: 0 it holds, 1 it is broken (the first fault is printed), 2 inconclusive.

What is checked: the signature (DSSE v1, Ed25519) of the manifest; that the archive holds the files of the manifest,
each with its length and SHA-256, and no other byte beside its directory; each event's leaf and its inclusion proof
(RFC 9162, 2.1.3) under the root of the checkpoint; the checkpoint's signature; that evidence and approved contents have
the digests that events say.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import struct
import sys
import zipfile
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from ringi_verify import (  # type: ignore[import-not-found]  # noqa: E402
    JSON,
    LARGE,
    MADE,
    MODE,
    Inconclusive,
    ed25519_verifies,
    leads_to,
    parse_note,
    read_keys,
    signed_by,
)

MANIFEST = "application/vnd.ringi.manifest.v1+json"
OWN = ("manifest.json", "manifest.dsse.json")
BOUND = ("evidence/", "approval-requests/")


class Broken(Exception):
    """The pack contradicts itself."""


def payload_of(raw: bytes, kind: str, public: bytes, about: str) -> bytes:
    """Return the payload of a payload type that a signed envelope (DSSE v1) holds. Its bytes are written in one way, so
    that nothing stands beside the payload that nobody signed. about: what was signed, in words.
    """
    envelope = JSON.decode(raw.decode())
    body = base64.b64decode(envelope["payload"], validate=True)
    signature = base64.b64decode(envelope["signatures"][0]["sig"], validate=True)
    signed = b"DSSEv1 %d %s %d %s" % (len(kind.encode()), kind.encode(), len(body), body)
    if envelope["payloadType"] != kind or not ed25519_verifies(public, signed, signature):
        raise Broken(f"the signature of {about} does not verify")
    keyid, sig = sha256(public).hexdigest(), base64.b64encode(signature).decode()
    content = base64.b64encode(body).decode()
    written = {"payload": content, "payloadType": kind, "signatures": [{"keyid": keyid, "sig": sig}]}
    if raw != json.dumps(written, separators=(",", ":")).encode():
        raise Broken(f"the envelope of {about} has more in it than what was signed")
    return body


def check_manifest(pack: zipfile.ZipFile, public: bytes) -> dict[str, Any]:
    """Check signature, names, lengths and digests; return the manifest."""
    raw = pack.read("manifest.json")
    if payload_of(pack.read("manifest.dsse.json"), MANIFEST, public, "the manifest") != raw:
        raise Broken("the signed manifest is not manifest.json")
    manifest: dict[str, Any] = JSON.decode(raw.decode())
    names = [name for name in pack.namelist() if name not in OWN]
    if len(names) + len(OWN) != len(pack.namelist()) or sorted(names) != sorted(manifest["files"]):
        raise Broken("the files are not those of the manifest")
    for name in names:
        digest, length = sha256(), 0
        with pack.open(name) as member:
            while piece := member.read(1 << 16):
                digest.update(piece)
                length += len(piece)
        if {"sha256": digest.hexdigest(), "bytes": length} != manifest["files"][name]:
            raise Broken(f"{name} is not the file of the manifest")
    return manifest


def directory_of(infos: list[zipfile.ZipInfo], place: int, most: int = 0x7FFFFFFF) -> bytes:
    """Return the bytes of the directory and of the end behind it, which begin at a place, in their one form. most: the
    largest number that stands in 32 bits.
    """
    made = b""
    for info in infos:
        name, size, begin = info.filename.encode(), info.file_size, info.header_offset
        large = [size] * 2 * (size > most) + [begin] * (begin > most)
        extra = struct.pack(f"<2H{len(large)}Q", 1, 8 * len(large), *large) if large else b""
        lengths = ([LARGE] if size > most else [size]) * 2 + [len(name), len(extra), 0, 0, 0]
        flags = 0 if info.filename.isascii() else 0x0800
        head = (MADE, 45, flags, 0, 0, 0x21, info.CRC, *lengths, MODE, LARGE if begin > most else begin)
        made += struct.pack("<4s6H3L5H2L", b"PK\1\2", *head) + name + extra
    count, length = len(infos), len(made)
    if count > 0xFFFF or place > most or length > most:
        made += struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, length, place)
        made += struct.pack("<4sLQL", b"PK\6\7", 0, place + length, 1)
    many = min(count, 0xFFFF)
    return made + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, many, many, min(length, LARGE), min(place, LARGE), 0)


def check_bytes(file: IO[bytes], pack: zipfile.ZipFile) -> None:
    """Check that each byte of the archive is of a file or of its directory: readers of ZIP take others for more files,
    for fewer, for other names or for links.
    """
    place, wrong = 0, Broken("the archive has more in it than its files, which some readers show")
    for info in pack.infolist():
        name = info.filename.encode()
        flags = 0 if info.filename.isascii() else 0x0800
        head = struct.pack("<4s5H3L2H", b"PK\3\4", 45, flags, 0, 0, 0x21, info.CRC, LARGE, LARGE, len(name), 20)
        head += name + struct.pack("<2H2Q", 1, 16, info.file_size, info.file_size)
        file.seek(place)
        if info.header_offset != place or file.read(len(head)) != head:
            raise wrong
        place += len(head) + info.file_size
    ending = directory_of(pack.infolist(), place)
    file.seek(place)
    if file.read(len(ending) + 1) != ending:
        raise wrong


def files_of(event: dict[str, Any]) -> dict[str, str]:
    """Return how the name of a file begins, and the SHA-256 that an event says of it: of uploaded evidence, and of the
    content of an approval request.
    """
    model, _colon, key = event["object"].partition(":")
    row = event["after"] if event["kind"] == "row" else None
    if row and model == "releases.Evidence" and "content" in row:
        return {f"evidence/{key}": row["content"].removeprefix("sha256:")}
    if row and model == "releases.ApprovalRequest" and "digest" in row:
        return {f"approval-requests/{key}.json": row["digest"]}
    return {}


def check_events(pack: zipfile.ZipFile, manifest: dict[str, Any], keys: list[Any]) -> tuple[int, int, list[str]]:
    """Check the checkpoint and each proof; return the numbers of events with and without one, and what was deleted."""
    ledger, proven, unproven, before, first = manifest["ledger"], 0, [], 0, None
    deleted: dict[str, list[int]] = {}
    named: dict[str, str] = {}
    size, root = 0, b""
    if "ledger/checkpoint.txt" in manifest["files"]:
        try:
            note = pack.read("ledger/checkpoint.txt").decode()
            size, root = parse_note(note)
            if keys and not signed_by(note, keys):
                raise Inconclusive("no key that was given signed its checkpoint; an export names later ones")
        except ValueError as fault:
            raise Broken(f"the checkpoint: {fault}")
    if (size, root.hex()) != (ledger["size"], ledger["root"]):
        raise Broken("the checkpoint is not the one that the manifest names")
    with pack.open("ledger/events.jsonl") as lines:
        for line in lines:
            try:
                record = JSON.decode(line.decode())
            except ValueError:
                raise Broken(f"the line behind number {before} can't be read")
            if set(record) != {"number", "event", "leaf", "path"}:
                raise Broken(f"the line behind number {before} has other fields than a line of events")
            number, event = record["number"], base64.b64decode(record["event"], validate=True)
            if number <= before:
                raise Broken(f"number {number} does not follow number {before}")
            first, before = first or number, number
            leaf = sha256(b"\x00" + event).digest()
            if leaf.hex() != record["leaf"]:
                raise Broken(f"the bytes of number {number} do not hash to its leaf")
            row = JSON.decode(event.decode())
            if (row["kind"], row["outcome"]) == ("row", "deleted"):
                what = f"{row['object'].partition(':')[0]} by {row['actor']} ({row['operation']})"
                deleted.setdefault(what, []).append(number)
            named.update(files_of(row))
            if record["path"] is None:
                unproven.append(number)
                continue
            path = [bytes.fromhex(node) for node in record["path"]]
            if number > size or not leads_to(leaf, number - 1, size, path, root):
                raise Broken(f"the proof of number {number} does not lead to the root of the checkpoint")
            proven += 1
    counted = ledger["events"], ledger["first"], ledger["last"], ledger["unproven"]
    if counted != (proven + len(unproven), first, before or None, unproven):
        raise Broken("the events are not those that the manifest counts")
    for name, file in manifest["files"].items():
        begin = name.partition("-")[0] if name.startswith("evidence/") else name
        if name.startswith(BOUND) and named.get(begin) != file["sha256"]:
            raise Broken(f"{name} is not the content that the ledger names")
    said = [f"{len(found)} of {what}, number {', '.join(map(str, found))}" for what, found in deleted.items()]
    return proven, len(unproven), said


def text_of(given: str) -> str:
    """Return an argument, or what the file that it names holds."""
    return Path(given).read_text(encoding="utf-8") if os.path.exists(given) else given


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description="Verify an evidence pack of Ringi offline.")
    parser.add_argument("pack")
    parser.add_argument("--key", help="public key of the ledger signer, or a file that holds it")
    parser.add_argument("--statements", help="public key of the application's statements, or a file that holds it")
    options = parser.parse_args(arguments)
    inside = []
    try:
        with open(options.pack, "rb") as file, zipfile.ZipFile(file) as pack:
            if options.statements:
                public = base64.b64decode(text_of(options.statements))
            else:
                public = base64.b64decode(pack.read("keys/statements.pub"))
                inside.append("the application's")
            manifest = check_manifest(pack, public)
            check_bytes(file, pack)
            keys = read_keys([options.key or pack.read("keys/ledger-signer.pub").decode()])
            if not options.key:
                inside.append("the ledger signer's")
            proven, unproven, deleted = check_events(pack, manifest, keys)
    except Broken as broken:
        print(f"BROKEN: {broken}")
        return 1
    except (Inconclusive, KeyError, ValueError, TypeError, OSError, RecursionError) as fault:
        print(f"CAN'T TELL: {fault}")
        return 2
    except (zipfile.BadZipFile, RuntimeError) as fault:  # also of a file that its directory calls encrypted
        print(f"BROKEN: {fault}")
        return 1
    size, events = manifest["ledger"]["size"], proven + unproven
    if not size or not keys:
        why = "no public key was given to tell by whom" if size else "no checkpoint is in it"
        print(f"CAN'T TELL whether anybody signed the {events} events of {manifest['number']}: {why}")
        return 2
    if unproven:
        signed = f"signed up to number {size}, {unproven} of {events} events without proof"
        print(f"CAN'T TELL: {manifest['number']}: {signed}")
        return 2
    if inside:
        print(
            f"CAN'T TELL: {manifest['number']}: {len(manifest['files'])} files, {proven} events proven: it "
            "holds as far as can"
            f" be seen, but {' and '.join(inside)} public key came from the pack itself. Give one from elsewhere."
        )
        return 2
    print(f"HOLDS: {manifest['number']}, {len(manifest['files'])} files, {proven} events proven")
    for line in deleted:
        print(f"DELETED: {line}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
