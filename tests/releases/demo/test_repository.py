"""The sample's repository, inspected with real git."""

from __future__ import annotations

import os
import subprocess
from datetime import date
from pathlib import Path

import pytest

from releases.demo.repository import Built, RepositoryFailed, build

PEOPLE = {"developer": ("Ito Ken", "ken@example.test"), "release_manager": ("森 彩", "aya@example.test")}
DAY = date(2026, 3, 18)
TAGS = ["v1.2.0", "v1.3.0-beta.1", "v1.3.0", "v1.4.0"]


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Built:
    """A repository built under a Git configuration that would spoil it."""
    (tmp_path / ".gitconfig").write_text(
        "[commit]\n gpgsign = true\n[user]\n name = Someone Else\n[gpg]\n format = x509\n"
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Someone Else")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    return build(tmp_path / "repository", people=PEOPLE, day=DAY)


def git(built: Built, *words: str) -> str:
    environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    signers = f"gpg.ssh.allowedSignersFile={built.allowed_signers}"
    return subprocess.run(
        ["git", "-C", str(built.path), "-c", signers, *words],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()


def test_every_tag_is_annotated_signed_and_carries_version_date_and_changes(built: Built) -> None:
    assert list(built.commits) == TAGS
    for tag in TAGS:
        assert git(built, "cat-file", "-t", tag) == "tag"
        git(built, "verify-tag", tag)
        lines = git(built, "tag", "--list", "--format=%(contents:body)%(contents:subject)%(taggeremail)", tag)
        assert "aya@example.test" in lines
        body = git(built, "cat-file", "tag", tag).split("\n\n", 1)[1].splitlines()
        assert body[0] == tag.removeprefix("v")
        assert body[1] == ("2026-02-18" if tag == "v1.2.0" else "2026-03-18")
        assert body[3].startswith("- ")


def test_a_signature_by_another_key_is_not_good(built: Built) -> None:
    built.allowed_signers.write_text("")
    with pytest.raises(subprocess.CalledProcessError):
        git(built, "verify-tag", "v1.3.0")


def test_commits_and_trees_are_those_of_the_tags(built: Built) -> None:
    for tag in TAGS:
        assert git(built, "rev-parse", f"{tag}^{{commit}}") == built.commits[tag]
        assert git(built, "rev-parse", f"{tag}^{{tree}}") == built.trees[tag]
        assert f'"{tag[1:]}"' in git(built, "show", f"{tag}:dataset_service/version.py")
    changed = git(built, "diff", "--name-only", "v1.3.0-beta.1", "v1.3.0").splitlines()
    assert changed == ["dataset_service/version.py"]


def test_the_branches_hold_commits_that_their_tiers_accept(built: Built) -> None:
    def heads(tag: str) -> set[str]:
        return set(git(built, "branch", "--format=%(refname:short)", "--contains", tag).splitlines())

    assert {"main", "staging", "development", "release/1.3"} <= heads("v1.3.0")
    assert {"main", "release/1.4"} <= heads("v1.4.0")
    assert "release/1.3" not in heads("v1.4.0")
    assert {"feature/tags", "feature/normalised-titles"} <= heads("v1.2.0")
    assert git(built, "symbolic-ref", "HEAD") == "refs/heads/main"


def test_every_commit_is_by_the_developer(built: Built) -> None:
    assert set(git(built, "log", "--all", "--format=%an <%ae> %cn").splitlines()) == {
        "Ito Ken <ken@example.test> Ito Ken"
    }


def test_the_same_day_and_people_give_the_same_commits(built: Built, tmp_path: Path) -> None:
    assert build(tmp_path / "again", people=PEOPLE, day=DAY).commits == built.commits


def test_a_surrounding_repository_stays_unchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subprocess.run(["git", "init", "--quiet", "--initial-branch=work", str(tmp_path)], check=True)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / ".git").rglob("*")}
    monkeypatch.chdir(tmp_path)
    build(tmp_path / "inner", people=PEOPLE, day=DAY)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / ".git").rglob("*")} == before


def test_an_existing_repository_is_not_overwritten(built: Built, tmp_path: Path) -> None:
    with pytest.raises(RepositoryFailed, match="exists already"):
        build(tmp_path / "repository", people=PEOPLE, day=DAY)


def test_a_missing_program_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RepositoryFailed, match="git"):
        build(tmp_path / "repository", people=PEOPLE, day=DAY)
