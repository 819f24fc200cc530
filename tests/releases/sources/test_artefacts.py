"""Artefacts: fetched by digest, unpacked safely, and their signatures by cosign."""

from __future__ import annotations

import hashlib
import http.server
import io
import os
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from environments.targets import trees
from environments.targets.base import StepFailed, Version
from releases.sources import artefacts
from releases.sources.artefacts import Access, Unavailable, fetched, signature_fault, with_tree, wrong_reference

SAMPLES = Path(__file__).parent / "samples" / "cosign"
KEY = (SAMPLES / "key.pub").read_text()
FILE = hashlib.sha256((SAMPLES / "file").read_bytes()).hexdigest()
FILE_SIGNATURE, IMAGE_SIGNATURE = ((SAMPLES / name).read_text().strip() for name in ("file.sig", "image.sig"))
PAYLOAD = (SAMPLES / "image.payload").read_text()
IMAGE = PAYLOAD.partition('"sha256:')[2][:64]


def alive() -> None:
    """Be a heartbeat."""


def version(content: bytes, reference: str, kind: str = "archive") -> Version:
    """Return a version that deploys these bytes."""
    return Version("1.0.0", "v1.0.0", "a" * 40, "", kind, reference, hashlib.sha256(content).hexdigest())


def packed(**files: str) -> bytes:
    """Return a tar archive, compressed."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(text), 0o755 if text.startswith("#!") else 0o644
            tar.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


class Served:
    """What the server gives: path → status, body, headers; and what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, bytes, dict[str, str]]] = {}
        self.asked: list[tuple[str, str]] = []
        self.address = ""


@pytest.fixture
def served(settings: Any, tmp_path: Path) -> Iterator[Served]:
    """A server on the loopback, and an empty store of fetched files."""
    found = Served()

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked.append((self.path, self.headers.get("Authorization", "")))
            status, body, headers = found.answers.get(self.path, (404, b"", {}))
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: Any) -> None:
            """Say nothing."""

    settings.GIT_NETWORKS, settings.STATE_DIR = ["127.0.0.0/8"], tmp_path / "state"
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    found.address = f"http://127.0.0.1:{server.server_port}"
    yield found
    server.shutdown()
    server.server_close()


def test_a_file_is_fetched_once_and_compared(served: Served) -> None:
    content = packed(**{"index.html": "hello"})
    served.answers["/a.tar.gz"] = (200, content, {})
    wanted = version(content, f"{served.address}/a.tar.gz")
    path = fetched(wanted, Access(), alive)
    assert path.read_bytes() == content
    assert fetched(wanted, Access(), alive) == path and len(served.asked) == 1
    path.write_bytes(b"altered")
    assert fetched(wanted, Access(), alive).read_bytes() == content and len(served.asked) == 2


def test_another_file_under_the_same_address_is_refused(served: Served) -> None:
    wanted = version(b"what was built", f"{served.address}/a.tar.gz")
    served.answers["/a.tar.gz"] = (200, b"what lies there now", {})
    with pytest.raises(Unavailable, match=hashlib.sha256(b"what lies there now").hexdigest()):
        fetched(wanted, Access(), alive)
    assert not list(artefacts._folder().iterdir()), "nothing is kept"


def test_a_password_is_sent_to_its_server_only(served: Served) -> None:
    content = b"x" * 100
    wanted = version(content, f"{served.address}/moved")
    elsewhere = served.address.replace("127.0.0.1", "localhost")
    served.answers["/moved"] = (302, b"", {"Location": f"{elsewhere}/signed?token=1"})
    served.answers["/signed?token=1"] = (200, content, {})
    assert fetched(wanted, Access(password="hidden-word"), alive).read_bytes() == content
    assert served.asked == [("/moved", "Bearer hidden-word"), ("/signed?token=1", "")]
    assert Access("ci", "hidden-word").headers == {"Authorization": "Basic Y2k6aGlkZGVuLXdvcmQ="}
    assert "hidden-word" not in repr(Access("ci", "hidden-word"))


