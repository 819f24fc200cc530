"""No environment is skipped, and the tree verified there is the same."""

from __future__ import annotations

from typing import Any

from .asking import alter, ask


def test_each_earlier_environment_is_required(world: Any) -> None:
    release = world.planned()
    assert "Development" in ask(world, release, "promotion", environment="staging").reason
    world.verified_deployment(release, "development")
    assert ask(world, release, "promotion", environment="staging").result == "passed"
    assert "Staging" in ask(world, release, "promotion").reason
    world.verified_deployment(release, "staging")
    assert ask(world, release, "promotion").result == "passed"


def test_another_tree_does_not_count_as_verified(world: Any) -> None:
    release = world.planned()
    deployment = world.verified_deployment(release, "development")
    alter(deployment, previous={"wanted_tree": "0" * 40})
    assert ask(world, release, "promotion", environment="staging").result == "not_passed"


def test_a_rolled_back_deployment_no_longer_counts(world: Any) -> None:
    from audit.actor import acting
    from audit.operation import operation
    from releases.models import Deployment

    from .asking import COMMAND

    release = world.planned()
    deployment = world.verified_deployment(release, "development")
    with acting(COMMAND), operation("test:back", (Deployment, deployment.pk)) as op:
        op.get(Deployment).start_rollback()
    assert ask(world, release, "promotion", environment="staging").result == "not_passed"
