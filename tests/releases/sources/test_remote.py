"""Mirrors of repositories reached by file, http and ssh, with real servers on this machine and protected secrets."""

from __future__ import annotations

import base64
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.utils import translation

from releases.sources.git import (
    Credentials,
    SourceUnavailable,
    TagRefused,
    contains,
    create_tag,
    facts,
    is_remote,
    publish,
    push_files,
    refresh,
    remote as module,
    tag_object,
    wrong_address,
)

from .repositories import NAME, PASSWORD, SSHD, git, history, key, over_http, over_ssh

KNOWN = {"GIT_USERNAME": NAME, "GIT_PASSWORD": PASSWORD}


@pytest.fixture(autouse=True)
def _english() -> Iterator[None]:
    with translation.override("en"):
        yield


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """A repository elsewhere: three commits, two tags."""
    (tmp_path / "srv").mkdir()
    return history(tmp_path / "srv" / "app.git", 3, {"v1.0.0": (2, "1.0.0\n"), "v0.1.0": (1, None)})


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    return tmp_path / "mirrors" / "app"


def trap(origin: Path, name: str) -> Path:
    """Put a hook into a repository that leaves a trace when it runs."""
    sprung = origin.parent / f"sprung-{name}"
    hook = origin / "hooks" / name
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {sprung}\n")
    hook.chmod(0o755)
    return sprung


def signed(mirror: Path, place: Path, name: str) -> str:
    """Make a signed tag in a mirror."""
    if not (place / "signing").exists():
        key(place / "signing")
    commit = git(mirror, "rev-parse", "refs/heads/main")
    return create_tag(
        mirror, name=name, commit=commit, message="1.1.0\n", key=place / "signing", tagger="R", address="r@x"
    )


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("ext::sh -c touch%20/tmp/x", "a path or an https, ssh or file address"),
        ("ext://x/y", "a path or an https"),
        ("git://host/app.git", "a path or an https"),
        ("ftp://host/app.git", "a path or an https"),
        ("fd::17", "a path or an https"),
        ("git@host:app.git", "a path or an https"),
        ("https:host/app", "a path or an https"),
        ("https://name:secret@host/app.git", "Do not put a password in the address"),
        ("http://git.example/app.git", "http is allowed only for a repository on this host"),
        ("http://127.0.0.1.example/app.git", "http is allowed only for a repository on this host"),
        ("ssh://-oProxyCommand=x/app.git", "not an address"),
        ("ssh://-oProxyCommand=x@host/app.git", "not an address"),
        ("https://host/app.git?x=1", "contains a character that is not allowed"),
        ("https://host/a b.git", "contains a character that is not allowed"),
        ("https://host/a\nb.git", "contains a character that is not allowed"),
        ("https:///app.git", "not an address"),
        ("https://host", "not an address"),
        ("https://host:99999/app.git", "not an address"),
        ("file://host/app.git", "not an address"),
        ("file:app.git", "a path or an https"),
    ],
)
def test_a_refused_address_says_why(mirror: Path, address: str, why: str) -> None:
    assert is_remote(address)
    assert why in wrong_address(address)
    with pytest.raises(SourceUnavailable):
        refresh(address, mirror)
    assert not mirror.exists()


def test_an_accepted_address_is_accepted() -> None:
    for address in (
        "https://git.example/group/app.git",
        "https://git.example:8443/app",
        "ssh://git@git.example:2222/app.git",
        "file:///srv/app.git",
        "http://127.0.0.1:8080/app.git",
        "http://[::1]:8080/app",
        "http://localhost/app",
    ):
        assert is_remote(address) and wrong_address(address) == "", address
    for path in ("/srv/app.git", "srv/app.git", "../app.git", "/srv/a:b.git"):
        assert not is_remote(path), path


