"""Builds the sample application's git repository, with its branches and signed tags; called by the story."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from pathlib import Path

SAMPLE = Path(__file__).resolve().parent / "sample"
LAYERS = ("v1_2_0", "v1_3_0", "v1_4_0")
LEFT_BEHIND = frozenset({"__pycache__", ".pytest_cache", ".ruff_cache", ".coverage"})
VERSION_FILE = "dataset_service/version.py"
ZONE = timezone(timedelta(hours=9))

Person = tuple[str, str]


class RepositoryFailed(Exception):
    """The repository could not be built; the message names the command and its output."""


@dataclass(frozen=True)
class Built:
    """A built repository: its bare folder, who may sign, and per tag its commit and tree (40 hex)."""

    path: Path
    allowed_signers: Path
    commits: dict[str, str]
    trees: dict[str, str]


def files(layer: str) -> dict[str, bytes]:
    """Return path → content of the sample's tree, the layers up to `layer` laid over each other."""
    tree: dict[str, bytes] = {}
    for name in LAYERS[: LAYERS.index(layer) + 1]:
        top = SAMPLE / name
        for path in sorted(top.rglob("*")):
            if path.is_file() and not LEFT_BEHIND.intersection(path.relative_to(top).parts):
                tree[path.relative_to(top).as_posix()] = path.read_bytes()
    return tree


def with_version(tree: Mapping[str, bytes], version: str) -> dict[str, bytes]:
    """Return the tree with another version in its version file."""
    text = f'"""The version of this tree."""\n\nVERSION = "{version}"\n'
    return {**tree, VERSION_FILE: text.encode()}


def lay(tree: Mapping[str, bytes], folder: Path) -> None:
    """Write a tree into a new or empty folder; a file that begins with #! is executable."""
    for name, content in tree.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o755 if content.startswith(b"#!") else 0o644)


def changes(tree: Mapping[str, bytes]) -> list[str]:
    """Return the changes of the newest version in the tree's changelog, a line each."""
    section = tree["CHANGELOG.md"].decode().split("\n## ")[1]
    return [line for line in section.splitlines() if line.startswith("- ")]


