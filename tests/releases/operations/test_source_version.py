"""The next version is suggested from the deployed and the planned ones, and a draft can take it."""

from __future__ import annotations

from typing import Any

import pytest

from audit.clock import now
from audit.refusals import InvalidInput, NotPermitted, NotPossible
from releases.models import Release
from releases.operations.release import set_version
from releases.operations.release.copy import copy
from releases.operations.release.plan import add_change, plan
from releases.operations.release.prepare import cancel, lock_scope
from tests.releases.gates.asking import alter, mark_deployed, walk


def draft(world: Any, version: str, *kinds: str, kind: str = "regular") -> Release:
    with world.acting_as("manager"):
        release = plan(application_id=world.application.pk, version=version, title=version, kind=kind)
        for name in kinds:
            add_change(release.pk, kind=name, text="a change")
    return release


def test_the_next_versions_follow_the_deployed_one(world: Any) -> None:
    assert set_version.next_versions(world.application) == set_version.Next(None, "1.0.0", "1.0.0", "1.0.0")
    mark_deployed(world, "1.2.0")
    assert set_version.next_versions(world.application) == set_version.Next("1.2.0", "1.2.1", "1.3.0", "2.0.0")


def test_a_planned_version_is_suggested_again_only_after_its_cancellation(world: Any) -> None:
    mark_deployed(world, "1.2.0")
    planned = draft(world, "1.3.0")
    assert set_version.next_versions(world.application).minor == "1.4.0"
    with world.acting_as("manager"):
        cancel(planned.pk, reason="no")
    assert set_version.next_versions(world.application).minor == "1.3.0"


def deployed(world: Any, release: Release, environment: str) -> Release:
    """Deploy a release to an environment, roll it back there, and cancel it."""
    deployment = world.verified_deployment(world.fresh(release), environment)
    alter(
        walk(deployment, "start_rollback", "complete_rollback"),
        started_at=now(),
        previous={"wanted": {"version": release.version}},
    )
    with world.acting_as("manager"):
        cancel(release.pk, reason="it does not work")
    return release


def test_a_version_that_reached_an_environment_is_not_planned_again(world: Any) -> None:
    mark_deployed(world, "1.2.0")
    used = deployed(world, draft(world, "1.3.0", "feature"), "staging")
    assert set_version.next_versions(world.application).minor == "1.4.0"
    other = draft(world, "1.5.0", "feature")
    with world.acting_as("manager"):
        for again in (
            lambda: plan(application_id=world.application.pk, version="1.3.0", title="again"),
            lambda: copy(used.pk, version="1.3.0", with_changes=True),
            lambda: set_version.set_version(other.pk, version="1.3.0"),
        ):
            with pytest.raises(InvalidInput, match=r"1\.3\.0 was deployed to Staging before.*1\.3\.1 is free"):
                again()
    assert set_version.for_release(draft(world, "1.2.1", "feature")) == "1.4.0"


def test_a_version_of_a_deployed_then_renamed_draft_stays_used(world: Any) -> None:
    release = draft(world, "1.3.0")
    deployment = world.verified_deployment(release, "development")
    alter(deployment, started_at=now(), previous={"wanted": {"version": "1.3.0"}})
    with world.acting_as("manager"):
        set_version.set_version(release.pk, version="1.4.0")
        with pytest.raises(InvalidInput, match="1.3.1 is free"):
            plan(application_id=world.application.pk, version="1.3.0", title="again")
        set_version.set_version(release.pk, version="1.3.0")
    assert world.fresh(release).version == "1.3.0", "its own version is its own"


def test_a_suggested_version_is_never_a_used_one(world: Any) -> None:
    mark_deployed(world, "1.2.0")
    draft(world, "1.3.0")
    release = draft(world, "1.2.1", "feature")
    (said,) = set_version.wrong(release)
    assert "A suitable version is 1.4.0." in said


def test_a_copy_has_its_own_version_in_its_title(world: Any) -> None:
    with world.acting_as("manager"):
        first = plan(application_id=world.application.pk, version="1.3.0", title="v1.3.0: 検索 (1.3.0-beta.1, 11.3.0)")
        assert copy(first.pk, version="1.4.0").title == "v1.4.0: 検索 (1.3.0-beta.1, 11.3.0)"
        assert copy(first.pk, version="1.5.0", title="Tags").title == "Tags"


