"""Code is installed exactly as git has it, or not at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from environments.targets.base import StepFailed
from environments.targets.target import Layout, journal_lines, tree_digest
from tests.releases.step_types.conftest import Target


@pytest.fixture
def target(bare_target: Target) -> Target:
    """A target without a database."""
    return bare_target


def _left(target: Target) -> list[str]:
    releases = Layout(target.spec.root).releases
    return sorted(path.name for path in releases.iterdir()) if releases.exists() else []


def test_a_tree_other_than_the_agreed_one_is_not_installed(target: Target) -> None:
    moved = replace(target.versions.new, tree=target.versions.old.tree)
    with pytest.raises(StepFailed, match=target.versions.new.tree):
        target.step("code_deploy", target.context(wanted=moved))
    assert _left(target) == [] and not Layout(target.spec.root).current.is_symlink()
    assert not journal_lines(target.spec)


@pytest.mark.parametrize("commit", ["0" * 40, "HEAD", "--output=/tmp/x", "../x"])
def test_a_missing_commit_is_refused(target: Target, commit: str) -> None:
    with pytest.raises(StepFailed):
        target.step("code_deploy", target.context(wanted=replace(target.versions.new, commit=commit)))
    assert _left(target) == []


@pytest.mark.parametrize("version", ["../../etc", "/etc", ".hidden", "-x", ""])
def test_an_invalid_version_name_is_refused(target: Target, version: str) -> None:
    with pytest.raises(StepFailed):
        target.step("code_deploy", target.context(wanted=replace(target.versions.new, version=version)))


def test_a_missing_repository_is_reported(target: Target) -> None:
    with pytest.raises(StepFailed, match="no git repository"):
        target.step("code_deploy", target.context(repository=str(target.spec.root / "none")))


def test_a_rollback_reinstalls_a_tree_changed_on_the_target(target: Target) -> None:
    target.step("code_deploy", target.context("0/1/x", wanted=target.versions.old))
    old = Layout(target.spec.root).current.resolve()
    target.step("code_deploy", target.context())
    (old / "run").write_text("changed")
    facts = target.step("code_deploy", target.back("1/9/x", {}), direction="rollback")
    assert facts["code"] == target.versions.old.tree == tree_digest(Layout(target.spec.root).current.resolve())
    assert len([name for name in _left(target) if name.startswith(".changed-")]) == 1


def test_a_rollback_to_the_empty_state_removes_the_link(target: Target) -> None:
    target.step("code_deploy", target.context(previous=None))
    facts = target.step("code_deploy", replace(target.back("1/9/x", {}), wanted=None), direction="rollback")
    assert facts["code"] == "" and not Layout(target.spec.root).current.is_symlink()


def test_remains_of_a_killed_attempt_are_removed(target: Target) -> None:
    name = f"{target.versions.new.version}-{target.versions.new.commit[:12]}"
    half = Layout(target.spec.root).releases / f".laying-{name}-abc" / "tree"
    half.mkdir(parents=True)
    (half / "half").touch()
    target.step("code_deploy", target.context())
    assert _left(target) == [name]
    assert Path(Layout(target.spec.root).current.readlink()) == Path("releases") / name
