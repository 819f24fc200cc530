"""Tag and branch, read with real git and trusted for a minute at most."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from audit.clock import now
from releases.gates.source import wrong_branch
from releases.models import Fact
from releases.operations.release.refresh_from_git import keep, refresh_from_git
from releases.procedures.load import default
from releases.sources.git import create_tag

from .asking import alter, ask, git, own_repository


def looked(world: Any, release: Any) -> None:
    with world.acting_as("manager"):
        refresh_from_git(release.pk)


def test_a_complete_signed_tag_passes(world: Any) -> None:
    release = world.planned()
    assert ask(world, release, "tag").result == "unknown", "never looked at"
    looked(world, release)
    answer = ask(world, release, "tag")
    assert (answer.result, answer.reason) == ("passed", "manager@datasets.example")
    assert ask(world, release, "branch").result == "passed"


def test_a_fact_older_than_a_minute_is_unknown(world: Any) -> None:
    release = world.planned()
    looked(world, release)
    for kind, gate in (("tag", "tag"), ("heads", "branch")):
        fact = Fact.objects.get(release=release, kind=kind)
        alter(fact, observed_at=now() - timedelta(seconds=55))
        assert ask(world, release, gate).result == "passed"
        alter(fact, observed_at=now() - timedelta(seconds=61))
        assert ask(world, release, gate).result == "unknown"


def test_what_was_read_of_another_commit_is_not_kept(world: Any) -> None:
    """A slow reading may end after another commit was selected."""
    release = world.evidenced()
    with world.acting_as("manager"):
        refresh_from_git(release.pk)
        before = Fact.objects.get(release=release, kind="authors").value
        keep(release.pk, {("authors", None): ["somebody.else@example.org"]}, "0" * 40)
        assert Fact.objects.get(release=release, kind="authors").value == before
        keep(release.pk, {("authors", None): []}, release.commit)
    assert Fact.objects.get(release=release, kind="authors").value == []


def test_a_later_scheduled_start_does_not_age_fresh_facts(world: Any) -> None:
    """A deployment is scheduled for tomorrow with the facts of today; they are read again when it is due."""
    release = world.planned()
    looked(world, release)
    for gate in ("tag", "branch"):
        assert ask(world, release, gate, at=now() + timedelta(days=2)).result == "passed"


SENTENCES = {
    "light": "The tag is not annotated. The tag does not name the version. The tag does not name the date. "
    "The tag does not name the changes.",
    "unsigned": "The tag is not signed.",
    "version": "The tag does not name the version.",
    "date": "The tag does not name the date.",
    "changes": "The tag does not name the changes.",
    "gone": "There is no tag v1.3.0.",
}


@pytest.mark.parametrize("fault", list(SENTENCES))
def test_each_tag_fault_has_its_own_message(world: Any, tmp_path: Path, fault: str) -> None:
    repository = own_repository(world, tmp_path)
    release = world.planned()
    retag(world, repository, fault)
    looked(world, release)
    answer = ask(world, release, "tag")
    assert (answer.result, answer.reason) == ("not_passed", SENTENCES[fault])


def retag(world: Any, repository: Path, fault: str) -> None:
    """Replace v1.3.0 by another tag, signed by the release's key, with exactly one fault."""
    commit = world.built.commits["v1.3.0"]
    git(repository, "tag", "-d", "v1.3.0")
    words = {"version": "1.3.1", "date": "no day", "changes": ""}
    lines = {"version": "1.3.0", "date": "2026-11-20", "changes": "- tags on datasets"}
    lines |= {fault: words[fault]} if fault in words else {}
    if fault == "light":
        git(repository, "tag", "--no-sign", "v1.3.0", commit)
    elif fault == "unsigned":
        git(repository, "tag", "--no-sign", "-a", "-m", "\n".join(lines.values()), "v1.3.0", commit)
    elif fault != "gone":
        create_tag(
            repository,
            name="v1.3.0",
            commit=commit,
            message="\n".join(lines.values()),
            key=world.built.allowed_signers.with_name("release"),
            tagger="M",
            address="manager@datasets.example",
        )


def test_a_tag_with_another_name_fails(world: Any) -> None:
    release = alter(world.planned(), version="1.3.5")
    looked(world, release)
    reason = ask(world, release, "tag").reason
    assert "The tag of this version is called v1.3.5." in reason and "does not name the version" in reason


@pytest.mark.skipif(shutil.which("gpg") is None, reason="gpg is not installed")
def test_a_gpg_signature_counts_when_its_key_is_an_allowed_signer(world: Any, tmp_path: Path) -> None:
    repository = own_repository(world, tmp_path)
    release = world.planned()
    # The agent's socket needs a short path.
    home = Path(tempfile.mkdtemp(prefix="gpg-"))
    gpg = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--passphrase", ""]
    try:
        made = [*gpg, "--quick-generate-key", "Manager <manager@datasets.example>", "ed25519", "sign", "never"]
        subprocess.run(made, check=True, capture_output=True)
        public = subprocess.run([*gpg, "--armor", "--export"], check=True, capture_output=True, text=True).stdout
        git(repository, "tag", "-d", "v1.3.0")
        words = ["-c", f"gpg.program={tmp_path / 'gpg'}", "tag", "-s", "-u", "manager@datasets.example"]
        (tmp_path / "gpg").write_text(f'#!/bin/sh\nexec gpg --homedir {home} "$@"\n')
        (tmp_path / "gpg").chmod(0o755)
        commit = world.built.commits["v1.3.0"]
        git(repository, *words, "-m", "1.3.0 (2026-11-20)\n\n- tags on datasets", "v1.3.0", commit)
        looked(world, release)
        assert ask(world, release, "tag").reason == "The tag has no valid signature by an allowed signer."
        world.application = alter(world.application, allowed_signers=world.application.allowed_signers + "\n" + public)
        looked(world, release)
        answer = ask(world, release, "tag")
        assert (answer.result, answer.reason) == ("passed", "Manager <manager@datasets.example>")
        broken = world.application.allowed_signers.replace(public.splitlines()[3], "A" * 60)
        alter(world.application, allowed_signers=broken)
        looked(world, release)
        assert ask(world, release, "tag").result == "not_passed", "a key block that can't be read"
    finally:
        subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False)
        shutil.rmtree(home, ignore_errors=True)