def test_a_draft_shows_the_version_that_fits_its_changes(world: Any) -> None:
    mark_deployed(world, "1.2.0")
    for version, kinds, fits in (
        ("1.3.0", ["feature"], "1.3.0"),
        ("1.2.1", ["feature"], "1.4.0"),
        ("1.5.0", ["breaking"], "2.0.0"),
        ("1.1.0", ["fix"], "1.2.2"),
    ):
        assert set_version.for_release(draft(world, version, *kinds)) == fits, version


def test_a_pre_release_shows_the_next_beta(world: Any) -> None:
    mark_deployed(world, "1.2.0")
    release = draft(world, "1.2.1-beta.1", "feature", kind="pre_release")
    assert set_version.for_release(release) == "1.3.0-beta.1"
    draft(world, "1.3.0-beta.1", kind="pre_release")
    assert set_version.for_release(release) == "1.3.0-beta.2"


@pytest.mark.parametrize("previous", [{"wanted": {"version": "1.3.0-beta.1"}}, {}])
def test_a_deployed_beta_is_not_suggested_again(world: Any, previous: dict[str, Any]) -> None:
    """Also one whose deployment began without a statement of its version."""
    mark_deployed(world, "1.2.0")
    used = deployed(world, draft(world, "1.3.0-beta.1", "feature", kind="pre_release"), "staging")
    alter(used.deployments.get(), previous=previous)
    with world.acting_as("manager"), pytest.raises(InvalidInput, match=r"deployed to Staging before.*1\.3\.0-beta\.2"):
        plan(application_id=world.application.pk, version="1.3.0-beta.1", title="again", kind="pre_release")
    release = draft(world, "1.2.1-beta.1", "feature", kind="pre_release")
    assert set_version.for_release(release) == "1.3.0-beta.2"


def test_a_draft_takes_the_suggested_version_and_its_tag(world: Any) -> None:
    mark_deployed(world, "1.2.0")
    release = draft(world, "1.2.1", "feature")
    with world.acting_as("manager"):
        set_version.set_version(release.pk)
    fresh = world.fresh(release)
    assert (fresh.version, fresh.tag) == ("1.3.0", "v1.3.0")
    with world.acting_as("project_manager"):
        set_version.set_version(release.pk, version="１.４.0")
    fresh = world.fresh(release)
    assert (fresh.version, fresh.tag, fresh.history.count()) == ("1.4.0", "v1.4.0", 3)
    assert {row.username for row in fresh.editors.all()} >= {"manager", "project_manager"}


def test_another_version_is_refused_where_it_is_not_permitted(world: Any) -> None:
    mark_deployed(world, "1.2.0")
    release, other = draft(world, "1.3.0"), draft(world, "1.4.0")
    with world.acting_as("manager"):
        for version in ("1.3.0", "1.2.0"):
            with pytest.raises(InvalidInput, match="already planned or released"):
                set_version.set_version(other.pk, version=version)
        with pytest.raises(InvalidInput, match="semantic"):
            set_version.set_version(other.pk, version="next")
        with pytest.raises(InvalidInput, match="The release 0 does not exist"):
            set_version.set_version(0, version="1.9.0")
        cancel(release.pk, reason="no")
        with pytest.raises(NotPossible):
            set_version.set_version(release.pk, version="1.9.0")
    for name in ("developer", "operator", "committee_a", "auditor"):
        with world.acting_as(name), pytest.raises(NotPermitted):
            set_version.set_version(other.pk, version="1.9.0")
    assert world.fresh(other).version == "1.4.0"


def test_the_refusal_to_lock_the_scope_names_a_fitting_version(world: Any) -> None:
    mark_deployed(world, "1.2.0")
    release = world.planned("1.3.0")
    with world.acting_as("manager"):
        add_change(release.pk, kind="breaking", text="another form of answers")
        with pytest.raises(InvalidInput, match=r"A suitable version is 2\.0\.0\."):
            lock_scope(release.pk)
