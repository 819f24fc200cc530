"""Ringi makes the signed tag of a release with locked scope, and never moves one."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from audit.models import Event
from audit.refusals import GateNotPassed, InvalidInput, NotPermitted, NotPossible, SignatureRequired
from releases.models import Fact, Release
from releases.operations.application.set_allowed_signers import set_allowed_signers
from releases.operations.release.create_tag import make_tag
from releases.operations.release.prepare import lock_scope
from releases.sources.git import facts
from tests.releases.gates.asking import alter, ask, git, own_repository
from tests.releases.sources.repositories import key


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, settings: Any) -> None:
    """The test's own state folder: mirrors are named after the application, which is the same in all tests."""
    settings.STATE_DIR = tmp_path / "state"


@pytest.fixture
def own(world: Any, tmp_path: Path, settings: Any) -> Path:
    """The application's repository without the tag of 1.3.0, and Ringi's key among the allowed signers."""
    repository = own_repository(world, tmp_path)
    place = key(tmp_path / "product")
    line = f'ringi@datasets.example namespaces="git" {place.with_suffix(".pub").read_text()}'
    world.application = alter(world.application, allowed_signers=world.application.allowed_signers + line)
    settings.TAG_SIGNING_KEY = str(place)
    return repository


def fixed(world: Any, repository: Path) -> Release:
    """A release with locked scope and no tag yet."""
    release = world.planned()
    git(repository, "tag", "-d", "v1.3.0")
    with world.acting_as("manager"):
        lock_scope(release.pk)
    return world.fresh(release)


def test_the_tag_is_made_signed_and_passes_the_gate(world: Any, own: Path) -> None:
    release = fixed(world, own)
    with world.acting_as("manager"):
        make_tag(release.pk)
    answer = ask(world, release, "tag")
    assert (answer.result, answer.reason) == ("passed", "ringi@datasets.example")
    found = facts(own, tag="v1.3.0")
    assert found.commit == release.commit and found.annotated
    day = release.scheduled_start_at.astimezone(ZoneInfo("Asia/Tokyo")).date()
    assert found.message == f"1.3.0 ({day})\n\n- Datasets can be tagged"
    assert found.tagger == "Manager <manager@datasets.example>"
    made = Event.objects.get(operation="release:record_tag", kind="operation")
    assert made.contents["after"]["tag_object"] == found.object_id


def test_an_existing_tag_is_never_moved(world: Any, own: Path) -> None:
    release = world.planned()
    with world.acting_as("manager"):
        lock_scope(release.pk)
        before = git(own, "rev-parse", "v1.3.0")
        with pytest.raises(GateNotPassed, match=r"There is a tag v1\.3\.0 already; a tag is never moved\."):
            make_tag(release.pk)
    assert git(own, "rev-parse", "v1.3.0") == before
    assert not Event.objects.filter(operation="release:record_tag").exists()
    assert Event.objects.filter(operation="release:create_tag", outcome="failed").count() == 1


def test_a_missing_key_names_its_setting(world: Any, own: Path, settings: Any, tmp_path: Path) -> None:
    release = fixed(world, own)
    with world.acting_as("manager"):
        settings.TAG_SIGNING_KEY = ""
        with pytest.raises(InvalidInput, match="RINGI_TAG_SIGNING_KEY"):
            make_tag(release.pk)
        settings.TAG_SIGNING_KEY = str(tmp_path / "absent")
        with pytest.raises(GateNotPassed, match="There is no key at"):
            make_tag(release.pk)
    assert git(own, "tag", "--list", "v1.3.0") == ""


def test_a_key_unknown_to_the_application_makes_no_tag(world: Any, own: Path, settings: Any, tmp_path: Path) -> None:
    release = fixed(world, own)
    settings.TAG_SIGNING_KEY = str(key(tmp_path / "stranger"))
    public = " ".join((tmp_path / "stranger.pub").read_text().split()[:2])
    with world.acting_as("manager"), pytest.raises(GateNotPassed, match="its allowed signers need the line") as refused:
        make_tag(release.pk)
    assert public in str(refused.value)
    assert git(own, "tag", "--list", "v1.3.0") == ""


def test_a_tag_is_made_only_between_scope_lock_and_start(world: Any, own: Path) -> None:
    release = world.planned()
    git(own, "tag", "-d", "v1.3.0")
    with world.acting_as("manager"), pytest.raises(NotPossible, match="A tag can be created once the scope is locked"):
        make_tag(release.pk)
    assert git(own, "tag", "--list", "v1.3.0") == ""


@pytest.mark.parametrize("name", ["developer", "project_manager", "operator", "committee_a", "auditor", "ci"])
def test_other_roles_may_not_make_a_tag(world: Any, own: Path, name: str) -> None:
    release = fixed(world, own)
    with world.acting_as(name), pytest.raises(NotPermitted):
        make_tag(release.pk)
    assert git(own, "tag", "--list", "v1.3.0") == ""


def test_a_remote_repository_receives_the_tag(world: Any, own: Path) -> None:
    world.application = alter(world.application, repository=f"file://{own}")
    release = fixed(world, own)
    with world.acting_as("manager"):
        make_tag(release.pk)
    assert ask(world, release, "tag").result == "passed"
    seen = Fact.objects.get(release=release, kind="tag").value
    assert git(own, "rev-parse", "v1.3.0") == seen["object_id"]


def test_a_tag_refused_by_the_remote_is_not_made(world: Any, own: Path) -> None:
    world.application = alter(world.application, repository=f"file://{own}")
    release = fixed(world, own)
    # The other side refuses every write below refs/tags.
    git(own, "config", "receive.denyCurrentBranch", "refuse")
    git(own, "config", "transfer.hideRefs", "refs/tags/v1.3.0")
    with world.acting_as("manager"), pytest.raises(GateNotPassed, match="The repository refused the tag"):
        make_tag(release.pk)
    assert git(own, "tag", "--list", "v1.3.0") == ""
    assert not Event.objects.filter(operation="release:record_tag").exists()


def test_allowed_signers_are_changed_with_a_signature_and_then_the_tag_is_made(
    world: Any, own: Path, settings: Any, tmp_path: Path
) -> None:
    release = fixed(world, own)
    settings.TAG_SIGNING_KEY = str(key(tmp_path / "next"))
    line = f'next@datasets.example namespaces="git" {(tmp_path / "next.pub").read_text()}'
    with world.acting_as("manager", proved=False), pytest.raises(SignatureRequired):
        set_allowed_signers(world.application.pk, signers=line, reason="a new key")
    with world.acting_as("developer"), pytest.raises(NotPermitted):
        set_allowed_signers(world.application.pk, signers=line, reason="a new key")
    with world.acting_as("manager"):
        with pytest.raises(InvalidInput, match="Enter a reason"):
            set_allowed_signers(world.application.pk, signers=line, reason=" ")
        with pytest.raises(InvalidInput, match="private key"):
            set_allowed_signers(world.application.pk, signers=(tmp_path / "next").read_text(), reason="a new key")
        set_allowed_signers(world.application.pk, signers=line, reason="a new key")
        make_tag(release.pk)
    assert ask(world, release, "tag").reason == "next@datasets.example"
