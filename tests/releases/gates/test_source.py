"""Tag and branch, read with the real git and not trusted for longer than a minute."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from audit.clock import now
from releases.actions.release.observe import observe
from releases.models import Fact

from .asking import alter, ask, git, own_repository


def looked(world: Any, release: Any) -> None:
    with world.acting_as("manager"):
        observe(release.pk)


def test_a_signed_tag_that_names_everything_passes(world: Any) -> None:
    release = world.planned()
    assert ask(world, release, "tag").verdict == "unknown", "never looked at"
    looked(world, release)
    answer = ask(world, release, "tag")
    assert (answer.verdict, answer.reason) == ("pass", "manager@datasets.example")
    assert ask(world, release, "branch").verdict == "pass"


def test_a_fact_older_than_a_minute_is_unknown(world: Any) -> None:
    release = world.planned()
    looked(world, release)
    for kind, gate in (("tag", "tag"), ("heads", "branch")):
        fact = Fact.objects.get(release=release, kind=kind)
        alter(fact, observed_at=now() - timedelta(seconds=55))
        assert ask(world, release, gate).verdict == "pass"
        alter(fact, observed_at=now() - timedelta(seconds=61))
        assert ask(world, release, gate).verdict == "unknown"


def test_the_hour_asked_about_does_not_age_what_was_just_seen(world: Any) -> None:
    """A run is scheduled for tomorrow with the facts of today; they are looked at again when it is due."""
    release = world.planned()
    looked(world, release)
    for gate in ("tag", "branch"):
        assert ask(world, release, gate, at=now() + timedelta(days=2)).verdict == "pass"


def test_a_tag_without_a_good_signature_fails(world: Any, tmp_path: Path) -> None:
    repository = own_repository(world, tmp_path)
    release = world.planned()
    commit = world.built.commits["v1.3.0"]
    git(repository, "tag", "--no-sign", "-f", "-a", "-m", "1.3.0\n2026-11-20\n\n- tags", "v1.3.0", commit)
    looked(world, release)
    answer = ask(world, release, "tag")
    assert answer.verdict == "fail" and "no good signature" in answer.reason
    git(repository, "tag", "--no-sign", "-f", "v1.3.0", commit)
    looked(world, release)
    assert "not annotated" in ask(world, release, "tag").reason
    git(repository, "tag", "-d", "v1.3.0")
    looked(world, release)
    assert ask(world, release, "tag").verdict == "fail"


def test_a_signature_by_an_unknown_key_fails(world: Any) -> None:
    release = world.planned()
    stranger = world.application.signers.replace("manager@", "stranger@").split()
    alter(world.application, signers=" ".join([*stranger[:-1], "A" * len(stranger[-1])]) + "\n")
    looked(world, release)
    assert ask(world, release, "tag").verdict == "fail"


def test_a_tag_that_was_moved_fails(world: Any, tmp_path: Path) -> None:
    release = world.planned()
    looked(world, release)
    seen = Fact.objects.get(release=release, kind="tag").value["object_id"]
    assert ask(world, alter(release, tag_object=seen), "tag").verdict == "pass"
    answer = ask(world, alter(release, tag_object="0" * 40), "tag")
    assert answer.verdict == "fail" and "moved" in answer.reason
    answer = ask(world, alter(release, tag_object="", commit=world.built.commits["v1.2.0"]), "tag")
    assert answer.verdict == "fail" and "another commit" in answer.reason


def test_a_commit_on_no_accepted_head_fails(world: Any, tmp_path: Path) -> None:
    repository = own_repository(world, tmp_path)
    release = world.planned()
    base, tree = world.built.commits["v1.3.0"], world.built.trees["v1.3.0"]
    fix = git(repository, "commit-tree", tree, "-m", "quick", "-p", base)
    release = alter(release, commit=fix)
    for head, accepted in (("feature/quick", {"development"}), ("hotfix/quick", {"development", "staging"})):
        git(repository, "update-ref", f"refs/heads/{head}", fix)
        looked(world, release)
        for slug in world.environments:
            verdict = ask(world, release, "branch", environment=slug).verdict
            assert (verdict == "pass") == (slug in accepted), (head, slug)
    release = alter(release, kind="emergency")
    assert ask(world, release, "branch").verdict == "pass", "production takes a hotfix in an emergency"


def test_a_repository_that_is_gone_fails_and_says_so(world: Any, tmp_path: Path) -> None:
    release = world.planned()
    alter(world.application, repository=str(tmp_path / "nowhere.git"))
    looked(world, release)
    for gate in ("tag", "branch"):
        answer = ask(world, release, gate)
        assert answer.verdict == "fail" and answer.reason
