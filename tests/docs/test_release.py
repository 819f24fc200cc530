"""`make release` in a clone with a throw-away key, and the commands of docs/how-to/verify-a-release.md on its files."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.release import LOCKS
from tests.mutants import LEFT_OUT

ROOT = Path(__file__).resolve().parents[2]
UV = ROOT / ".uv" / "bin" / "uv"
PAGE = ROOT / "docs" / "how-to" / "verify-a-release.md"
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
DATED = f"## {VERSION} (2026-12-01)"


def git(clone: Path, *words: str) -> str:
    """Run git in the clone, as some maintainer."""
    who = ("-c", "user.name=Maintainer", "-c", "user.email=maintainer@ringi.example", "-c", "tag.gpgSign=false")
    done = subprocess.run(["git", "-C", str(clone), *who, *words], capture_output=True, text=True, check=True)
    return done.stdout


def key(file: Path) -> str:
    """Make a key without a passphrase and return its public part."""
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(file)]
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL)
    return file.with_suffix(".pub").read_text().strip()


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the key `listed` and the key `other`."""
    folder = tmp_path_factory.mktemp("keys")
    key(folder / "listed"), key(folder / "other")
    return folder


@pytest.fixture(scope="module")
def looked_up(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Let uv look up the packages at the index once, which takes most of a release's time; it keeps the answers."""
    copy = tmp_path_factory.mktemp("locks")
    for name in ("Makefile", "pyproject.toml", *LOCKS):
        shutil.copy(ROOT / name, copy)
    uv = [f"UV={UV}"] if UV.exists() else []
    subprocess.run(["make", "--silent", "lock-installed", *uv], cwd=copy, env=unmade(), check=True)


@pytest.fixture(scope="module")
def tagged(tmp_path_factory: pytest.TempPathFactory, keys: Path, looked_up: None) -> Path:
    """Return a clone of this tree whose version has a date, a key that may sign, and its tag."""
    clone = tmp_path_factory.mktemp("release") / "clone"
    shutil.copytree(ROOT, clone, ignore=lambda at, names: {*LEFT_OUT(at, names), *{".uv"}.intersection(names)})
    changelog = clone / "CHANGELOG.md"
    text, count = re.subn(rf"^## {re.escape(VERSION)} \(.*\)$", DATED, changelog.read_text("utf-8"), flags=re.MULTILINE)
    assert count == 1
    changelog.write_text(text, "utf-8")
    with (clone / "deploy" / "release-signers").open("a") as signers:
        signers.write(f'ringi-release namespaces="file" {(keys / "listed.pub").read_text()}')
    git(clone, "init", "--quiet")
    git(clone, "add", "--all")
    git(clone, "commit", "--quiet", "--message=Release")
    git(clone, "tag", f"v{VERSION}")
    return clone


@pytest.fixture
def clone(tagged: Path) -> Iterator[Path]:
    """Return the clone, and take back what a test does to it."""
    commit = git(tagged, "rev-parse", "HEAD").strip()
    yield tagged
    git(tagged, "reset", "--quiet", "--hard", commit)
    git(tagged, "clean", "--quiet", "--force", "-d")
    git(tagged, "tag", "--force", f"v{VERSION}")


def unmade() -> dict[str, str]:
    """Return the environment without what `make` hands on."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}


def release(clone: Path, **variables: str) -> tuple[int, str]:
    """Run `make release` as the Makefile does; return its status and table."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("RINGI_RELEASE")}
    uv = {"RINGI_RELEASE_UV": str(UV), "UV_OFFLINE": "1"}
    environment = {**plain, **uv, "PYTHONPATH": str(clone), "RINGI_RELEASE_WITHOUT": "image dump", **variables}
    words = [sys.executable, "-m", "tests.kit.release"]
    done = subprocess.run(words, cwd=clone, env=environment, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout


def commands(signers: Path, clone: Path) -> list[str]:
    """Return the commands of the page from the section *Verify* on, with the places of this test."""
    text = PAGE.read_text("utf-8").split("\n## Verify\n")[1]
    lines = [line for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    assert all(line.startswith("$ ") for line in lines) and len(lines) == 5
    said = "\n".join(line[2:] for line in lines)
    said = re.sub(r"^VERSION=.*$", f"VERSION={VERSION}", said, flags=re.MULTILINE)
    return said.replace("/tmp/release-signers", str(signers)).replace("/opt/ringi", str(clone)).splitlines()


def verified(folder: Path, lines: list[str]) -> subprocess.CompletedProcess[str]:
    """Run the commands as one shell that ends with the first fault."""
    script = "\n".join(["set -eo pipefail", *lines])
    return subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, check=False)


def test_the_page_verifies_a_release_and_finds_each_altered_byte(clone: Path, keys: Path) -> None:
    status, table = release(clone, RINGI_RELEASE_KEY=str(keys / "listed"))
    assert status == 0 and "image, and its SBOM | not done: left out" in table, table
    folder = clone / "var" / "release" / f"ringi-{VERSION}"
    lines = commands(clone / "deploy" / "release-signers", clone)
    done = verified(folder, lines)
    assert done.returncode == 0 and 'Good "file" signature for ringi-release' in done.stdout, done.stderr
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert done.stdout.count(": OK\n") == len(files) - 2 and len(files) == 9
    ours, theirs = done.stdout.splitlines()[-2:]
    assert ours == theirs and len(ours.split()[0]) == 64
    assert {file.name for file in files} >= {"ringi_verify.py", "ringi_verify_pack.py", "ringi_verify_year.py"}
    for file in files:
        whole = file.read_bytes()
        for at in (len(whole) // 2, len(whole) - 2):
            file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            assert verified(folder, lines[:3]).returncode != 0, (file, at)
        file.write_bytes(whole)
    assert verified(folder, lines).returncode == 0
    made = json.loads((folder / f"ringi-{VERSION}-sbom.json").read_text())
    assert {row["purl"].split("/")[0] for row in made["components"]} == {"pkg:pypi"}
    packed = (folder / f"ringi-{VERSION}.tar.gz").read_bytes()
    umask = os.umask(0o077)
    try:
        status, table = release(clone)
    finally:
        os.umask(umask)
    assert status == 3 and table.count("NOT SIGNED") == 2 and not (folder / "SHA256SUMS.sig").exists(), table
    assert (folder / f"ringi-{VERSION}.tar.gz").read_bytes() == packed
    # A key that the tag does not list signs nothing.
    one = "from tests.kit.release import Release, Table; Release(Table()).signature()"
    given = {**os.environ, "PYTHONPATH": str(clone), "RINGI_RELEASE_KEY": str(keys / "other")}
    words = [sys.executable, "-c", one]
    refused = subprocess.run(words, cwd=clone, env=given, capture_output=True, text=True, check=False)
    assert refused.returncode == 1 and "release-signers does not list the key" in refused.stderr
    assert not (folder / "SHA256SUMS.sig").exists()


def test_a_signature_of_another_key_or_purpose_is_not_accepted(clone: Path, keys: Path, tmp_path: Path) -> None:
    sums = tmp_path / "SHA256SUMS"
    sums.write_text("")
    lines = commands(clone / "deploy" / "release-signers", clone)[1:2]
    for name, purpose, good in (("listed", "file", True), ("other", "file", False), ("listed", "git", False)):
        sums.with_name("SHA256SUMS.sig").unlink(missing_ok=True)
        words = ["ssh-keygen", "-q", "-Y", "sign", "-n", purpose, "-f", str(keys / name), str(sums)]
        subprocess.run(words, check=True, capture_output=True)
        assert (verified(tmp_path, lines).returncode == 0) is good, (name, purpose)


@pytest.mark.parametrize(
    ("file", "find", "put", "moves", "said"),
    [
        ("README.md", "# ", "# A", False, "1 files differ from HEAD"),
        ("README.md", "# ", "# A", None, "HEAD needs the tag"),
        ("pyproject.toml", f'version = "{VERSION}"', 'version = "99.0.0"', True, "HEAD needs the tag v99.0.0"),
        ("CHANGELOG.md", DATED, f"## {VERSION} (unreleased)", True, "CHANGELOG.md needs a section"),
        ("CHANGELOG.md", DATED, f"## {VERSION} (2026-13-01)", True, "CHANGELOG.md needs a section"),
        ("CHANGELOG.md", DATED, "## 99.0.0 (2026-12-01)", True, "CHANGELOG.md needs a section"),
        ("pyproject.toml", '  "tomli-w",\n', "", True, "out of date: requirements.lock, requirements-production.lock"),
    ],
)
def test_it_refuses(clone: Path, keys: Path, file: str, find: str, put: str, moves: bool | None, said: str) -> None:
    """moves: whether the tag moves to a commit of the change; None: a commit without a tag; False: no commit."""
    shutil.rmtree(clone / "var", ignore_errors=True)
    text = (clone / file).read_text("utf-8")
    assert find in text
    (clone / file).write_text(text.replace(find, put, 1), "utf-8")
    if moves is not False:
        git(clone, "commit", "--quiet", "--all", "--message=Change")
    if moves:
        git(clone, "tag", "--force", f"v{VERSION}")
    status, table = release(clone, RINGI_RELEASE_KEY=str(keys / "listed"))
    assert status == 2 and said in table and "nothing was made" in table, table
    assert not (clone / "var" / "release").exists()


def test_a_file_that_git_does_not_know_is_refused(clone: Path, keys: Path) -> None:
    (clone / "releases" / "more.py").write_text("")
    status, table = release(clone, RINGI_RELEASE_KEY=str(keys / "listed"))
    assert status == 2 and "releases/more.py" in table, table
