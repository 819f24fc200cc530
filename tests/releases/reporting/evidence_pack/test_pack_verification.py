"""The offline verification of a pack: keys obtained separately, every alteration found."""

from __future__ import annotations

import base64
import importlib
import io
import json
import os
import shutil
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Container
from hashlib import sha256
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import psycopg
import pytest
import rfc8785
from django.db import connection
from django.urls import reverse
from psycopg.conninfo import make_conninfo

from audit.archive import Archive
from audit.dsse import Signer
from audit.ledger.checkpoint import LedgerSigner
from releases.reporting.evidence_pack import pack
from tests.audit.envelopes import opened
from tests.releases.audited import Made, sign_ledger
from tests.releases.reporting.audit_tests.asking import forge
from tests.releases.reporting.evidence_pack.test_pack import VERIFIER, altered, packed, state, verify

__all__ = ["state"]


def resealed(archive: bytes, state: Path, change: Callable[[dict[str, bytes], dict[str, Any]], None]) -> bytes:
    """Write a pack again with other members and another manifest, as the holder of the application's key can. change:
    gets members and manifest; the digests are made afterwards.
    """
    with zipfile.ZipFile(io.BytesIO(archive)) as read:
        members = {name: read.read(name) for name in read.namelist()}
    manifest = json.loads(members.pop("manifest.json"))
    del members["manifest.dsse.json"]
    change(members, manifest)
    manifest["files"] = {
        name: {"sha256": sha256(content).hexdigest(), "bytes": len(content)} for name, content in members.items()
    }
    body = rfc8785.dumps(manifest)
    own = {
        "manifest.json": body,
        "manifest.dsse.json": Signer.opened(state / "statements").envelope(pack.MANIFEST, body),
    }
    out = io.BytesIO()
    new = Archive(out)
    for name, content in {**members, **own}.items():
        new.add(name, content)
    new.close()
    return out.getvalue()


def test_the_pack_verifies_offline_with_separately_obtained_keys(
    deployment: Any, state: Path, made: Made, tmp_path: Path, browsers: Callable[[str], Any]
) -> None:
    """The signer's file, and the key that the page of the export showed at an earlier visit."""
    shown = browsers("auditor").get(reverse("ledger-export")).content.decode()
    archive = packed(deployment)
    status, said = verify(archive, tmp_path)
    assert (
        status == 2
        and said.startswith(f"CAN'T TELL: {deployment.release.number}")
        and "came from the pack itself" in said
    )
    with zipfile.ZipFile(io.BytesIO(archive)) as read:
        (tmp_path / "statements.pub").write_text(read.read("keys/statements.pub").decode())
    assert f'<code class="r-digest">{(tmp_path / "statements.pub").read_text().strip()}</code>' in shown
    keys = ("--key", str(made.signer / "key.pub"), "--statements", str(tmp_path / "statements.pub"))
    status, said = verify(archive, tmp_path, *keys)
    assert status == 0 and said.startswith(f"HOLDS: {deployment.release.number}")
    assert verify(b"none", tmp_path)[0] == 1


def test_a_key_from_before_its_renewal_does_not_prove_a_forgery(
    deployment: Any, state: Path, made: Made, tmp_path: Path
) -> None:
    """With the old key alone the result is unknown; with the later one, which the export names, it holds."""
    signer = tmp_path / "signer"
    shutil.copytree(made.signer, signer)
    database = str(connection.settings_dict["NAME"])
    with psycopg.connect(
        make_conninfo(os.environ["DATABASE_LEDGER_SIGNER_URL"], dbname=database), autocommit=True
    ) as own:
        LedgerSigner(signer).renew_key(own, "yearly")
    forge(deployment.release, title="after the renewal")
    sign_ledger(signer)
    archive = packed(deployment)
    with zipfile.ZipFile(io.BytesIO(archive)) as read:
        (tmp_path / "statements.pub").write_bytes(read.read("keys/statements.pub"))
    statements = ("--statements", str(tmp_path / "statements.pub"))
    status, said = verify(archive, tmp_path, "--key", str(made.signer / "key.pub"), *statements)
    assert status == 2 and said.startswith("CAN'T TELL: no key that was given signed"), said
    assert verify(archive, tmp_path, "--key", str(signer / "key.pub"), *statements)[0] == 0


