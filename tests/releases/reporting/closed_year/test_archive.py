"""The archive of a closed year: the same bytes each time, and every altered byte is found by the offline program."""

from __future__ import annotations

import base64
import csv
import importlib
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.urls import reverse

from audit import offline
from audit.archive import Archive
from audit.dsse import Signer
from audit.models import ClosedYear, Event
from audit.offline import ringi_verify
from environments.operations.account.deactivate import deactivate
from releases.admin.components.change_history import operation_name
from releases.operations.year import close
from releases.reporting.closed_year.archive import YearArchive
from tests.releases.closed_years import YEAR, Ended, again, database, deployment, ended, made
from tests.releases.gates.asking import alter
from tests.releases.leaving import erased

__all__ = ["again", "database", "deployment", "ended", "made"]
VERIFIER = Path(offline.__file__).with_name("ringi_verify_year.py")


def archive_of(row: ClosedYear) -> bytes:
    return b"".join(YearArchive(row, operation_name))


def verify(archive: bytes, folder: Path, *options: Any) -> tuple[int, str]:
    """Run the offline verifier in its own process, without this project's modules or a database."""
    file = folder / "year.zip"
    file.write_bytes(archive)
    alone = {name: value for name, value in os.environ.items() if not name.startswith(("DATABASE", "RINGI", "DJANGO"))}
    words = [sys.executable, "-I", "-S", str(VERIFIER), str(file), *map(str, options)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=folder, env=alone)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any) -> Callable[..., tuple[int, str]]:
    """Return a function that verifies as `verify` does, in this process: two dozen starts of Python take a minute."""
    monkeypatch.syspath_prepend(str(VERIFIER.parent))
    program = importlib.import_module("ringi_verify_year")

    def look(archive: bytes, *options: Any) -> tuple[int, str]:
        file = tmp_path / "year.zip"
        file.write_bytes(archive)
        status = program.main([str(file), *map(str, options)])
        return int(status), str(capsys.readouterr().out)

    return look


@pytest.fixture
def keys(ended: Ended, tmp_path: Path) -> tuple[Any, ...]:
    """The options that name the two keys, as an auditor has kept them."""
    statements = tmp_path / "statements.pub"
    statements.write_text(base64.b64encode(Signer.opened(ended.state / "statements").public).decode())
    signer = tmp_path / "ringi.pub"
    shutil.copy(ended.state / "ledger_signer" / "key.pub", signer)
    return "--key", signer, "--statements", statements


def test_the_archive_is_verified_without_ringi(
    ended: Ended, deployment: Any, keys: tuple[Any, ...], tmp_path: Path
) -> None:
    row = ended.closed()
    archive = archive_of(row)
    status, said = verify(archive, tmp_path, *keys)
    assert status == 0 and said.startswith(f"HOLDS: events 1 to {ended.last}, "), said
    assert f"FY{YEAR}, 1 evidence packs, 1 production deployments and rollbacks, closed by " in said
    status, said = verify(archive, tmp_path)
    assert status == 2 and "came from the file itself" in said
    status, said = verify(archive, tmp_path, *keys[:2])
    assert status == 2 and "public key came from the archive itself" in said
    with zipfile.ZipFile(io.BytesIO(archive)) as read:
        assert read.testzip() is None
        names = set(read.namelist())
        pack = zipfile.ZipFile(io.BytesIO(read.read(f"evidence-packs/{deployment.release.number}.zip")))
        assert {"change.json", "index.ja.html"} <= set(pack.namelist())
        grants = list(csv.reader(io.StringIO(read.read("access/grants.csv").decode("utf-8-sig"))))
        closing = json.loads(read.read("closing.json"))
    assert {"README.md", "README.ja.md", "programs/ringi_verify_year.py", "audit-tests/tests.csv"} <= names
    assert any("administrator" in line[3].lower() or "管理者" in line[3] for line in grants[1:])
    assert closing["digest"] == row.digest and closing["contents"]["last"] == ended.last


