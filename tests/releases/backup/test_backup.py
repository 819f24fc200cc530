"""A backup of an installation in use, restored after everything is lost: database, keys and the signer's memory."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import translation
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from audit import verification
from audit.ledger.checkpoint import LedgerSigner, SigningRefused
from audit.models import LedgerHead
from environments.models import ConfigurationVersion
from releases.backup import make as making
from releases.backup.contents import DUMP, MANIFEST, Manifest, ledger_of
from releases.backup.make import make
from releases.backup.programs import BackupFailed, encrypting
from releases.backup.restore import restore
from releases.models import Release
from releases.operations.release.plan import edit
from tests.conftest import connected, dropped, sign_ledger
from tests.upgrade.place import program

pytestmark = [
    pytest.mark.skipif(program("pg_dump") is None, reason="no pg_dump, neither beside the servers nor on the machine"),
    pytest.mark.skipif(shutil.which("gpg") is None, reason="gpg is not installed: no backup is encrypted"),
]


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A key pair of GnuPG in a home of its own; yield the file with the public key."""
    home = Path(tempfile.mkdtemp(prefix="gpg"))  # its socket's name must be short
    monkeypatch.setenv("GNUPGHOME", str(home))
    named = Path(program("pg_dump") or "pg_dump").parent
    monkeypatch.setenv("PATH", f"{named}{os.pathsep}{os.environ['PATH']}")
    gpg = ["gpg", "--batch", "--quiet", "--passphrase", ""]
    subprocess.run([*gpg, "--quick-generate-key", "backup@ringi.example", "default", "default", "never"], check=True)
    subprocess.run([*gpg, "--output", str(home / "public"), "--export", "backup@ringi.example"], check=True)
    yield home / "public"
    subprocess.run(["gpgconf", "--kill", "all"], check=True)
    shutil.rmtree(home, ignore_errors=True)


@contextmanager
def as_owner(name: str | None = None) -> Iterator[None]:
    """Let Django be the owner of the tables, in the present database or in another one."""
    with connected(os.environ["DATABASE_OWNER_URL"], name or str(connection.settings_dict["NAME"])):
        yield