def test_a_mirror_follows_branches_and_tags_and_removes_deleted_ones(origin: Path, mirror: Path) -> None:
    address = f"file://{origin}"
    sprung = trap(origin, "post-checkout")
    git(origin, "update-ref", "refs/pull/1/head", "refs/heads/main")
    refresh(address, mirror)
    assert contains(mirror, git(origin, "rev-parse", "main")) == ["main"]
    assert git(mirror, "for-each-ref", "--format=%(refname)").split() == [
        "refs/heads/main",
        "refs/tags/v0.1.0",
        "refs/tags/v1.0.0",
    ]
    first = git(origin, "rev-parse", "v0.1.0")
    git(origin, "update-ref", "refs/heads/main", first)
    git(origin, "update-ref", "refs/heads/feature/x", "v1.0.0^{commit}")
    git(origin, "tag", "-d", "v1.0.0")
    refresh(address, mirror)
    assert git(mirror, "rev-parse", "main") == first, "forced back there, so here"
    assert tag_object(mirror, "v1.0.0") == "" and contains(mirror, first) == ["feature/x", "main"]
    assert not sprung.exists()
    assert stat.S_IMODE(mirror.parent.stat().st_mode) == 0o700
    assert [p.name for p in mirror.parent.iterdir() if p.name.startswith(".")] == [], "nothing half made is left"