def test_a_kept_checkpoint_and_another_key_are_asked(
    ended: Ended, deployment: Any, keys: tuple[Any, ...], tmp_path: Path
) -> None:
    archive = archive_of(ended.closed())
    notes = (ended.state / "ledger_signer" / "checkpoints.txt").read_text("utf-8")
    kept = tmp_path / "kept.txt"
    kept.write_text(ringi_verify.split_notes(notes)[0], "utf-8")
    status, said = verify(archive, tmp_path, *keys, "--checkpoint", kept)
    assert status == 0 and "HOLDS" in said, said
    status, said = verify(archive, tmp_path, "--key", _other_key(ended), *keys[2:])
    assert status == 1 and "bears no signature" in said, said
    other = base64.b64encode(Signer.opened(tmp_path / "other").public).decode()
    status, said = verify(archive, tmp_path, *keys[:2], "--statements", other)
    assert status == 1 and "signature of the manifest" in said


def _other_key(ended: Ended) -> str:
    from audit.ledger.note import PublicKey

    return str(PublicKey(ended.signer.origin, Signer.opened(ended.state / "another").public))


def kinds(archive: bytes) -> dict[str, int]:
    """Return a place in the middle of a member of each sort, and in each part of the archive that is no member."""
    found = dict[str, int]()
    with zipfile.ZipFile(io.BytesIO(archive)) as read:
        infos = read.infolist()
        for info in infos:
            begin = info.header_offset + 30 + len(info.filename.encode()) + 20
            folder, _slash, name = info.filename.partition("/")
            found.setdefault(f"{folder}/{name}" if folder in ("ledger", "keys", "population") else folder, 0)
            key = f"{folder}/{name}" if folder in ("ledger", "keys", "population") else folder
            found[key] = begin + info.file_size // 2
        first, last = infos[0], infos[-1]
    behind = last.header_offset + 30 + len(last.filename) + 20 + last.file_size
    return found | {
        "date of a member": first.header_offset + 12,
        "length behind a member": behind + 9,
        "CRC behind a member": behind + 5,
        "directory": behind + 24 + 14,
        "attributes in the directory": behind + 24 + 40,
        "end": len(archive) - 9,
        "last byte": len(archive) - 1,
    }


def test_one_altered_byte_is_found_in_each_part(
    ended: Ended, deployment: Any, keys: tuple[Any, ...], looked: Callable[..., tuple[int, str]]
) -> None:
    archive = archive_of(ended.closed())
    places = kinds(archive)
    assert {"README.md", "README.ja.md", "programs", "keys/statements.pub", "keys/ledger-signer.pub"} <= set(places)
    assert {"closing.json", "ledger/events.jsonl", "population/deployments.csv", "evidence-packs"} <= set(places)
    assert {"access", "audit-tests", "ledger/verifications.csv", "manifest.json", "manifest.dsse.json"} <= set(places)
    for part, place in places.items():
        other = archive[:place] + bytes([archive[place] ^ 1]) + archive[place + 1 :]
        status, said = looked(other, *keys)
        assert status == 1 and "BROKEN" in said, (part, status, said)
    for other in (archive + b"\n", b"\n" + archive, archive[:-1]):
        assert looked(other, *keys)[0] == 1
    assert looked(archive, *keys)[0] == 0


def rewritten(ended: Ended, archive: bytes, change: Callable[[str, bytes], bytes]) -> bytes:
    """Write an archive again with other members and a true manifest, as the holder of the application's key can."""
    from audit.archive import Streamed
    from releases.reporting.evidence_pack.pack import MANIFEST

    made, key = Streamed(), Signer.opened(ended.state / "statements")
    out = b""
    with zipfile.ZipFile(io.BytesIO(archive)) as read:
        manifest = json.loads(read.read("manifest.json"))
        for name in read.namelist():
            if not name.startswith("manifest."):
                out += b"".join(made.adding(name, change(name, read.read(name))))
    manifest["files"] = {name: {"sha256": digest, "bytes": size} for name, (digest, size) in made.digests.items()}
    body = json.dumps(manifest).encode()
    out += b"".join(made.adding("manifest.json", body))
    return out + b"".join(made.adding("manifest.dsse.json", key.envelope(MANIFEST, body))) + made.ending()