@pytest.mark.parametrize(("status", "why"), [(404, "status 404"), (302, "status 302"), (500, "status 500")])
def test_an_answer_without_the_file_is_said(served: Served, status: int, why: str) -> None:
    served.answers["/a"] = (status, b"", {"Location": "/a"} if status == 302 else {})
    with pytest.raises(Unavailable, match=why):
        fetched(version(b"", f"{served.address}/a"), Access(), alive)


def test_a_private_address_must_be_listed(served: Served, settings: Any) -> None:
    settings.GIT_NETWORKS = []
    with pytest.raises(Unavailable, match="private address"):
        fetched(version(b"", f"{served.address}/a"), Access(), alive)


def test_the_heartbeat_ends_a_fetch(served: Served) -> None:
    served.answers["/a"] = (200, b"x" * 5_000_000, {})

    def stopped() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetched(version(b"", f"{served.address}/a"), Access(), stopped)
    assert not list(artefacts._folder().iterdir())


@pytest.mark.parametrize("form", ["tar", "zip"])
def test_archives_of_both_forms_give_the_same_tree(served: Served, form: str, tmp_path: Path) -> None:
    files = {"index.html": "hello", "bin/run": "#!/bin/sh\n"}
    content = packed(**files)
    if form == "zip":
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as opened:
            for name, text in files.items():
                member = zipfile.ZipInfo(name)
                member.external_attr = (0o755 if text.startswith("#!") else 0o644) << 16
                opened.writestr(member, text)
        content = buffer.getvalue()
    served.answers["/a"] = (200, content, {})
    expected = tmp_path / "expected"
    (expected / "bin").mkdir(parents=True)
    for name, text in files.items():
        (expected / name).write_text(text)
    (expected / "bin" / "run").chmod(0o755)
    wanted = with_tree(version(content, f"{served.address}/a"), Access(), alive)
    assert wanted.tree == trees.tree_digest(expected)
    folder, laid = trees.lay(wanted, tmp_path / "releases", lambda path: artefacts.give(wanted, Access(), path, alive))
    assert laid and trees.tree_digest(folder) == wanted.tree
    assert folder.name == f"1.0.0-{'a' * 12}-{wanted.digest[:12]}", "two builds of one commit lie in two folders"
    served.answers.clear()
    assert with_tree(version(content, "http://gone.invalid/a"), Access(), alive).tree == wanted.tree


def test_a_file_is_laid_under_its_own_name(served: Served, tmp_path: Path) -> None:
    served.answers["/v1/app"] = (200, b"\x7fELF", {})
    wanted = with_tree(version(b"\x7fELF", f"{served.address}/v1/app", "file"), Access(), alive)
    folder, _laid = trees.lay(wanted, tmp_path / "releases", lambda p: artefacts.give(wanted, Access(), p, alive))
    assert os.access(folder / "app", os.X_OK) and (folder / "app").read_bytes() == b"\x7fELF"