def test_every_alteration_is_found(deployment: Any, state: Path, tmp_path: Path) -> None:
    """Each member altered, left out, or added; a new signature with another key is found by the key."""
    archive = packed(deployment)
    with zipfile.ZipFile(io.BytesIO(archive)) as read:
        names = read.namelist()
        public = read.read("keys/statements.pub")
    for name in names:
        status, said = verify(altered(archive, name, lambda content: content[:-1] + b"!"), tmp_path)
        assert status in (1, 2) and not said.startswith("HOLDS"), (name, said)
    out = io.BytesIO(archive)
    with zipfile.ZipFile(out, "a") as more:
        more.writestr("evidence/more.txt", "x")
    assert verify(out.getvalue(), tmp_path) == (1, "BROKEN: the files are not those of the manifest\n")
    (state / "statements" / "key").unlink()
    (tmp_path / "statements.pub").write_bytes(public)
    status, said = verify(packed(deployment), tmp_path, "--statements", str(tmp_path / "statements.pub"))
    assert (status, said) == (1, "BROKEN: the signature of the manifest does not verify\n")


def test_a_forged_event_has_no_signed_root(deployment: Any, state: Path, tmp_path: Path) -> None:
    """With the application's key, and without the ledger signer's, an event is rewritten and a new manifest signed."""
    archive, numbers = packed(deployment), list[int]()

    def forged(members: dict[str, bytes], manifest: dict[str, Any]) -> None:
        lines = members["ledger/events.jsonl"].splitlines()
        record = json.loads(lines[3])
        numbers.append(record["number"])
        event = base64.b64decode(record["event"]).replace(b'"outcome":"', b'"outcome":"x')
        record |= {"event": base64.b64encode(event).decode(), "leaf": sha256(b"\0" + event).hexdigest()}
        members["ledger/events.jsonl"] = b"\n".join([*lines[:3], rfc8785.dumps(record), *lines[4:]]) + b"\n"

    archive = resealed(archive, state, forged)
    with zipfile.ZipFile(io.BytesIO(archive)) as read:
        body, envelope = read.read("manifest.json"), read.read("manifest.dsse.json")
    assert opened(envelope, pack.signer().public)[1] == body
    status, said = verify(archive, tmp_path)
    assert status == 1 and f"the proof of number {numbers[0]} does not lead" in said


@pytest.mark.parametrize("more", ['"event":"eyJub3QiOiJzbyJ9",', '"Event":"eyJub3QiOiJzbyJ9",', '"number":NaN,'])
def test_a_line_that_readers_take_in_two_ways_is_broken(
    deployment: Any, state: Path, made: Made, tmp_path: Path, more: str
) -> None:
    """With the application's key: the proof is of one event, and another one stands beside it."""
    archive = packed(deployment)
    with zipfile.ZipFile(io.BytesIO(archive)) as read:
        (tmp_path / "statements.pub").write_bytes(read.read("keys/statements.pub"))

    def forged(members: dict[str, bytes], manifest: dict[str, Any]) -> None:
        members["ledger/events.jsonl"] = b"{" + more.encode() + members["ledger/events.jsonl"][1:]

    keys = ("--key", str(made.signer / "key.pub"), "--statements", str(tmp_path / "statements.pub"))
    status, said = verify(resealed(archive, state, forged), tmp_path, *keys)
    assert status in (1, 2) and "HOLDS" not in said, said


def test_an_unsigned_event_is_reported_as_such(deployment: Any, state: Path, tmp_path: Path) -> None:
    forge(deployment.release, title="after the last checkpoint")
    status, said = verify(packed(deployment), tmp_path)
    assert status == 2 and "2 of " in said and "signed up to number" in said and "HOLDS" not in said


def _raw(archive: bytes) -> tuple[list[bytes], list[bytes], bytes]:
    """Return the parts of a ZIP: each member with its header, each entry of the directory, and the last record."""
    with zipfile.ZipFile(io.BytesIO(archive)) as read:
        infos, begins = read.infolist(), read.start_dir
    places = [info.header_offset for info in infos] + [begins]
    members = [archive[one:next_one] for one, next_one in pairwise(places)]
    entries = list[bytes]()
    for info in infos:
        length = 46 + len(info.filename.encode()) + len(info.extra)
        entries.append(archive[begins : begins + length])
        begins += length
    return members, entries, archive[begins:]