def with_another_event(ended: Ended, content: bytes) -> bytes:
    """Write a pack again with an altered event and a true manifest."""
    from releases.reporting.evidence_pack.pack import MANIFEST

    with zipfile.ZipFile(io.BytesIO(content)) as read:
        members = {name: read.read(name) for name in read.namelist()}
    first, *lines = members["ledger/events.jsonl"].splitlines(True)
    line = json.loads(first)
    event = base64.b64decode(line["event"]).replace(b'"channel":"', b'"channel":"x')
    line |= {"event": base64.b64encode(event).decode(), "leaf": sha256(b"\x00" + event).hexdigest()}
    members["ledger/events.jsonl"] = json.dumps(line).encode() + b"\n" + b"".join(lines)
    manifest = json.loads(members["manifest.json"])
    manifest["files"] = {
        name: {"sha256": sha256(members[name]).hexdigest(), "bytes": len(members[name])} for name in manifest["files"]
    }
    members["manifest.json"] = json.dumps(manifest).encode()
    key = Signer.opened(ended.state / "statements")
    members["manifest.dsse.json"] = key.envelope(MANIFEST, members["manifest.json"])
    out = io.BytesIO()
    made = Archive(out)
    for name, member in members.items():
        made.add(name, member)
    made.close()
    return out.getvalue()


def test_a_true_manifest_does_not_hide_other_events_packs_or_counts(
    ended: Ended, deployment: Any, keys: tuple[Any, ...], looked: Callable[..., tuple[int, str]]
) -> None:
    archive = archive_of(ended.closed())
    assert looked(rewritten(ended, archive, lambda name, content: content), *keys)[0] == 0

    def without_line(name: str, content: bytes) -> bytes:
        lines = content.splitlines(True)
        return b"".join(lines[:20] + lines[21:]) if name == "ledger/events.jsonl" else content

    def without_proof(name: str, content: bytes) -> bytes:
        lines = content.splitlines(True)
        kept = [line for line in lines if b'"after"' not in line and b'"checkpoint"' not in line[:14]]
        return b"".join(kept) if name == "ledger/events.jsonl" else content

    def signed_in_part(name: str, content: bytes) -> bytes:
        first = ringi_verify.split_notes((ended.state / "ledger_signer" / "checkpoints.txt").read_text("utf-8"))[0]
        size = ringi_verify.parse_note(first)[0]
        lines = without_proof(name, content).splitlines(True)
        place = next((n for n, line in enumerate(lines, 1) if line.startswith(b'{"number":%d,' % size)), 0)
        lines.insert(place, json.dumps({"checkpoint": first}).encode() + b"\n")
        return b"".join(lines) if name == "ledger/events.jsonl" else content

    def other_pack(name: str, content: bytes) -> bytes:
        place = content.find(b'"event":"') + 40
        return content[:place] + b"A" + content[place + 1 :] if name.startswith("evidence-packs/") else content

    def forged_pack(name: str, content: bytes) -> bytes:
        return with_another_event(ended, content) if name.startswith("evidence-packs/") else content

    def longer_pack(name: str, content: bytes) -> bytes:
        return content[:-2] + b"\x05\x00words" if name.startswith("evidence-packs/") else content

    def other_list(name: str, content: bytes) -> bytes:
        return content.replace(b"P-00001", b"P-00002") if name == "population/deployments.csv" else content

    def other_closing(name: str, content: bytes) -> bytes:
        return content.replace(b'"releases":1', b'"releases":0') if name == "closing.json" else content

    def one_person(name: str, content: bytes) -> bytes:
        return content.splitlines(True)[1] if name == "ledger/closing.jsonl" else content

    def forged_closing(name: str, content: bytes) -> bytes:
        line = json.loads(content.splitlines()[1]) if name == "ledger/closing.jsonl" else {}
        if line:
            event = base64.b64decode(line["event"]).replace(b'"last":%d' % ended.last, b'"last":%d' % (ended.last - 1))
            line["event"] = base64.b64encode(event).decode()
        return content.splitlines(True)[0] + json.dumps(line).encode() if line else content

    for change, expected in (
        (other_closing, (1, "closing.json is not what was signed")),
        (one_person, (1, "does not say that these events were closed")),
        (forged_closing, (1, "the closing, event")),
        (without_line, (1, "the event is missing")),
        (without_proof, (2, "no checkpoint was compared")),
        (signed_in_part, (2, "are signed")),
        (other_pack, (1, "evidence-packs/")),
        (forged_pack, (1, "does not lead to the root")),
        (longer_pack, (1, "has more in it than its files")),
        (other_list, (1, "not the one that was counted")),
    ):
        status, said = looked(rewritten(ended, archive, change), *keys)
        assert status == expected[0] and expected[1] in said, (change.__name__, said)


