"""All tags of a repository at once: the names in each, and the commits that each adds to the ones before."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.utils import translation

from releases.sources.git import BadKey, Signers, accepted_as, kind_of, known, listed, named_changes, subjects

from .repositories import empty, git, history, key


def test_tags_are_listed_with_their_commits(tmp_path: Path) -> None:
    path = history(tmp_path / "a.git", 3, {"v1.0.0": (2, "1.0.0 (2017-07-14)\n\n- 最初の版\n"), "light": (1, None)})
    git(path, "tag", "-a", "-m", "a tree", "tree", "main^{tree}")
    git(path, "tag", "-a", "-m", "a tag of a tag", "nested", "v1.0.0")
    git(path, "tag", "blob", "main:number")
    found = {row.name: row for row in listed(path)}
    assert set(found) == {"v1.0.0", "light", "tree", "nested", "blob"}
    first = found["v1.0.0"]
    assert first.annotated and first.object_id == git(path, "rev-parse", "v1.0.0")
    assert (first.commit, first.tree) == (git(path, "rev-parse", "main~1"), git(path, "rev-parse", "main~1^{tree}"))
    assert first.message == "1.0.0 (2017-07-14)\n\n- 最初の版"
    assert first.at is not None and first.at.astimezone(UTC) == datetime.fromtimestamp(1_500_007_260, UTC)
    light = found["light"]
    assert not light.annotated and light.message == "" and light.object_id == light.commit != ""
    assert light.at is not None and light.at.astimezone(UTC) == datetime.fromtimestamp(1_500_003_600, UTC)
    assert found["tree"].commit == found["blob"].commit == ""
    assert found["nested"].commit == first.commit and found["nested"].tree == first.tree


def test_a_repository_without_tags_has_none(tmp_path: Path) -> None:
    assert listed(empty(tmp_path / "a.git")) == []
    assert subjects(tmp_path / "a.git", []) == []


def test_each_tag_lists_the_commits_that_earlier_tags_lack(tmp_path: Path) -> None:
    path = history(tmp_path / "a.git", 6, {})
    commits = [git(path, "rev-parse", f"main~{back}") for back in (4, 4, 1, 0)]
    first, same, third, last = subjects(path, commits)
    assert first == ["feat: change 2", "feat: change 1"]
    assert same == []
    assert third == ["feat: change 5", "feat: change 4", "fix: change 3"]
    assert last == ["fix: change 6"]


def test_a_commit_belongs_to_the_lowest_version_that_has_it_on_any_branch(tmp_path: Path) -> None:
    path = history(tmp_path / "a.git", 3, {})
    tree, base = git(path, "rev-parse", "main^{tree}"), git(path, "rev-parse", "main~1")
    fix = git(path, "commit-tree", tree, "-p", base, "-m", "fix: on the old line")
    merge = git(path, "commit-tree", tree, "-p", git(path, "rev-parse", "main"), "-p", fix, "-m", "Merge")
    old, new, merged = subjects(path, [fix, git(path, "rev-parse", "main"), merge])
    assert old == ["fix: on the old line", "feat: change 2", "feat: change 1"]
    assert new == ["fix: change 3"]
    assert merged == [], "a merge is no change of its own"


@pytest.mark.parametrize(
    ("message", "found"),
    [
        ("1.2.0 (2026-12-16)\n\n- faster search\n- 検索を追加\n", ["faster search", "検索を追加"]),
        ("1.2.0\n\n* faster\n  search\n* safer\n", ["faster search", "safer"]),
        ("v1.2.0\nfaster search\nsafer login\n", ["faster search", "safer login"]),
        ("1.2.0\n\nfix: the search\nSigned-off-by: A <a@b.example>\n", ["fix: the search"]),
        ("Release 1.2.0\n2026-12-16\n", []),
        ("1.2.0", []),
        ("Intro words\n\n- one thing\n\nClosing words", ["one thing"]),
    ],
)
def test_changes_are_read_from_a_message(message: str, found: list[str]) -> None:
    assert named_changes(message, "1.2.0") == found


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("feat: x", "feature"),
        ("feat(search): x", "feature"),
        ("Fix: x", "fix"),
        ("fix(a)!: x", "breaking"),
        ("chore: x BREAKING CHANGE", "breaking"),
        ("docs: x", "small"),
        ("Add search", "small"),
        ("検索", "small"),
    ],
)
def test_the_type_of_a_change_follows_the_convention(text: str, kind: str) -> None:
    assert kind_of(text) == kind


def test_a_key_is_known_by_its_signer_line_while_it_is_valid(tmp_path: Path) -> None:
    own, public = key(tmp_path / "own"), (tmp_path / "own.pub").read_text()
    lines = {
        f"a@x.example {public}": "a@x.example",
        f'a@x.example namespaces="git" {public}': "a@x.example",
        f'a@x.example namespaces="file" {public}': "",
        f'a@x.example valid-before="20200101" {public}': "",
        "": "",
    }
    for text, principal in lines.items():
        with known(text) as signers:
            assert accepted_as(own, signers) == principal, text
    assert accepted_as(own, Signers()) == ""


def test_an_unusable_key_is_reported(tmp_path: Path) -> None:
    with translation.override("en"):
        with pytest.raises(BadKey, match="There is no key at"):
            accepted_as(tmp_path / "absent", Signers())
        (tmp_path / "text").write_text("no key")
        (tmp_path / "text").chmod(0o600)
        with pytest.raises(BadKey, match="cannot be used"):
            accepted_as(tmp_path / "text", Signers())
        with pytest.raises(BadKey, match="PGP key"):
            with known("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n-----END PGP PUBLIC KEY BLOCK-----\n"):
                pass