def test_a_repository_of_another_owner_is_read(origin: Path, mirror: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can give a folder away")
    for path in (origin, *origin.rglob("*")):
        os.chown(path, 65534, 65534)
    refresh(f"file://{origin}", mirror)
    assert tag_object(mirror, "v1.0.0")


def test_a_missing_repository_or_revision_is_reported(tmp_path: Path, mirror: Path) -> None:
    with pytest.raises(SourceUnavailable, match="does not appear to be a git repository|not exist"):
        refresh(f"file://{tmp_path}/absent.git", mirror)
    with pytest.raises(SourceUnavailable, match="git failed"):
        refresh("http://127.0.0.1:9/app.git", mirror)


def test_http_sends_name_and_password_when_asked(origin: Path, mirror: Path) -> None:
    with over_http(origin.parent) as site:
        address = f"{site}/app.git"
        with pytest.raises(SourceUnavailable, match=r"127\.0\.0\.1 does not accept GIT_USERNAME and GIT_PASSWORD"):
            refresh(address, mirror)
        with pytest.raises(SourceUnavailable, match="does not accept GIT_USERNAME and GIT_PASSWORD"):
            refresh(address, mirror, Credentials(NAME, "wrong"))
        refresh(address, mirror, Credentials.of(KNOWN))
        assert tag_object(mirror, "v1.0.0") == git(origin, "rev-parse", "v1.0.0")


def test_a_signed_tag_is_pushed_to_a_repository_over_http(origin: Path, mirror: Path, tmp_path: Path) -> None:
    with over_http(origin.parent) as site:
        address, credentials = f"{site}/app.git", Credentials.of(KNOWN)
        refresh(address, mirror, credentials)
        made = publish(address, mirror, "v1.1.0", lambda: signed(mirror, tmp_path, "v1.1.0"), credentials)
        assert git(origin, "rev-parse", "v1.1.0") == made
        refresh(address, mirror, credentials)
        assert facts(mirror, tag="v1.1.0").signed


def test_publishing_does_not_move_an_existing_tag(origin: Path, mirror: Path, tmp_path: Path) -> None:
    address = f"file://{origin}"
    refresh(address, mirror)
    git(origin, "tag", "v1.1.0", "main~1")
    before = git(origin, "rev-parse", "v1.1.0")
    with pytest.raises(TagRefused, match=r"The repository refused the tag v1\.1\.0"):
        publish(address, mirror, "v1.1.0", lambda: signed(mirror, tmp_path, "v1.1.0"))
    assert git(origin, "rev-parse", "v1.1.0") == tag_object(mirror, "v1.1.0") == before


def test_publishing_runs_no_hook_of_a_local_repository(origin: Path, mirror: Path, tmp_path: Path) -> None:
    sprung = [trap(origin, name) for name in ("pre-receive", "update", "post-receive", "reference-transaction")]
    refresh(f"file://{origin}", mirror)
    publish(f"file://{origin}", mirror, "v1.1.0", lambda: signed(mirror, tmp_path, "v1.1.0"))
    assert not any(path.exists() for path in sprung)
    assert git(origin, "rev-parse", "v1.1.0") == tag_object(mirror, "v1.1.0")


def test_publishing_runs_no_command_configured_by_a_local_repository(mirror: Path, tmp_path: Path) -> None:
    """Commands for borrowed objects, and filters of a checked-out branch that a push would update."""
    place, sprung, script = tmp_path / "place", tmp_path / "sprung", tmp_path / "script"
    place.mkdir()
    script.write_text(f"#!/bin/sh\ntouch {sprung}\n")
    script.chmod(0o755)
    for words in (["init", "-q", "-b", "main"], ["clone", "-q", "--bare", ".", str(tmp_path / "lent")]):
        subprocess.run(["git", "-C", str(place), *words], check=True, capture_output=True)
    (place / ".git/objects/info/alternates").write_text(f"{tmp_path / 'lent' / 'objects'}\n")
    blob = git(place / ".git", "hash-object", "-w", "--stdin", stdin=b"* filter=x\n")
    tree = git(place / ".git", "mktree", stdin=f"100644 blob {blob}\t.gitattributes\n".encode())
    git(place / ".git", "update-ref", "refs/heads/main", git(place / ".git", "commit-tree", "-m", "x", tree))
    git(place / ".git", f"--work-tree={place}", "reset", "-q", "--hard")
    for name in ("core.alternateRefsCommand", "filter.x.smudge"):
        git(place / ".git", "config", name, str(script))
    git(place / ".git", "config", "receive.denyCurrentBranch", "updateInstead")
    for branch, taken in (("docs", True), ("main", False)):
        with nullcontext() if taken else pytest.raises(SourceUnavailable):
            push_files(
                f"file://{place}", mirror, branch, {"a.txt": "1"}, message="m", who=("a", "a@b.c"), at=datetime.now(UTC)
            )
    assert not sprung.exists()


def test_a_tag_refused_by_the_remote_is_not_kept(origin: Path, mirror: Path, tmp_path: Path) -> None:
    refresh(f"file://{origin}", mirror)

    def make() -> str:
        made = signed(mirror, tmp_path, "v1.1.0")
        os.rename(origin, origin.with_name("away.git"))
        return made

    with pytest.raises(SourceUnavailable):
        publish(f"file://{origin}", mirror, "v1.1.0", make)
    assert tag_object(mirror, "v1.1.0") == ""


@pytest.mark.skipif(SSHD is None, reason="sshd is not installed")
def test_ssh_uses_the_key_and_checks_the_host(origin: Path, mirror: Path, tmp_path: Path) -> None:
    own, stranger = key(tmp_path / "own"), key(tmp_path / "stranger")
    with over_ssh(tmp_path / "sshd", own.with_suffix(".pub")) as (site, known):
        address = f"{site}{origin}"
        text = own.read_text()
        for written in (text, text.strip().replace("\n", "\\n"), base64.b64encode(text.encode()).decode()):
            refresh(address, mirror, Credentials.of({"GIT_SSH_KEY": written, "GIT_KNOWN_HOSTS": known}))
            assert tag_object(mirror, "v1.0.0")
        good = Credentials.of({"GIT_SSH_KEY": text, "GIT_KNOWN_HOSTS": known})
        made = publish(address, mirror, "v1.1.0", lambda: signed(mirror, tmp_path, "v1.1.0"), good)
        assert git(origin, "rev-parse", "v1.1.0") == made
        with pytest.raises(SourceUnavailable, match="does not accept the key in GIT_SSH_KEY"):
            refresh(address, mirror, Credentials.of({"GIT_SSH_KEY": stranger.read_text(), "GIT_KNOWN_HOSTS": known}))
        other = " ".join([known.split()[0], *stranger.with_suffix(".pub").read_text().split()[:2]])
        with pytest.raises(SourceUnavailable, match=r"The host key of 127\.0\.0\.1 does not match GIT_KNOWN_HOSTS"):
            refresh(address, mirror, Credentials.of({"GIT_SSH_KEY": text, "GIT_KNOWN_HOSTS": other}))
        for missing in ({"GIT_SSH_KEY": text}, {"GIT_KNOWN_HOSTS": known}, {}):
            with pytest.raises(SourceUnavailable, match="needs GIT_SSH_KEY and GIT_KNOWN_HOSTS"):
                refresh(address, mirror, Credentials.of(missing))


def test_secrets_are_in_no_argument_variable_or_remaining_file(
    origin: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """/proc shows every program that runs meanwhile; the files with secrets are private, then removed."""
    if not sys.platform.startswith("linux"):
        pytest.skip("needs /proc")
    secrets = (PASSWORD.encode(), b"p%40ss")
    outputs: list[bytes] = []
    stores: set[str] = set()
    over = threading.Event()

    def monitoring() -> None:
        while not over.is_set():
            for place in Path("/proc").glob("[0-9]*"):
                try:
                    words = (place / "cmdline").read_bytes()
                    if b"git" in words.split(b"\0")[0] or b"git" in words[:200]:
                        outputs.append(words + (place / "environ").read_bytes())
                    for word in words.split(b"\0"):
                        if b"store --file=" in word:
                            path = word.split(b"--file=")[1].split()[0].decode().strip("'")
                            if Path(path).exists():
                                assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
                                stores.add(path)
                except OSError:
                    continue

    watcher = threading.Thread(target=monitoring)
    watcher.start()
    try:
        with over_http(origin.parent) as site:
            for _time in range(5):
                refresh(f"{site}/app.git", mirror, Credentials.of(KNOWN))
    finally:
        over.set()
        watcher.join()
    assert len(outputs) > 3 and stores, "the observer saw the programs and the file"
    assert not any(secret in seen for secret in secrets for seen in outputs)
    assert not any(Path(path).exists() for path in stores)
    kept = b"".join(path.read_bytes() for path in mirror.parent.rglob("*") if path.is_file())
    assert not any(secret in kept for secret in secrets)


def test_secrets_are_removed_from_shown_text() -> None:
    credentials = Credentials.of({**KNOWN, "GIT_SSH_KEY": "-----BEGIN\nabcdef\n-----END"})
    assert PASSWORD not in repr(credentials) and "abcdef" not in repr(credentials)
    assert credentials.masked(f"fatal: {PASSWORD} or p%40ss%2Fw%3Ard%20%C2%A31 at abcdef") == "fatal: ••• or ••• at •••"


def test_a_redirect_to_another_place_is_not_followed(origin: Path, mirror: Path) -> None:
    asked: list[str] = []
    with over_http(origin.parent, asked) as site:
        from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

        class Elsewhere(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(302)
                self.send_header("Location", site + self.path)
                self.end_headers()

            def log_message(self, *_words: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            with pytest.raises(SourceUnavailable):
                refresh(f"http://127.0.0.1:{server.server_port}/app.git", mirror, Credentials.of(KNOWN))
        finally:
            server.shutdown()
            server.server_close()
    assert asked == []


@pytest.mark.parametrize("scheme", ["http", "ssh"])
def test_a_silent_server_is_given_up_with_all_child_processes(mirror: Path, tmp_path: Path, scheme: str) -> None:
    own = key(tmp_path / "own")
    with socket.create_server(("127.0.0.1", 0)) as unresponsive:
        port = unresponsive.getsockname()[1]
        known = f"[127.0.0.1]:{port} {own.with_suffix('.pub').read_text()}"
        credentials = Credentials.of({"GIT_SSH_KEY": own.read_text(), "GIT_KNOWN_HOSTS": known})
        begun = time.monotonic()
        with pytest.raises(SourceUnavailable, match="did not answer within 1 seconds"):
            refresh(f"{scheme}://127.0.0.1:{port}/app.git", mirror, credentials, seconds=1)
        assert time.monotonic() - begun < 5
        until = time.monotonic() + 5  # the kernel has removed a killed process once it has reaped it
        while left := speaking_to(port):
            assert time.monotonic() < until, left
            time.sleep(0.01)


def speaking_to(port: int) -> list[bytes]:
    """Return the argument lists of the git and ssh processes that were to connect to a port."""
    listed = [place.read_bytes() for place in commands()]
    ours = (f"127.0.0.1:{port}/app.git".encode(), str(port).encode() + b"\0127.0.0.1\0git-upload-pack")
    return [words for words in listed if any(part in words for part in ours)]


def commands() -> Iterator[Path]:
    """Return the argument lists of all processes, as files."""
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            place.read_bytes()
        except OSError:
            continue
        yield place


def test_concurrent_fetches_wait_for_each_other_until_a_timeout(origin: Path, mirror: Path) -> None:
    faults: list[Exception] = []

    def fetch() -> None:
        try:
            refresh(f"file://{origin}", mirror)
        except Exception as fault:
            faults.append(fault)

    threads = [threading.Thread(target=fetch) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == [] and tag_object(mirror, "v1.0.0")
    with module._held(mirror, 1), pytest.raises(SourceUnavailable, match="for too long"):
        refresh(f"file://{origin}", mirror, seconds=0.2)
