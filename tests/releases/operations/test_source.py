"""Selecting the commit of a draft, from a path and from a repository reached with the configuration's secrets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from audit.clock import now
from audit.models import Event
from audit.refusals import InvalidInput, NotPermitted
from environments.operations.configuration.create import create
from releases.models import Fact, Release, Rollback
from releases.operations.release.plan import plan
from releases.operations.release.refresh_from_git import SOURCE, refresh_from_git
from releases.operations.release.select_commit import look, select_commit
from releases.queries.repository import credentials_of, holding, place_of, refreshed
from releases.sources import git as sources
from tests.releases.gates.asking import alter, ask, git, make, mark_deployed, own_repository, walk
from tests.releases.sources.repositories import NAME, PASSWORD, over_http


def draft(world: Any, kind: str = "regular") -> Release:
    """A draft of 1.3.0, whose tag the sample's repository has."""
    with world.acting_as("manager"):
        return plan(
            application_id=world.application.pk,
            version="1.3.0",
            title="x",
            kind=kind,
            criterion="system_failure" if kind == "emergency" else "",
        )


def secrets(world: Any, environment: str, **values: str) -> None:
    """Give an environment's configuration another version."""
    with world.acting_as("manager"):
        create(
            application_id=world.application.pk,
            environment_id=world.environments[environment].pk,
            values={key: text for key, text in values.items() if key == "GIT_USERNAME"},
            secrets={key: text for key, text in values.items() if key != "GIT_USERNAME"},
            reason="way in",
        )


def test_the_commit_is_read_from_the_repository(world: Any) -> None:
    release = draft(world)
    with world.acting_as("manager"):
        select_commit(release.pk, branch=" release/1.3 ")
    fresh = world.fresh(release)
    assert (fresh.branch, fresh.commit) == ("release/1.3", world.built.commits["v1.3.0"])
    assert fresh.tree == world.built.trees["v1.3.0"]


@pytest.mark.parametrize(
    ("kind", "branch", "revision", "message"),
    [
        ("regular", "hotfix/x", "v1.3.0", "A regular release comes from a branch development, feature/*, release/*"),
        ("emergency", "main", "v1.3.0", "An emergency release comes from a branch hotfix/*, not from main."),
        ("pre_release", "somewhere", "v1.3.0", "A pre-release comes from a branch"),
        ("regular", "release/9.9", "v1.3.0", "The branch release/9.9 does not exist."),
        ("regular", "release/1.3", "v1.4.0", "The branch release/1.3 does not hold the commit."),
        ("regular", "release/1.3", "v9.9.9", "There is no commit “v9.9.9”."),
        ("regular", " ", "v1.3.0", "Name the branch of the commit."),
    ],
)
def test_a_branch_that_does_not_fit_is_refused_with_its_message(
    world: Any, kind: str, branch: str, revision: str, message: str
) -> None:
    release = draft(world, kind)
    with world.acting_as("manager"), pytest.raises(InvalidInput) as refused:
        select_commit(release.pk, branch=branch, revision=revision)
    assert str(refused.value).startswith(message)
    assert world.fresh(release).commit == ""
    assert Event.objects.filter(operation="release:select_commit", outcome="refused").count() == 1


def test_a_hotfix_branch_is_accepted_for_an_emergency(world: Any, tmp_path: Path) -> None:
    repository = own_repository(world, tmp_path)
    git(repository, "update-ref", "refs/heads/hotfix/urgent", world.built.commits["v1.3.0"])
    release = draft(world, "emergency")
    with world.acting_as("manager"):
        select_commit(release.pk, branch="hotfix/urgent")
    assert world.fresh(release).branch == "hotfix/urgent"


def commit_on(repository: Path, branch: str, subject: str) -> str:
    """Put a commit with its own tree on the head of a branch; return its id."""
    parent = git(repository, "rev-parse", f"refs/heads/{branch}")
    blob = git(repository, "rev-parse", f"{parent}:run.py")
    tree = git(repository, "mktree", words=f"100644 blob {blob}\t{subject.replace(' ', '-')}\n")
    made = git(repository, "commit-tree", tree, "-p", parent, "-m", subject)
    git(repository, "update-ref", f"refs/heads/{branch}", made)
    return made


