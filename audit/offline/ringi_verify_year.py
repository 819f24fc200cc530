#!/usr/bin/env python3
"""Verify the archive of a closed year offline; standard library, ringi_verify.py and ringi_verify_pack.py beside it.

    ringi_verify_year.py FY2026.zip [--key KEY] [--statements KEY] [--checkpoint NOTE]... [--witness KEY]...
                                    [--time-stamp-ca FILE [--time-stamps FILE]...]

The options are those of the other two programs. Without KEYs those in the archive are used; then it holds at most as
far as can be seen, which is 2. Exit status: 0 it holds, 1 it is broken (the first fault is printed), 2 inconclusive.

What is checked: each byte of the archive beside its members; the signature of the manifest, and each member against its
length and SHA-256; the events of the year with chain, tree and checkpoints; that the ledger says that two people closed
exactly these; each evidence pack in it by itself; the signed count of the production deployments against their list,
and that each of their changes has its pack.
"""

from __future__ import annotations

import argparse
import base64
import csv
import io
import json
import shutil
import struct
import sys
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
import ringi_verify as ledger  # type: ignore[import-not-found]  # noqa: E402
import ringi_verify_pack as packs  # type: ignore[import-not-found]  # noqa: E402
from ringi_verify_pack import Broken  # noqa: E402

EVENTS, CLOSING, PACKS = "ledger/events.jsonl", "ledger/closing.jsonl", "evidence-packs/"
CLOSED_BY = [("operation", "year:request_closing"), ("operation", "year:confirm_closing")]
LIST, COUNT = "population/deployments.csv", "population/deployments.dsse.json"
POPULATION = "application/vnd.ringi.population.v1+json"


def check_bytes(file: IO[bytes], archive: zipfile.ZipFile) -> None:
    """Check that the archive holds its members and nothing that a reader of ZIP passes over."""
    entries, place = list[ledger.Entry](), 0
    for info in archive.infolist():
        head = ledger.local_header(info.filename)
        file.seek(place)
        if info.header_offset != place or file.read(len(head)) != head:
            raise Broken(f"the bytes before {info.filename} are not those of the format")
        crc, left = 0, info.file_size
        while left:
            piece = file.read(min(left, 1 << 20))
            if not piece:
                raise Broken(f"{info.filename} is not whole")
            crc, left = zlib.crc32(piece, crc), left - len(piece)
        tail = ledger.trailer(crc, info.file_size)
        if file.read(len(tail)) != tail:
            raise Broken(f"the bytes behind {info.filename} are not those of the format")
        entries.append((info.filename, crc, info.file_size, place))
        place += len(head) + info.file_size + len(tail)
    ending = ledger.directory(entries, place)
    file.seek(place)
    if file.read(len(ending) + 1) != ending:
        raise Broken("the directory of the archive is not that of its members")


def check_ledger(
    archive: zipfile.ZipFile, manifest: dict[str, Any], notes: list[str], keys: list[Any], witnesses: Any
) -> Any:
    """Check the events of the year; return the state of the verification."""
    with archive.open(EVENTS) as member:
        try:
            state = ledger.verify(io.TextIOWrapper(member, "utf-8", newline="\n"), notes, keys, witnesses)
        except ledger.Broken as broken:
            raise Broken(f"event {broken.number}: {broken.what}")
    said = manifest["ledger"]
    if not isinstance(state, ledger.Part) or (state.begun + 1, state.last) != (said["first"], said["last"]):
        raise Broken("the events are not those that the manifest names")
    if (state.root().hex(), state.chain.hex()) != (said["root"], said["chain"]):
        raise Broken("root or chain value after the last event is not that of the manifest")
    return state