class Workshop:
    """A repository under construction, isolated from the Git configuration of the user."""

    def __init__(self, folder: Path, developer: Person, releaser: Person) -> None:
        self.folder = folder
        self.path = folder / "dataset-service.git"
        self.work = folder / "work"
        self.key = folder / "keys" / "release"
        self.allowed_signers = folder / "keys" / "allowed_signers"
        self.developer, self.releaser = developer, releaser
        self.commits: dict[str, str] = {}
        self.trees: dict[str, str] = {}

    def run(self, *words: str, at: datetime | None = None, by: Person | None = None) -> str:
        """Run a command and return what it printed. Raises RepositoryFailed."""
        name, address = by or self.developer
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "HOME": str(self.work),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CEILING_DIRECTORIES": str(self.folder),  # never a repository that contains `folder`
        }
        for role in ("AUTHOR", "COMMITTER"):
            environment |= {f"GIT_{role}_NAME": name, f"GIT_{role}_EMAIL": address}
            if at is not None:
                environment[f"GIT_{role}_DATE"] = at.isoformat()
        try:
            done = subprocess.run(
                words,
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
        except OSError as error:
            raise RepositoryFailed(f"{words[0]}: {error.strerror}") from error
        if done.returncode:
            raise RepositoryFailed(f"{words[0]} ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout.strip()

    def git(self, *words: str, at: datetime | None = None, by: Person | None = None) -> str:
        """Run git on the repository with the folder of work as its tree. Raises RepositoryFailed."""
        return self.run("git", f"--git-dir={self.path}", f"--work-tree={self.work}", *words, at=at, by=by)

    def open(self) -> None:
        """Create the empty repository and the key that signs its tags."""
        self.key.parent.mkdir(parents=True, mode=0o700)
        self.work.mkdir()
        self.run("git", "init", "--quiet", "--bare", "--initial-branch=main", str(self.path))
        self.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", self.releaser[1], "-f", str(self.key))
        public = self.key.with_suffix(".pub").read_text().split()
        self.allowed_signers.write_text(f'{self.releaser[1]} namespaces="git" {public[0]} {public[1]}\n')

    def commit(self, branch: str, start: str, tree: Mapping[str, bytes], message: str, at: datetime) -> None:
        """Commit a tree on a branch, which begins at `start` when it is new ("" = from nothing)."""
        self.git("symbolic-ref", "HEAD", f"refs/heads/{branch}")
        if start:
            self.git("update-ref", f"refs/heads/{branch}", start)
        shutil.rmtree(self.work)
        lay(tree, self.work)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--no-gpg-sign", "-m", message, at=at)

    def move(self, branches: tuple[str, ...], to: str) -> None:
        """Let branches follow a commit."""
        for branch in branches:
            self.git("update-ref", f"refs/heads/{branch}", to)

    def tag(self, version: str, branch: str, lines: list[str], at: datetime) -> None:
        """Sign a tag that carries version, date and changes."""
        name = f"v{version}"
        message = "\n".join([version, at.date().isoformat(), "", *lines])
        signing = ("-c", "gpg.format=ssh", "-c", f"user.signingKey={self.key}")
        words = (*signing, "tag", "--sign", "-m", message, name, f"refs/heads/{branch}")
        self.git(*words, at=at, by=self.releaser)
        self.commits[name] = self.git("rev-parse", f"{name}^{{commit}}")
        self.trees[name] = self.git("rev-parse", f"{name}^{{tree}}")


def build(folder: Path, *, people: Mapping[str, Person], day: date) -> Built:
    """Build the repository under `folder` and return where it is.

    people: "developer" writes the commits; "release_manager" (else the developer) signs the tags.
    day: the date that the tags of 1.3.0 and 1.4.0 carry; 1.2.0 is four weeks older.
    Raises RepositoryFailed, also when there is one already.
    """
    developer = people["developer"]
    shop = Workshop(folder.absolute(), developer, people.get("release_manager", developer))
    if shop.path.exists():
        raise RepositoryFailed(f"{shop.path} exists already")
    shop.open()

    def at(days_before: int, minutes: int = 0) -> datetime:
        return datetime.combine(day, time(0, 1), ZONE) - timedelta(days=days_before) + timedelta(minutes=minutes)

    base, tagged, normalised = (files(layer) for layer in LAYERS)
    shop.commit("main", "", base, "Serve a catalogue of datasets", at(28))
    shop.tag("1.2.0", "main", changes(base), at(28, 1))
    shop.move(("staging", "development"), "refs/heads/main")

    shop.commit("feature/tags", "refs/heads/development", with_version(tagged, "1.2.0"), "Tag datasets", at(21))
    shop.move(("development",), "refs/heads/feature/tags")
    beta = with_version(tagged, "1.3.0-beta.1")
    shop.commit("release/1.3", "refs/heads/development", beta, "Version 1.3.0-beta.1", at(14))
    shop.tag("1.3.0-beta.1", "release/1.3", changes(tagged), at(0))
    shop.commit("release/1.3", "", tagged, "Version 1.3.0", at(7))
    shop.tag("1.3.0", "release/1.3", changes(tagged), at(0, 1))
    shop.move(("main", "staging", "development"), "refs/heads/release/1.3")

    shop.commit(
        *("feature/normalised-titles", "refs/heads/development", with_version(normalised, "1.3.0")),
        *("Keep titles in one form", at(6)),
    )
    shop.move(("development",), "refs/heads/feature/normalised-titles")
    shop.commit("release/1.4", "refs/heads/development", normalised, "Version 1.4.0", at(5))
    shop.tag("1.4.0", "release/1.4", changes(normalised), at(0, 2))
    shop.move(("main", "staging", "development"), "refs/heads/release/1.4")

    shop.git("symbolic-ref", "HEAD", "refs/heads/main")
    shop.git("update-server-info")
    shutil.rmtree(shop.work)
    (shop.path / "index").unlink(missing_ok=True)
    return Built(shop.path, shop.allowed_signers, shop.commits, shop.trees)