def _tar_with(change: Callable[[tarfile.TarInfo], None]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        member = tarfile.TarInfo("a")
        change(member)
        tar.addfile(member, io.BytesIO())
    return buffer.getvalue()


def _zip_with(name: str, mode: int = 0o100644) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as opened:
        member = zipfile.ZipInfo(name)
        member.external_attr = mode << 16
        opened.writestr(member, "/etc/passwd")
    return buffer.getvalue()


HOSTILE = {
    "tar, above": _tar_with(lambda member: setattr(member, "name", "../a")),
    "tar, device": _tar_with(lambda member: setattr(member, "type", tarfile.CHRTYPE)),
    "zip, above": _zip_with("../a"),
    "zip, absolute": _zip_with("/a"),
    "zip, link": _zip_with("a", 0o120777),
    "no archive": b"no archive at all",
    "cut off": packed(**{"a": "b" * 5000})[:60],
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_an_archive_that_leads_out_is_refused(tmp_path: Path, content: bytes) -> None:
    path, folder = tmp_path / "packed", tmp_path / "folder"
    path.write_bytes(content)
    folder.mkdir()
    with pytest.raises(StepFailed):
        trees.unpack(path, folder, version(content, "https://a.example/a"))
    assert not (tmp_path / "a").exists() and not list(folder.rglob("a"))


@pytest.mark.parametrize("form", ["tar", "zip"])
def test_an_archive_that_unpacks_to_too_much_is_refused(
    tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trees, "LARGEST", 10)
    content = packed(a="12345678", b="12345678") if form == "tar" else _zip_with("a")
    (tmp_path / "folder").mkdir()
    (tmp_path / "packed").write_bytes(content)
    with pytest.raises(StepFailed, match="more than 10 bytes"):
        trees.unpack(tmp_path / "packed", tmp_path / "folder", version(content, "https://a.example/a"))


@pytest.mark.parametrize(
    ("kind", "reference", "accepted"),
    [
        ("image", "registry.example.org/team/app", True),
        ("image", "127.0.0.1:5000/app", True),
        ("image", "app", True),
        ("image", "registry.example.org/app:latest", False),
        ("image", "registry.example.org/app@sha256:00", False),
        ("image", "https://registry.example.org/app", False),
        ("image", "--privileged", False),
        ("archive", "https://files.example.org/app-1.0.tar.gz", True),
        ("archive", "https://files.example.org/", False),
        ("archive", "https://ci:hidden@files.example.org/a", False),
        ("archive", "file:///etc/passwd", False),
        ("file", "/etc/passwd", False),
    ],
)
def test_addresses(kind: str, reference: str, accepted: bool, settings: Any) -> None:
    settings.ARTEFACT_FOLDER = ""
    assert (wrong_reference(kind, reference) == "") is accepted


def test_a_path_lies_in_the_folder_for_artefacts(settings: Any, tmp_path: Path) -> None:
    settings.ARTEFACT_FOLDER, settings.STATE_DIR = str(tmp_path / "built"), tmp_path / "state"
    (tmp_path / "built").mkdir()
    (tmp_path / "built" / "app").write_bytes(b"x")
    (tmp_path / "secret").write_bytes(b"x")
    (tmp_path / "built" / "link").symlink_to(tmp_path / "secret")
    assert fetched(version(b"x", str(tmp_path / "built" / "app"), "file"), Access(), alive).read_bytes() == b"x"
    assert wrong_reference("file", str(tmp_path / "secret")) and wrong_reference("file", str(tmp_path / "built/link"))


def test_signatures_that_cosign_made() -> None:
    assert signature_fault("file", FILE, FILE_SIGNATURE, "", f"git key\n{KEY}") == ""
    assert signature_fault("archive", FILE, FILE_SIGNATURE, "", KEY.replace("\n", "\r\n")) == ""
    assert signature_fault("image", IMAGE, IMAGE_SIGNATURE, PAYLOAD, KEY) == ""


@pytest.mark.parametrize(
    ("kind", "digest", "signature", "payload", "why"),
    [
        ("file", FILE, "", "", "is not signed"),
        ("file", FILE, "***", "", "not base64"),
        ("file", "0" * 64, FILE_SIGNATURE, "", "by none of the keys"),
        ("file", FILE, IMAGE_SIGNATURE, "", "by none of the keys"),
        ("image", "0" * 64, IMAGE_SIGNATURE, PAYLOAD, "names another image"),
        ("image", IMAGE, IMAGE_SIGNATURE, PAYLOAD.replace("cosign container", "other"), "by none of the keys"),
        ("image", IMAGE, IMAGE_SIGNATURE, "", "does not name an image"),
        ("image", IMAGE, IMAGE_SIGNATURE, '{"critical": []}', "does not name an image"),
        ("image", FILE, FILE_SIGNATURE, "", "does not name an image"),
    ],
)
def test_signatures_that_do_not_count(kind: str, digest: str, signature: str, payload: str, why: str) -> None:
    assert why in signature_fault(kind, digest, signature, payload, KEY)


def test_keys_are_judged_when_they_are_entered() -> None:
    assert artefacts.wrong_key("git ssh-ed25519 AAAA") == "" and artefacts.wrong_key(KEY) == ""
    assert "no end" in artefacts.wrong_key(KEY.partition("-----END")[0])
    assert "cannot be read" in artefacts.wrong_key(KEY.replace("MFkw", "AAAA"))
    ed25519 = f"{artefacts.BEGIN}\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n{artefacts.END}"
    assert "ECDSA and RSA" in artefacts.wrong_key(ed25519)