def rolled_back(world: Any, release: Release, environment: str, cause: str = "errors") -> Any:
    """Deploy a release to an environment and roll it back there."""
    deployment = world.verified_deployment(release, environment)
    wanted = {"version": release.version, "commit": release.commit, "tree": release.tree}
    deployment = alter(
        walk(deployment, "start_rollback", "complete_rollback"),
        started_at=now(),
        ended_at=now(),
        previous={"wanted": wanted, "wanted_tree": release.tree},
    )
    make(Rollback, deployment=deployment, cause=cause, raised_at=now(), started_at=now(), restored_at=now())
    return deployment


def test_a_blank_revision_is_the_head_of_the_branch_and_not_the_tag(world: Any, tmp_path: Path) -> None:
    repository = own_repository(world, tmp_path)
    head = commit_on(repository, "release/1.3", "After the tag")
    release = draft(world)
    with world.acting_as("manager"):
        select_commit(release.pk, branch="release/1.3")
    assert world.fresh(release).commit == head != world.built.commits["v1.3.0"]


def test_a_branch_that_moved_since_it_was_shown_is_refused(world: Any, tmp_path: Path) -> None:
    repository = own_repository(world, tmp_path)
    release = draft(world)
    seen = look(release.pk, branch="release/1.3")
    commit_on(repository, "release/1.3", "Came in between")
    with world.acting_as("manager"):
        with pytest.raises(InvalidInput, match="Came in between"):
            select_commit(release.pk, branch="release/1.3", expected_commit=seen.commit)
        assert world.fresh(release).commit == ""
        select_commit(release.pk, branch="release/1.3", revision=seen.commit, expected_commit=seen.commit)
    assert world.fresh(release).commit == seen.commit


def test_a_commit_is_shown_with_its_message_and_its_distance_from_the_deployed_one(world: Any) -> None:
    mark_deployed(world, "1.2.0")
    mark_deployed(world, "1.4.0", environment="staging")
    seen = look(draft(world).pk, branch="release/1.3")
    assert seen.subject == "Version 1.3.0" and seen.author and seen.at
    assert seen.tag_elsewhere == ""
    by_place = {str(row.environment): row for row in seen.distances}
    ahead, behind = by_place["Production"], by_place["Staging"]
    assert (ahead.version, ahead.behind) == ("1.2.0", 0) and ahead.ahead == len(ahead.commits) > 0
    assert ahead.commits[0]["subject"] == "Version 1.3.0"
    assert (behind.version, behind.ahead) == ("1.4.0", 0) and behind.behind > 0
    assert "No version is deployed there yet, so everything is new" in by_place["Development"].words


def test_a_tag_of_the_version_on_another_commit_is_named(world: Any, tmp_path: Path) -> None:
    repository = own_repository(world, tmp_path)
    commit_on(repository, "release/1.3", "After the tag")
    seen = look(draft(world).pk, branch="release/1.3")
    assert world.built.commits["v1.3.0"][:12] in seen.tag_elsewhere and "v1.3.0" in seen.tag_elsewhere


@pytest.mark.parametrize("again", ["the same commit", "another commit of the same tree"])
def test_a_rolled_back_commit_is_selected_only_with_confirmation(world: Any, tmp_path: Path, again: str) -> None:
    repository = own_repository(world, tmp_path)
    rolled_back(world, mark_deployed(world, "1.3.0").release, "production")
    if again != "the same commit":
        tree, parent = world.built.trees["v1.3.0"], world.built.commits["v1.3.0"]
        made = git(repository, "commit-tree", tree, "-p", parent, "-m", "The same once more")
        git(repository, "update-ref", "refs/heads/release/1.3", made)
    with world.acting_as("manager"):
        release = plan(application_id=world.application.pk, version="1.9.0", title="x")
        (said,) = look(release.pk, branch="release/1.3").rolled_back
        assert "1.3.0" in said and "rolled back from Production on" in said
        with pytest.raises(InvalidInput, match="rolled back from Production"):
            select_commit(release.pk, branch="release/1.3")
        assert world.fresh(release).commit == ""
        select_commit(release.pk, branch="release/1.3", accept_rolled_back=True)
    assert world.fresh(release).tree == world.built.trees["v1.3.0"]