@pytest.fixture
def empty(world: Any) -> Iterator[str]:
    """Yield the name of a database of the owner's with nothing in it."""
    name = f"ringi_restored_{uuid.uuid4().hex[:16]}"
    owner = str(conninfo_to_dict(os.environ["DATABASE_OWNER_URL"])["user"])
    with psycopg.connect(os.environ["DATABASE_SERVER_URL"], autocommit=True) as server:
        named = (sql.Identifier(name), sql.Identifier(owner))
        server.execute(sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0 LOCALE 'C.UTF-8'").format(*named))
    yield name
    dropped(name)


@pytest.fixture
def states(world: Any, settings: Any, tmp_path: Path) -> list[Path]:
    """The state folders of a web process, with the keys of the world's secrets, and of a ledger signer that has signed;
    then something more happens.
    """
    web, signer, kept = tmp_path / "ringi-web", tmp_path / "ringi-ledger-signer", Path(settings.STATE_DIR)
    shutil.copytree(kept / "secrets", web / "secrets")
    (web / "secrets" / "configuration.keys").chmod(0o600)
    sign_ledger(LedgerSigner(signer / "ledger_signer"))
    release = world.planned()
    with world.acting_as("manager"):
        edit(release.pk, fields={"title": "changed after the last signature"})
    return [web, signer]


def test_everything_comes_back_after_a_total_loss(
    world: Any, states: list[Path], key: Path, empty: str, settings: Any, tmp_path: Path
) -> None:
    place, root, out = tmp_path / "backups", tmp_path / "lib", io.StringIO()
    place.mkdir()
    with as_owner():
        given = [f"--state={folder}" for folder in states]
        call_command("backup", str(place), f"--encrypt-to={key}", *given, stdout=out)
    (made,) = place.iterdir()
    assert made.stat().st_mode & 0o777 == 0o600 and "with the ledger signer's memory" in out.getvalue()
    assert b"hidden" not in made.read_bytes() and b"PGDMP" not in made.read_bytes()
    events = LedgerHead.objects.get().number
    settings.LEDGER_PUBLIC_KEY = str(tmp_path / "ledger.pub")  # kept outside, as the installation says
    shutil.copy(states[1] / "ledger_signer" / "key.pub", settings.LEDGER_PUBLIC_KEY)

    for folder in states:
        shutil.rmtree(folder)
    with as_owner(empty), translation.override("en"):
        out = io.StringIO()
        call_command("restore", str(made), f"--state-root={root}", stdout=out)
    assert "Intact" in out.getvalue() and "Next:" in out.getvalue()
    put = [file for file in root.rglob("*") if file.is_file()]
    assert put and all(file.stat().st_mode & 0o777 == 0o600 for file in put)
    settings.STATE_DIR = root / "ringi-web"
    with connected(os.environ["DATABASE_URL"], empty):
        assert Release.objects.get().title == "changed after the last signature"
        row = ConfigurationVersion.objects.exclude(encrypted={}).first()
        assert row is not None and row.present_digest() == row.digest
        with world.acting_as("manager"):
            edit(Release.objects.get().pk, fields={"title": "after the restore"})
        signer = LedgerSigner(root / "ringi-ledger-signer" / "ledger_signer")
        signed = sign_ledger(signer)
        assert signed is not None and signed.size > events
        with psycopg.connect(connection_address(empty), autocommit=True) as raw:
            result = verification.verified(raw, keys=None, notes=[signer.note])
        assert (result.report.finding, result.report.unknown, result.not_captured) == (None, "", [])
        assert result.report.last == LedgerHead.objects.get().number > events


def connection_address(name: str) -> str:
    from tests.conftest import _named

    return _named(os.environ["DATABASE_URL"], name)


def test_a_backup_is_refused_where_it_would_not_fit_together(states: list[Path], key: Path, tmp_path: Path) -> None:
    with as_owner():
        for folders, why in (([tmp_path], "holds none of"), ([states[0], states[0]], "two state folders")):
            with pytest.raises(BackupFailed, match=why):
                make(tmp_path, states=folders, recipient=key)
        with pytest.raises(BackupFailed, match="does not exist"):
            make(tmp_path / "nowhere", states=states, recipient=key)
        with pytest.raises(BackupFailed, match="does not exist"):
            make(tmp_path, states=states, recipient=tmp_path / "no key")
    assert not list(tmp_path.glob("*.backup")) and not list(tmp_path.glob(".backup-*"))


def test_a_signer_at_work_is_waited_for(
    states: list[Path], key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its memory and the database belong to one moment; an older memory is not backed up."""
    memory = states[1] / "ledger_signer" / "state.json"
    newest = memory.read_text()
    monkeypatch.setattr(making, "TRIES", 2)
    memory.write_text(newest.replace('"size": ', '"size": 1'))
    with as_owner(), pytest.raises(BackupFailed, match="stop it for the backup"):
        make(tmp_path, states=states, recipient=key)
    monkeypatch.setattr(making.time, "sleep", lambda _seconds: memory.write_text(newest))
    with as_owner():
        made, manifest = make(tmp_path, states=states, recipient=key)
    assert made.is_file() and manifest.signer and 0 < manifest.checkpoint <= manifest.events


def test_a_restore_is_refused_before_anything_is_written(
    world: Any, states: list[Path], key: Path, empty: str, tmp_path: Path
) -> None:
    root = tmp_path / "lib"
    with as_owner():
        made, _manifest = make(tmp_path, states=states, recipient=key)
        with pytest.raises(BackupFailed, match="not empty"):
            restore(made, root=root)
    with as_owner(empty):
        there = root / "ringi-web" / "secrets" / "configuration.keys"
        there.parent.mkdir(parents=True)
        there.write_text("another installation's")
        with pytest.raises(BackupFailed, match="there already"):
            restore(made, root=root)
        shutil.rmtree(root)
        with psycopg.connect(connection_address(empty)), pytest.raises(BackupFailed, match="other connections"):
            restore(made, root=root)
        broken = tmp_path / "broken.backup"
        broken.write_bytes(made.read_bytes()[:-100])
        with pytest.raises(BackupFailed):
            restore(broken, root=root)
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace")
            assert cursor.fetchone() == (0,)
    assert not root.exists()


def test_a_dump_with_another_ledger_than_the_manifest_names_is_refused(
    states: list[Path], key: Path, empty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No private file is written beside it."""
    monkeypatch.setattr(making, "ledger_of", lambda of: ledger_of(of) | {"chain": "00" * 32})
    with as_owner():
        made, _manifest = make(tmp_path, states=states, recipient=key)
    with as_owner(empty), pytest.raises(BackupFailed, match="not that of its manifest"):
        restore(made, root=tmp_path / "lib")
    assert not (tmp_path / "lib").exists()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("another file", "not those that its manifest names"),
        ("a changed file", "is not what the manifest says"),
        ("a place outside", "does not belong there"),
        ("another format", "another format"),
        ("a newer version", "made with version 99.0.1"),
        ("no manifest", "no backup of Ringi"),
    ],
)
def test_contents_that_the_manifest_does_not_name_are_refused(
    change: str, why: str, key: Path, empty: str, tmp_path: Path
) -> None:
    """Who has the public key can make a file; it must still be a backup."""
    name = "state/x/other/a" if change == "a place outside" else "state/x/secrets/a"
    files = {DUMP: b"PGDMP", name: b"a"}
    rows = {each: {"sha256": hashlib.sha256(data).hexdigest(), "owner": "root"} for each, data in files.items()}
    manifest = Manifest("now", "0", "18", 1, "", 1, False).text()
    text = json.loads(manifest) | {"files": rows}
    if change == "another format":
        text["format"] = 99
    if change == "a newer version":
        text["version"] = "99.0.1"
    if change == "a changed file":
        files[DUMP] = b"PGDMP and more"
    if change == "another file":
        files["state/x/secrets/b"] = b"b"
    made = tmp_path / "made.backup"
    with encrypting(key, made) as out, tarfile.open(fileobj=out, mode="w|") as archive:
        about = {} if change == "no manifest" else {MANIFEST: json.dumps(text).encode()}
        for each, data in {**about, **files}.items():
            row = tarfile.TarInfo(each)
            row.size = len(data)
            archive.addfile(row, io.BytesIO(data))
    with as_owner(empty), pytest.raises(BackupFailed, match=why):
        restore(made, root=tmp_path / "lib")
    assert not (tmp_path / "lib").exists()


def test_an_older_memory_of_the_signer_is_why_both_belong_together(states: list[Path]) -> None:
    """Without the check a restored signer would refuse to sign."""
    folder = states[1] / "ledger_signer"
    kept = (folder / "state.json").read_text()
    sign_ledger(LedgerSigner(folder))
    (folder / "state.json").write_text(kept)
    with pytest.raises(SigningRefused):
        sign_ledger(LedgerSigner(folder))