def test_the_same_state_gives_the_same_bytes_and_its_digest_is_in_the_ledger(
    ended: Ended, deployment: Any, browsers: Callable[[str], Any], tmp_path: Path, capsys: Any
) -> None:
    row = ended.closed()
    first = archive_of(row)
    for language in ("ja", "en"):
        client = browsers("auditor")
        client.cookies["django_language"] = language
        answer = client.get(reverse("year-archive", args=[row.pk]))
        assert b"".join(answer.streaming_content) == first
    file = tmp_path / "FY.zip"
    call_command("archive_year", str(YEAR), "--to", str(file))
    assert file.read_bytes() == first and file.stat().st_mode & 0o777 == 0o600
    digest = sha256(first).hexdigest()
    row.refresh_from_db()
    assert [(known, length) for known, length, _at in row.archives] == [(digest, len(first))]
    recorded = Event.objects.filter(operation="year:archive", kind="operation")
    assert [event.contents["after"]["digest"] for event in recorded] == [digest]
    assert Event.objects.filter(operation="audit:export_year").count() == 2
    assert digest in browsers("auditor").get(reverse("closed-year", args=[row.pk])).content.decode()
    with pytest.raises(CommandError, match="exists"):
        call_command("archive_year", str(YEAR), "--to", str(file))
    with pytest.raises(CommandError, match="FY2024"):
        call_command("archive_year", "2024", "--to", str(tmp_path / "other"))


def test_archives_of_before_and_after_an_erasure_are_verified(
    ended: Ended,
    deployment: Any,
    keys: tuple[Any, ...],
    looked: Callable[..., tuple[int, str]],
    people: dict[str, Any],
    acting_as: Callable[..., Any],
) -> None:
    approver, row = people["committee_a"], ended.closed()
    assert approver in [one.account for one in deployment.release.approval_requests.last().decisions.all()]
    alter(approver, telephone="+81-90-1111-2222")
    before = archive_of(row)
    with acting_as("administrator"):
        deactivate(approver.pk, reason="left")
    erased(approver, acting_as)
    ended.sign()
    for archive in (before, archive_of(row)):
        status, said = looked(archive, *keys)
        assert status == 0, said
        with zipfile.ZipFile(io.BytesIO(archive)) as read:
            assert b"+81-90-1111-2222" not in b"".join(map(read.read, read.namelist()))


def test_only_auditors_download_the_archive_of_a_year_that_is_closed(
    ended: Ended, browsers: Callable[[str], Any]
) -> None:
    row = ended.request()
    page = reverse("year-archive", args=[row.pk])
    assert browsers("auditor").get(page).status_code == 404
    with ended.acting_as("administrator"):
        close.confirm_closing(row.pk)
    waits = browsers("auditor").get(page, follow=True)
    assert "No checkpoint covers the closing of this year yet." in waits.content.decode()
    ended.sign()
    assert browsers("administrator").get(page).status_code == 403
    archive = browsers("auditor").get(page)
    assert archive.status_code == 200 and b"".join(archive.streaming_content).startswith(b"PK")