def _joined(members: list[bytes], entries: list[bytes], end: bytes, hidden: Container[int] = ()) -> bytes:
    """Put a ZIP together whose directory knows nothing of the hidden members."""
    places = accumulate((len(member) for member in members[:-1]), initial=0)
    known = [place for number, place in enumerate(places) if number not in hidden]
    made = b"".join(
        entry[:42] + struct.pack("<L", place) + entry[46:] for entry, place in zip(entries, known, strict=True)
    )
    begins = sum(map(len, members))
    return b"".join([*members, made, end[:12], struct.pack("<2L", len(made), begins), end[20:]])


def _names_of_a_stream(archive: bytes) -> list[str]:
    """Return the files that a reader finds which goes from header to header, as of a pipe: bsdtar, or Java."""
    names, place = list[str](), 0
    while archive[place : place + 4] == b"PK\3\4":
        name, extra = struct.unpack("<2H", archive[place + 26 : place + 30])
        names.append(archive[place + 30 : place + 30 + name].decode())
        (size,) = struct.unpack("<Q", archive[place + 30 + name + extra - 8 : place + 30 + name + extra])
        place += 30 + name + extra + size
    return names


def test_an_archive_that_readers_take_in_two_ways_is_broken(
    deployment: Any, state: Path, made: Made, tmp_path: Path
) -> None:
    """A file that the directory does not list, another name or length, a link in its place, words at the end."""
    first, other = packed(deployment), io.BytesIO()
    forged = Archive(other)
    forged.add("index.en.html", b"approved by nobody, as some readers show it")
    forged.close()
    with zipfile.ZipFile(io.BytesIO(first)) as read:
        (tmp_path / "statements.pub").write_bytes(read.read("keys/statements.pub"))
    keys = ("--key", str(made.signer / "key.pub"), "--statements", str(tmp_path / "statements.pub"))
    (another,), (members, entries, end) = _raw(other.getvalue())[0], _raw(first)
    assert _joined(members, entries, end) == first and verify(first, tmp_path, *keys)[0] == 0
    count = len(members)
    hidden = [_joined([*members[:place], another, *members[place:]], entries, end, {place}) for place in (1, count)]
    assert all(_names_of_a_stream(archive).count("index.en.html") == 2 for archive in hidden)
    name = b"index.html"  # what Info-ZIP calls it (extra field 0x7075)
    field = struct.pack("<2HBL", 0x7075, 5 + len(name), 1, zlib.crc32(b"index.en.html")) + name
    at = next(n for n, entry in enumerate(entries) if entry[46:].startswith(b"index.en.html"))
    renamed = entries[at][:30] + struct.pack("<H", len(field)) + entries[at][32:] + field
    link = entries[at][:38] + struct.pack("<L", 0o120777 << 16) + entries[at][42:]
    for entry in (renamed, link):
        hidden.append(_joined(members, [*entries[:at], entry, *entries[at + 1 :]], end))
    sizes = 30 + len(b"index.en.html") + 4  # of what a stream reads; the rest of the file is then more members
    shorter = members[at][:sizes] + struct.pack("<2Q", 9, 9) + members[at][sizes + 16 :]
    hidden.append(_joined([*members[:at], shorter, *members[at + 1 :]], entries, end))
    hidden.append(first[:-2] + struct.pack("<H", 5) + b"words")
    for archive in hidden:
        status, said = verify(archive, tmp_path, *keys)
        assert status == 1 and said.startswith("BROKEN"), said


