"""A deployment uses the procedure that it pinned: drafts too, until the end of their rollbacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from audit.actor import acting
from releases.jobs import prepare_rollback
from releases.models import DeployedVersion, Deployment, MonitoringPeriod, Procedure, Rollback
from releases.operations.deployment.enqueue import enqueue
from releases.operations.deployment.request import request
from releases.operations.deployment.schedule import schedule
from releases.operations.monitoring.start_baseline import start_baseline
from releases.operations.release.plan import plan as plan_release
from releases.operations.release.prepare import lock_scope
from releases.operations.rollback import decide
from releases.queries.monitoring import needs_baseline
from releases.worker.executor import run_from
from tests.releases.gates.asking import COMMAND, alter, make, shown, walk

from .conftest import TRUE, WORKER, first, plan, row, states


def deploy_earlier(world: Any, environment: str) -> None:
    """Record an earlier release as deployed, so that a rollback and monitoring are possible."""
    with world.acting_as("author_on_committee"):
        earlier = plan_release(application_id=world.application.pk, version="1.2.0", title="Earlier")
    make(
        DeployedVersion,
        application=world.application,
        environment=world.environments[environment],
        release=earlier,
        code="",
        since=earlier.created_at,
        basis="verified",
    )


def newer_procedure() -> Procedure:
    """Put another version of the procedure into effect, which asks for longer monitoring after a rollback."""
    active = Procedure.objects.get(state="in_effect")
    content = {**active.content, "rollback": {**active.content["rollback"], "monitoring_seconds": 4321}}
    walk(active, "retire")
    made: Procedure = make(Procedure, version="9.9.9", content=content, digest="9" * 64, reason="longer")
    walk(made, "submit", "put_into_effect")
    return made


def rolled_back(world: Any, deployment: Deployment) -> Rollback:
    """Roll a deployment in development back, with every approval, and let a worker do it."""
    with world.acting_as("operator"):
        alarm = decide.raise_(deployment.pk, cause=decide.REHEARSAL, note="for practice")
    with world.acting_as("manager"):
        decide.assess(alarm.pk, impact="none", method="the plan", timing="now")
    prepare_rollback(alarm.pk)
    with world.acting_as("second_operator"):
        decide.authorise(alarm.pk, digest=shown(world.fresh(alarm)))
    prepare_rollback(alarm.pk)
    return world.fresh(alarm)


def test_the_rollback_of_a_draft_ends(world: Any, queued: Callable[..., Deployment]) -> None:
    deploy_earlier(world, "development")
    deployment = queued(row(TRUE))
    assert deployment.release.state == "draft" and deployment.release.procedure is None
    with acting(WORKER):
        run_from(first(deployment).pk)
    alarm = rolled_back(world, deployment)
    assert (alarm.state, world.fresh(deployment).state) == ("monitoring", "rolled_back")
    assert states(deployment) == ["succeeded"] * 4


def test_a_later_procedure_changes_nothing_of_a_requested_deployment(
    world: Any, queued: Callable[..., Deployment]
) -> None:
    deploy_earlier(world, "development")
    deployment = queued(row(TRUE))
    pinned = deployment.procedure
    newer_procedure()
    with acting(WORKER):
        run_from(first(deployment).pk)
    alarm = rolled_back(world, deployment)
    assert world.fresh(deployment).procedure == pinned
    monitoring = MonitoringPeriod.objects.get(rollback=alarm)
    assert monitoring.duration_seconds == pinned.document.rollback.monitoring_seconds != 4321


def test_a_deployment_follows_its_release_until_its_steps_exist(world: Any) -> None:
    """The scope is locked between the request and the start: the started plan is that of the newer version."""
    release = alter(world.planned(), step_plan=plan(row(TRUE)))
    world.evidence("1.3.0")
    with world.acting_as("developer"):
        deployment = request(release.pk, environment_id=world.environments["development"].pk)
    before, after = deployment.procedure, newer_procedure()
    with world.acting_as("manager"):
        lock_scope(release.pk)
    with world.acting_as("developer"):
        schedule(deployment.pk)
    assert world.fresh(deployment).procedure == before
    with acting(COMMAND):
        enqueue(deployment.pk)
    assert world.fresh(deployment).procedure == after


def test_the_baseline_of_a_draft_is_measured_before_it_begins(world: Any) -> None:
    from datetime import timedelta

    from audit.clock import now

    deploy_earlier(world, "development")
    release = alter(world.planned(), step_plan=plan(row(TRUE)))
    world.evidence("1.3.0")
    with world.acting_as("developer"):
        deployment = request(release.pk, environment_id=world.environments["development"].pk)
        schedule(deployment.pk, at=now() + timedelta(minutes=5))
    assert needs_baseline(now()) == [deployment.pk]
    with acting(COMMAND):
        assert start_baseline(deployment.pk) is not None