def check_closing(archive: zipfile.ZipFile, manifest: dict[str, Any], keys: list[Any]) -> list[str]:
    """Check that the ledger says that two people closed these events; return their names."""
    lines = archive.read(CLOSING).decode().splitlines()
    try:
        ledger.verify(lines, [], keys)
    except ledger.Broken as broken:
        raise Broken(f"the closing, event {broken.number}: {broken.what}")
    events = [ledger.JSON.decode(base64.b64decode(ledger.JSON.decode(line)["event"]).decode()) for line in lines]
    closing, said = ledger.JSON.decode(archive.read("closing.json").decode()), manifest["ledger"]
    content = json.dumps(closing["contents"], sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    digest, after = sha256(content.encode()).hexdigest(), events[-1]["after"]
    meant = (after["first"], after["last"]) == (said["first"], said["last"])
    meant = meant and [(event["kind"], event["operation"]) for event in events] == CLOSED_BY
    if not meant or len({event["object"] for event in events}) != 1:
        raise Broken("the ledger does not say that these events were closed")
    if after["signature"]["digest"] != digest or closing["contents"]["year"] != manifest["year"]:
        raise Broken("closing.json is not what was signed")
    if any(closing["contents"][name] != said[name] for name in ("first", "last", "chain")):
        raise Broken("the events are not those whose chain value two people signed")
    people = [event["actor"].split(":")[:2] for event in events]
    if people != [closing[name].split(":")[:2] for name in ("requested_by", "confirmed_by")]:
        raise Broken("closing.json names other people than the ledger")
    if people[0] == people[1]:
        raise Broken("one person alone closed the year")
    return [event["after"]["signature"]["name"] for event in events]


def check_packs(archive: zipfile.ZipFile, names: Iterable[str], public: bytes, keys: list[Any]) -> Iterator[str]:
    """Check each evidence pack; yield what was deleted of its change."""
    for name in names:
        try:
            with TemporaryFile() as copy:
                with archive.open(name) as member:
                    shutil.copyfileobj(member, copy)
                with zipfile.ZipFile(copy) as one:
                    manifest = packs.check_manifest(one, public)
                    packs.check_bytes(copy, one)
                    _proven, unproven, deleted = packs.check_events(one, manifest, keys)
            if manifest["type"] != "evidence-pack" or name != f"{PACKS}{manifest['number']}.zip":
                raise Broken("it is the pack of something else")
        except (Broken, zipfile.BadZipFile) as fault:
            raise Broken(f"{name}: {fault}")
        if unproven:
            raise ledger.Inconclusive(f"{name}: {unproven} of its events have no proof")
        yield from (f"{manifest['number']}: {line}" for line in deleted)


def check_population(archive: zipfile.ZipFile, public: bytes, names: list[str]) -> tuple[int, list[str]]:
    """Check the signed count against the list, and that each change in it has its pack and no other has one; return
    how many there are, and which faults the count states. names: of the packs.
    """
    body = packs.payload_of(archive.read(COUNT), POPULATION, public, "the count of deployments")
    said = ledger.JSON.decode(body.decode())
    with archive.open(LIST) as member:
        rows = [row[:2] for row in csv.reader(io.TextIOWrapper(member, "utf-8-sig", newline=""))][1:]
    numbers = [number for number, _change in rows]
    digest = sha256("".join(f"{number}\n" for number in numbers).encode()).hexdigest()
    if (said["population"], said["count"], said["digest"]) != ("deployments", len(numbers), digest):
        raise Broken("the list of deployments is not the one that was counted")
    changes = {f"{PACKS}{change}.zip" for _number, change in rows if change not in ("", *said["not_in_register"])}
    if changes != set(names):
        raise Broken(f"{min(changes ^ set(names))}: the packs are not those of the changes in the list of deployments")
    faults = (("MISSING", "missing"), ("NOT IN REGISTER", "not_in_register"), ("UNEXPLAINED", "unexplained"))
    return len(numbers), [f"{word}: {', '.join(said[name])}" for word, name in faults if said[name]]


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description="Verify the archive of a closed year of Ringi offline.")
    parser.add_argument("archive")
    parser.add_argument("--key", action="append", default=[], help="public key of the signer, or a file with keys")
    parser.add_argument("--statements", help="public key of the application's statements, or a file that holds it")
    parser.add_argument("--checkpoint", action="append", default=[], help="file with signed checkpoints kept earlier")
    parser.add_argument("--witness", action="append", default=[], help="public key of a witness, or a file with keys")
    parser.add_argument("--time-stamp-ca", help="file with the certificates (PEM) of the time-stamping authority")
    parser.add_argument("--time-stamps", action="append", default=[], help="file with time stamps kept earlier")
    options = parser.parse_args(arguments)
    if options.time_stamps and not options.time_stamp_ca:
        parser.error("--time-stamps needs --time-stamp-ca")
    try:
        authority = ledger.Authority(options.time_stamp_ca) if options.time_stamp_ca else None
        notes, kept = ledger.kept_stamps(options.time_stamps)
        for name in options.checkpoint:
            notes += ledger.split_notes(Path(name).read_text("utf-8"))
        given, witnesses = ledger.read_keys(options.key), ledger.read_keys(options.witness, b"\x04")
        with open(options.archive, "rb") as file, zipfile.ZipFile(file) as archive:
            check_bytes(file, archive)
            statements = (
                packs.text_of(options.statements) if options.statements else archive.read("keys/statements.pub")
            )
            public = base64.b64decode(statements)
            manifest = packs.check_manifest(archive, public)
            if manifest["type"] != "closed-year":
                raise Broken("this is not the archive of a closed year")
            state = check_ledger(archive, manifest, notes, given, witnesses)
            people = check_closing(archive, manifest, state.trust.keys)
            names = [name for name in archive.namelist() if name.startswith(PACKS)]
            deleted = list(check_packs(archive, names, public, state.trust.keys))
            count, faults = check_population(archive, public, names)
        status, said = ledger.result(state)
        timed, lines = ledger.time_result(state, authority, kept) if authority else (0, [])
    except Broken as broken:
        print(f"BROKEN: {broken}")
        return 1
    except (ledger.Inconclusive, KeyError, ValueError, TypeError, OSError, RecursionError, EOFError) as fault:
        print(f"CAN'T TELL: {fault}")
        return 2
    except (zipfile.BadZipFile, RuntimeError, struct.error) as fault:
        print(f"BROKEN: {fault}")
        return 1
    if not authority and (stamps := len(state.stamps) + len(state.tokens)):
        lines = [f"NOT VERIFIED: {stamps} time stamps; give the authority's certificates with --time-stamp-ca"]
    if not status and state.signed < state.last:
        status, said = 2, f"CAN'T TELL: of events {state.begun + 1} to {state.last}, {state.signed} are signed"
    if not status and not options.statements:
        status, said = (
            2,
            (
                f"CAN'T TELL: {state.words}, {len(names)} evidence packs: it holds as far as can be seen, but the"
                " application's public key came from the archive itself. Give one from elsewhere."
            ),
        )
    closed = f"{count} production deployments and rollbacks, closed by {' and '.join(people)}"
    print(f"{said}; {manifest['year']}, {len(names)} evidence packs, {closed}")
    for line in [*lines, *faults, *(f"DELETED: {line}" for line in deleted)]:
        print(line)
    return 1 if timed == 1 else max(status, timed)


if __name__ == "__main__":
    sys.exit(main())