def test_a_signature_by_an_unknown_key_fails(world: Any) -> None:
    release = world.planned()
    stranger = world.application.allowed_signers.replace("manager@", "stranger@").split()
    alter(world.application, allowed_signers=" ".join([*stranger[:-1], "A" * len(stranger[-1])]) + "\n")
    looked(world, release)
    assert ask(world, release, "tag").reason == "The tag has no valid signature by an allowed signer."


def test_a_moved_tag_fails(world: Any, tmp_path: Path) -> None:
    release = world.planned()
    looked(world, release)
    seen = Fact.objects.get(release=release, kind="tag").value["object_id"]
    assert ask(world, alter(release, tag_object=seen), "tag").result == "passed"
    answer = ask(world, alter(release, tag_object="0" * 40), "tag")
    assert (answer.result, answer.reason) == ("not_passed", "The tag was moved after it was confirmed.")
    answer = ask(world, alter(release, tag_object="", commit=world.built.commits["v1.2.0"]), "tag")
    assert answer.result == "not_passed" and "another commit" in answer.reason


def test_a_tag_moved_or_removed_after_confirmation_is_reported(world: Any, tmp_path: Path) -> None:
    repository = own_repository(world, tmp_path)
    release, _request = world.final_checked()
    assert release.tag_object == git(repository, "rev-parse", "v1.3.0")
    looked(world, release)
    assert ask(world, release, "tag").result == "passed"
    retag(world, repository, "nothing")
    looked(world, release)
    assert ask(world, release, "tag").reason == "The tag was moved after it was confirmed."
    git(repository, "tag", "-d", "v1.3.0")
    looked(world, release)
    assert ask(world, release, "tag").reason == "The tag was removed after it was confirmed."


def test_a_commit_outside_every_accepted_branch_fails(world: Any, tmp_path: Path) -> None:
    repository = own_repository(world, tmp_path)
    release = world.planned()
    base, tree = world.built.commits["v1.3.0"], world.built.trees["v1.3.0"]
    fix = git(repository, "commit-tree", tree, "-m", "quick", "-p", base)
    cases = (
        ("feature/quick", "regular", {"development"}),
        ("hotfix/quick", "emergency", {"development", "staging", "production"}),
    )
    for head, kind, accepted in cases:
        git(repository, "update-ref", f"refs/heads/{head}", fix)
        release = alter(release, commit=fix, branch=head, kind=kind)
        looked(world, release)
        for slug in world.environments:
            result = ask(world, release, "branch", environment=slug).result
            assert (result == "passed") == (slug in accepted), (head, slug)
    answer = ask(world, alter(release, kind="regular"), "branch")
    assert answer.result == "not_passed" and "no branch that this environment accepts (main)" in answer.reason


def test_the_named_branch_must_hold_the_commit(world: Any, tmp_path: Path) -> None:
    repository = own_repository(world, tmp_path)
    release = world.planned()
    assert release.branch == "release/1.3"
    git(repository, "update-ref", "refs/heads/release/1.3", world.built.commits["v1.2.0"])
    looked(world, release)
    answer = ask(world, release, "branch")
    assert (answer.result, answer.reason) == ("not_passed", "The branch release/1.3 does not hold the commit.")
    git(repository, "update-ref", "-d", "refs/heads/release/1.3")
    looked(world, release)
    assert ask(world, release, "branch").result == "passed", "merged into main and deleted"
    release = alter(release, branch="release/1.3.x")
    assert ask(world, release, "branch").result == "unknown", "that one was not read"


@pytest.mark.parametrize(
    ("kind", "branch", "fits"),
    [
        ("regular", "release/1.3", True),
        ("regular", "main", True),
        ("regular", "hotfix/x", False),
        ("regular", "feature/x", True),
        ("regular", "", False),
        ("regular", "release", False),
        ("regular", "xrelease/1.3", False),
        ("emergency", "hotfix/x", True),
        ("emergency", "main", False),
        ("emergency", "release/1.3", False),
        ("pre_release", "feature/x", True),
        ("pre_release", "release/1.3", True),
        ("pre_release", "somewhere", False),
    ],
)
def test_the_branch_workflow_must_fit_the_release_type(world: Any, kind: str, branch: str, fits: bool) -> None:
    said = wrong_branch(kind, branch, default())
    assert (said == "") == fits
    if not fits:
        assert said.endswith(f"not from {branch or '—'}."), said
    release = world.planned()
    looked(world, release)
    answer = ask(world, alter(release, kind=kind, branch=branch), "branch")
    assert said in answer.reason


def test_an_unreachable_repository_fails_with_its_reason(world: Any, tmp_path: Path) -> None:
    release = world.planned()
    alter(world.application, repository=str(tmp_path / "nowhere.git"))
    looked(world, release)
    for gate in ("tag", "branch"):
        answer = ask(world, release, gate)
        assert answer.result == "not_passed" and answer.reason