def test_a_rehearsed_rollback_needs_no_confirmation(world: Any) -> None:
    rolled_back(world, mark_deployed(world, "1.3.0").release, "staging", cause="rehearsal")
    with world.acting_as("manager"):
        release = plan(application_id=world.application.pk, version="1.9.0", title="x")
        select_commit(release.pk, branch="release/1.3")
    assert look(release.pk, branch="release/1.3").rolled_back == ()


@pytest.mark.parametrize("name", ["developer", "operator", "auditor", "outsider"])
def test_other_roles_learn_nothing_about_the_repository(world: Any, name: str) -> None:
    release = draft(world)
    with world.acting_as(name), pytest.raises(NotPermitted):
        select_commit(release.pk, branch="release/9.9")


def test_a_remote_repository_is_fetched_before_it_is_read(world: Any, tmp_path: Path) -> None:
    origin = own_repository(world, tmp_path)
    world.application = alter(world.application, repository=f"file://{origin}")
    release = world.planned()
    with world.acting_as("manager"):
        refresh_from_git(release.pk)
    assert ask(world, release, "tag").result == ask(world, release, "branch").result == "passed"
    git(origin, "tag", "-d", "v1.3.0")
    with world.acting_as("manager"):
        refresh_from_git(release.pk)
    assert ask(world, release, "tag").reason == "There is no tag v1.3.0."
    origin.rename(tmp_path / "away.git")
    with world.acting_as("manager"):
        seen = refresh_from_git(release.pk)
    assert all("git failed" in seen[kind]["fault"] for kind in ("tag", *SOURCE))
    assert ask(world, release, "branch").result == "not_passed"


def test_the_credentials_come_from_the_configuration_and_stay_out_of_the_ledger(world: Any, tmp_path: Path) -> None:
    origin = own_repository(world, tmp_path)
    release = world.planned()
    with over_http(origin.parent) as site:
        world.application = alter(world.application, repository=f"{site}/{origin.name}")
        with world.acting_as("manager"):
            seen = refresh_from_git(release.pk)
        assert "GIT_USERNAME and GIT_PASSWORD" in seen["tag"]["fault"]
        secrets(world, "production", GIT_USERNAME=NAME, GIT_PASSWORD=PASSWORD)
        with world.acting_as("manager"):
            seen = refresh_from_git(release.pk)
        assert seen["tag"]["signature_good"]
    events = [bytes(row).decode() for row in Event.objects.values_list("bytes", flat=True)]
    assert events and not any(PASSWORD in text or "p%40ss" in text for text in events)
    assert not any(PASSWORD in str(fact.value) for fact in Fact.objects.all())


def test_credentials_come_from_production_or_the_earliest_environment_that_has_them(world: Any) -> None:
    assert credentials_of(world.application) == sources.Credentials()
    secrets(world, "staging", GIT_PASSWORD="of-staging")
    assert credentials_of(world.application).password == "of-staging"
    secrets(world, "development", GIT_PASSWORD="of-development")
    assert credentials_of(world.application).password == "of-development"
    secrets(world, "production", GIT_PASSWORD="of-production")
    secrets(world, "production", GIT_PASSWORD="newer")
    assert credentials_of(world.application).password == "newer"


def test_a_commit_in_the_mirror_needs_no_network(world: Any, tmp_path: Path) -> None:
    origin = own_repository(world, tmp_path)
    application = alter(world.application, repository=f"file://{origin}")
    commit = world.built.commits["v1.3.0"]
    assert place_of(application).name == "datasets" and not place_of(application).exists()
    assert holding(application, commit) == place_of(application)
    origin.rename(tmp_path / "away.git")
    assert holding(application, commit) == place_of(application)
    for other in ("0" * 40, "main"):
        with pytest.raises(sources.SourceUnavailable):
            holding(application, other)
    with pytest.raises(sources.SourceUnavailable):
        refreshed(application)
