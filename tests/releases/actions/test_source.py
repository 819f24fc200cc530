"""Taking the source into a draft, from a path and from a repository that is reached with secrets of the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from audit.models import Event
from audit.refusals import Invalid, NotYou
from environments.actions.configuration.create import create
from releases.actions.release.observe import SOURCE, observe
from releases.actions.release.plan import plan
from releases.actions.release.repository import credentials_of, holding, place_of, refreshed
from releases.actions.release.set_source import set_source
from releases.models import Fact, Release
from releases.sources import git as sources
from tests.releases.gates.asking import alter, ask, git, own_repository
from tests.releases.sources.repositories import NAME, PASSWORD, over_http


def draft(world: Any, kind: str = "regular") -> Release:
    """A draft of 1.3.0, whose tag the sample's repository has."""
    with world.acting_as("manager"):
        return plan(
            application_id=world.application.pk, version="1.3.0", title="x", kind=kind,
            criterion="system_failure" if kind == "emergency" else "",
        )  # fmt: skip


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


def test_the_source_is_read_from_the_repository(world: Any) -> None:
    release = draft(world)
    with world.acting_as("manager"):
        set_source(release.pk, branch=" release/1.3 ")
    fresh = world.fresh(release)
    assert (fresh.branch, fresh.commit) == ("release/1.3", world.built.commits["v1.3.0"])
    assert fresh.tree == world.built.trees["v1.3.0"]


@pytest.mark.parametrize(
    ("kind", "branch", "revision", "sentence"),
    [
        ("regular", "hotfix/x", "v1.3.0", "A regular release comes from a branch development, feature/*, release/*"),
        ("emergency", "main", "v1.3.0", "An emergency release comes from a branch hotfix/*, not from main."),
        ("pre_release", "somewhere", "v1.3.0", "A pre-release comes from a branch"),
        ("regular", "release/9.9", "v1.3.0", "There is no branch release/9.9."),
        ("regular", "release/1.3", "v1.4.0", "The branch release/1.3 does not hold the commit."),
        ("regular", "release/1.3", "v9.9.9", "There is no commit “v9.9.9”."),
        ("regular", " ", "v1.3.0", "Name the source branch."),
    ],
)
def test_a_branch_that_does_not_fit_is_refused_with_its_sentence(
    world: Any, kind: str, branch: str, revision: str, sentence: str
) -> None:
    release = draft(world, kind)
    with world.acting_as("manager"), pytest.raises(Invalid) as refused:
        set_source(release.pk, branch=branch, revision=revision)
    assert str(refused.value).startswith(sentence)
    assert world.fresh(release).commit == ""
    assert Event.objects.filter(action="release:set_source", outcome="refused").count() == 1


def test_a_hotfix_is_taken_for_an_emergency(world: Any, tmp_path: Path) -> None:
    repository = own_repository(world, tmp_path)
    git(repository, "update-ref", "refs/heads/hotfix/urgent", world.built.commits["v1.3.0"])
    release = draft(world, "emergency")
    with world.acting_as("manager"):
        set_source(release.pk, branch="hotfix/urgent")
    assert world.fresh(release).branch == "hotfix/urgent"


@pytest.mark.parametrize("name", ["developer", "operator", "auditor", "outsider"])
def test_others_are_told_nothing_of_the_repository(world: Any, name: str) -> None:
    release = draft(world)
    with world.acting_as(name), pytest.raises(NotYou):
        set_source(release.pk, branch="release/9.9")


def test_a_repository_elsewhere_is_fetched_before_it_is_looked_at(world: Any, tmp_path: Path) -> None:
    origin = own_repository(world, tmp_path)
    world.application = alter(world.application, repository=f"file://{origin}")
    release = world.planned()
    with world.acting_as("manager"):
        observe(release.pk)
    assert ask(world, release, "tag").verdict == ask(world, release, "branch").verdict == "pass"
    git(origin, "tag", "-d", "v1.3.0")
    with world.acting_as("manager"):
        observe(release.pk)
    assert ask(world, release, "tag").reason == "There is no tag v1.3.0."
    origin.rename(tmp_path / "away.git")
    with world.acting_as("manager"):
        seen = observe(release.pk)
    assert all("git failed" in seen[kind]["fault"] for kind in ("tag", *SOURCE))
    assert ask(world, release, "branch").verdict == "fail"


def test_the_way_in_comes_from_the_secrets_of_the_configuration_and_stays_out_of_the_ledger(
    world: Any, tmp_path: Path
) -> None:
    origin = own_repository(world, tmp_path)
    release = world.planned()
    with over_http(origin.parent) as site:
        world.application = alter(world.application, repository=f"{site}/{origin.name}")
        with world.acting_as("manager"):
            seen = observe(release.pk)
        assert "GIT_USERNAME and GIT_PASSWORD" in seen["tag"]["fault"]
        secrets(world, "production", GIT_USERNAME=NAME, GIT_PASSWORD=PASSWORD)
        with world.acting_as("manager"):
            seen = observe(release.pk)
        assert seen["tag"]["signature_good"]
    told = [bytes(row).decode() for row in Event.objects.values_list("bytes", flat=True)]
    assert told and not any(PASSWORD in text or "p%40ss" in text for text in told)
    assert not any(PASSWORD in str(fact.value) for fact in Fact.objects.all())


def test_production_comes_first_then_the_earliest_environment_that_has_a_way_in(world: Any) -> None:
    assert credentials_of(world.application) == sources.Credentials()
    secrets(world, "staging", GIT_PASSWORD="of-staging")
    assert credentials_of(world.application).password == "of-staging"
    secrets(world, "development", GIT_PASSWORD="of-development")
    assert credentials_of(world.application).password == "of-development"
    secrets(world, "production", GIT_PASSWORD="of-production")
    secrets(world, "production", GIT_PASSWORD="newer")
    assert credentials_of(world.application).password == "newer"


def test_a_commit_that_the_mirror_has_needs_no_network(world: Any, tmp_path: Path) -> None:
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