@pytest.mark.parametrize("begin", ["evidence/", "approval-requests/"])
def test_evidence_and_approved_content_are_those_of_the_ledger(
    begin: str, deployment: Any, state: Path, made: Made, tmp_path: Path
) -> None:
    """The holder of the application's key exchanges a file, or leaves out the events that name it."""
    archive = packed(deployment)
    with zipfile.ZipFile(io.BytesIO(archive)) as read:
        name = next(name for name in read.namelist() if name.startswith(begin))
        (tmp_path / "statements.pub").write_bytes(read.read("keys/statements.pub"))
    keys = ("--key", str(made.signer / "key.pub"), "--statements", str(tmp_path / "statements.pub"))
    labels = (b'"object":"releases.Evidence:', b'"object":"releases.ApprovalRequest:')

    def exchanged(members: dict[str, bytes], manifest: dict[str, Any]) -> None:
        members[name] = b"{}"

    def without(members: dict[str, bytes], manifest: dict[str, Any]) -> None:
        lines = members["ledger/events.jsonl"].splitlines(True)
        kept = [line for line in lines if not any(of in base64.b64decode(json.loads(line)["event"]) for of in labels)]
        members["ledger/events.jsonl"] = b"".join(kept)
        numbers = [json.loads(line)["number"] for line in kept]
        manifest["ledger"] |= {"events": len(kept), "first": numbers[0], "last": numbers[-1]}

    for change in (exchanged, without):
        status, said = verify(resealed(archive, state, change), tmp_path, *keys)
        assert status == 1 and "is not the content that the ledger names" in said, said


@pytest.mark.parametrize("field", ["events", "first", "last"])
def test_the_manifest_counts_the_events_that_are_there(
    field: str, deployment: Any, state: Path, tmp_path: Path
) -> None:
    def more(members: dict[str, bytes], manifest: dict[str, Any]) -> None:
        manifest["ledger"][field] += 1

    said = (1, "BROKEN: the events are not those that the manifest counts\n")
    assert verify(resealed(packed(deployment), state, more), tmp_path) == said


def test_each_byte_of_the_directory_of_a_pack_is_checked(
    deployment: Any, state: Path, made: Made, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some readers go by the count of files at its end, and show fewer; others show the date of a file, or ask for a
    password.
    """
    monkeypatch.syspath_prepend(str(VERIFIER.parent))
    program = importlib.import_module("ringi_verify_pack")
    first, file = packed(deployment), tmp_path / "pack.zip"
    with zipfile.ZipFile(io.BytesIO(first)) as read:
        (tmp_path / "statements.pub").write_bytes(read.read("keys/statements.pub"))
        begins, second = read.start_dir, read.start_dir + 46 + len(read.infolist()[0].filename)
    for place in (*range(begins, second), *range(len(first) - 22, len(first))):
        file.write_bytes(first[:place] + bytes([first[place] ^ 1]) + first[place + 1 :])
        keys = ["--key", str(made.signer / "key.pub"), "--statements", str(tmp_path / "statements.pub")]
        assert program.main([str(file), *keys]) in (1, 2), place
        assert not capsys.readouterr().out.startswith("HOLDS"), place


def test_the_directory_of_a_large_pack_has_the_form_of_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers above a limit, here of 99 bytes, stand in 64 bits."""
    monkeypatch.syspath_prepend(str(VERIFIER.parent))
    program, out = importlib.import_module("ringi_verify_pack"), io.BytesIO()
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 99)
    made = Archive(out)
    for name, content in (("a", b"short"), ("b", b"long" * 50), ("\u540d", b"short")):
        made.add(name, content)
    infos, place = made.zip.infolist(), made.zip.start_dir
    made.close()
    assert program.directory_of(infos, place, 99) == out.getvalue()[place:]


def test_a_file_outside_the_manifest_is_found_anywhere(deployment: Any, state: Path, tmp_path: Path) -> None:
    first, keys = packed(deployment), ("--key", str(state / "ledger_signer" / "key.pub"))
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("index.en.html", "what some readers show")
    before = other.getvalue()[: other.getvalue().index(b"PK\x01\x02")]
    status, said = verify(before + first, tmp_path, *keys)
    assert status == 1 and said.startswith("BROKEN: the archive")
    for name in ("manifest.json", "index.en.html"):
        out = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(first)) as old, zipfile.ZipFile(out, "w") as new:
            with warnings.catch_warnings(action="ignore"):
                new.writestr(name, "another")
                for entry in old.infolist():
                    new.writestr(entry, old.read(entry))
        status, said = verify(out.getvalue(), tmp_path, *keys)
        assert (status, said) == (1, "BROKEN: the files are not those of the manifest\n"), name
