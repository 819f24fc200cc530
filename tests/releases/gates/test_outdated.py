"""An older version does not replace a newer one in any protected environment."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import translation

from audit.clock import now
from releases.gates.evaluation import blockers, evaluate
from releases.models import DeployedVersion, Release
from releases.operations.release.plan import plan
from tests.releases.gates.asking import alter, make


@pytest.fixture
def older(world: Any) -> Release:
    """A release of 1.3.0 where 1.4.0 is deployed everywhere, and staging is protected too."""
    with world.acting_as("author_on_committee"):
        newer = plan(application_id=world.application.pk, version="1.4.0", title="Newer")
    alter(world.environments["staging"], protected=True)
    for environment in world.environments.values():
        make(
            DeployedVersion,
            application=world.application,
            environment=environment,
            release=newer,
            since=now(),
            basis="verified",
        )
    return world.planned()


def closed(release: Release, world: Any, environment: str) -> list[str]:
    with translation.override("en"):
        place = type(world.environments[environment]).objects.get(slug=environment)
        return [answer.reason for answer in blockers(release, place) if answer.kind == "outdated"]


def test_an_older_version_fails_where_a_newer_one_is_deployed(world: Any, older: Release) -> None:
    for environment in ("staging", "production"):
        (reason,) = closed(older, world, environment)
        name = world.environments[environment].name_en
        assert f"The newer version 1.4.0 is deployed in {name}, and 1.3.0 does not replace it" in reason


def test_development_does_not_require_the_gate(world: Any, older: Release) -> None:
    assert closed(older, world, "development") == []


def test_an_equal_or_newer_version_passes(world: Any, older: Release) -> None:
    for version in ("1.4.0", "1.4.1", "2.0.0-beta.1"):
        older.version = version
        assert closed(older, world, "staging") == []


def test_an_emergency_passes_below_production_only(world: Any, older: Release) -> None:
    older.kind = Release.Kind.EMERGENCY
    assert closed(older, world, "staging") == []
    assert closed(older, world, "production")


def test_a_waiver_does_not_pass_the_gate(world: Any, older: Release) -> None:
    from datetime import timedelta

    from releases.models import Waiver

    make(
        Waiver,
        release=older,
        environment=world.environments["staging"],
        gate="outdated",
        reason="please",
        until=now() + timedelta(days=1),
        requested_by=world.people["manager"],
        decided_by=world.people["operator"],
        approved_at=now(),
    )
    asked = {answer.kind: answer.result for answer in evaluate(older, world.environments["staging"])}
    assert closed(older, world, "staging") and asked.get("outdated", "not_passed") == "not_passed"
