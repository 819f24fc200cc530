"""Requesting and scheduling a deployment, tier by tier; a person's decisions while it waits; resolving it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse

from audit.clock import now
from audit.models import Event
from audit.refusals import GateNotPassed, InvalidInput, NotPermitted, NotPossible, SignatureRequired
from environments.targets.trees import tree_digest
from releases.models import DeployedVersion, Deployment, Release
from releases.operations.deployment.enqueue import enqueue
from releases.operations.deployment.request import request
from releases.operations.deployment.resolve import resolve
from releases.operations.deployment.schedule import cancel, schedule
from releases.operations.release.prepare import lock_scope
from tests.releases.gates.asking import alter, mark_deployed, walk


def asked(world: Any, release: Release, environment: str, who: str = "operator") -> Deployment:
    with world.acting_as(who):
        return request(release.pk, environment_id=world.environments[environment].pk)


def test_a_draft_is_deployed_to_development_only(world: Any) -> None:
    release = world.planned()
    assert asked(world, release, "development").state == "requested"
    for environment in ("staging", "production"):
        with pytest.raises(NotPossible):
            asked(world, release, environment)
    with world.acting_as("manager"):
        lock_scope(release.pk)
    assert asked(world, release, "staging").state == "requested"
    with pytest.raises(NotPossible):
        asked(world, release, "production")


def test_a_due_draft_gets_the_steps_of_the_procedure(world: Any) -> None:
    """Its plan is that of the procedure in effect from the first day on, not an empty one."""
    release = world.planned()
    world.evidence("1.3.0")
    deployment = asked(world, release, "development", "developer")
    with world.acting_as("developer", proved=False):
        schedule(deployment.pk)
    queue_as_scheduler(deployment)
    assert [s.step_type for s in deployment.steps.filter(phase="deployment")][:2] == ["backup", "maintenance_mode"]
    assert deployment.steps.get(ordinal=1).state == "ready"


def queue_as_scheduler(deployment: Deployment) -> None:
    from audit.actor import Actor, acting

    with acting(Actor(account_id=None, name="scheduler", kind="worker", channel="scheduler")):
        enqueue(deployment.pk)


def test_requesting_a_deployment_needs_a_right_in_its_environment(world: Any) -> None:
    release, _request = world.final_checked()
    allowed = {
        "development": {"developer", "operator", "ci"},
        "staging": {"developer", "tester", "operator", "ci"},
        "production": {"operator"},
    }
    for environment, names in allowed.items():
        for name in ("developer", "tester", "operator", "ci", "manager", "committee_a", "auditor", "outsider"):
            with world.acting_as(name):
                if name in names:
                    deployment = request(release.pk, environment_id=world.environments[environment].pk)
                    with pytest.raises(NotPossible, match="already requested or scheduled in this"):
                        request(release.pk, environment_id=world.environments[environment].pk)
                else:
                    with pytest.raises(NotPermitted):
                        request(release.pk, environment_id=world.environments[environment].pk)
                    continue
            with world.acting_as("manager"):
                cancel(deployment.pk, reason="next in line")


def test_a_deployment_needs_a_target_and_a_configuration(world: Any) -> None:
    release = alter(world.planned(), configurations={})
    with pytest.raises(InvalidInput, match="configuration"):
        asked(world, release, "development")


def test_a_pre_release_never_goes_to_production(world: Any) -> None:
    release, _request = world.final_checked()
    alter(release, kind="pre_release")
    with pytest.raises(NotPossible, match="pre-release"):
        asked(world, release, "production")


def test_a_first_deployment_to_production_is_refused(world: Any) -> None:
    release = world.planned()
    with world.acting_as("manager"):
        lock_scope(release.pk)
    world.evidence("1.3.0")
    deployment = asked(world, release, "staging")
    with world.acting_as("operator"), pytest.raises(GateNotPassed, match="Development"):
        schedule(deployment.pk)
    world.verified_deployment(release, "development")
    with world.acting_as("operator"):
        assert schedule(deployment.pk).state == "scheduled"


def test_scheduling_production_is_a_signature_and_binds_the_approval(world: Any) -> None:
    release, approval_request = world.final_checked()
    deployment = asked(world, release, "production")
    with world.acting_as("operator", proved=False), pytest.raises(SignatureRequired):
        schedule(deployment.pk)
    with world.acting_as("operator"):
        schedule(deployment.pk)
    deployment = world.fresh(deployment)
    assert (deployment.state, deployment.approval_request, deployment.scheduled_by) == (
        "scheduled",
        approval_request,
        world.people["operator"],
    )
    assert deployment.scheduled_end_at == release.scheduled_end_at
    event = Event.objects.filter(operation="deployment:schedule", kind="operation").latest("at")
    assert event.contents["after"]["signature"]["digest"] == approval_request.digest


def test_a_later_start_inside_the_window_is_accepted_and_one_outside_refused(world: Any) -> None:
    release, _request = world.final_checked()
    deployment = asked(world, release, "production")
    with world.acting_as("operator"):
        with pytest.raises(InvalidInput, match="past"):
            schedule(deployment.pk, at=now() - timedelta(hours=1))
        with pytest.raises(GateNotPassed):
            schedule(deployment.pk, at=release.scheduled_end_at + timedelta(minutes=5))
        later = now() + timedelta(hours=2)
        assert schedule(deployment.pk, at=later).scheduled_start_at == later


def test_scheduling_and_cancelling_need_a_right(world: Any) -> None:
    release, _request = world.final_checked()
    deployment = asked(world, release, "production")
    for name in ("manager", "developer", "tester", "auditor", "outsider"):
        with world.acting_as(name), pytest.raises(NotPermitted):
            schedule(deployment.pk)
    for name in ("developer", "tester", "auditor", "committee_a"):
        with world.acting_as(name), pytest.raises(NotPermitted):
            cancel(deployment.pk, reason="no")
    with world.acting_as("operator"):
        assert cancel(deployment.pk, reason="typing error").state == "cancelled"
        with pytest.raises(NotPossible):
            schedule(deployment.pk)


def test_ci_starts_a_production_deployment_only_after_the_approval(world: Any) -> None:
    """E3: deployment after approval. A person requests the deployment, and the approval permits it."""
    release, _request = world.submitted()
    alter_state = walk  # the release is walked past its approval: only the gate stops it
    released = alter_state(release, "mark_approved", "complete_final_check")
    deployment = asked(world, released, "production")
    with world.acting_as("ci"), pytest.raises(GateNotPassed, match="The release has no valid approval"):
        schedule(deployment.pk)
    assert world.fresh(deployment).state == "requested"


def test_ci_may_start_an_approved_deployment(world: Any) -> None:
    release, approval_request = world.final_checked()
    deployment = asked(world, release, "production")
    with world.acting_as("ci"):
        schedule(deployment.pk)
    deployment = world.fresh(deployment)
    assert (deployment.state, deployment.approval_request, deployment.scheduled_by) == (
        "scheduled",
        approval_request,
        world.people["ci"],
    )
    event = Event.objects.filter(operation="deployment:schedule", kind="operation").latest("at")
    assert "signature" not in (event.contents["after"] or {}), "a service account never signs"


def test_two_deployments_never_occupy_one_environment(world: Any) -> None:
    deployment = world.scheduled()
    queue_as_scheduler(deployment)
    release = deployment.release
    from releases.models import ApprovalRequest

    second = Deployment(
        release=release,
        application=release.application,
        environment=deployment.environment,
        procedure=deployment.procedure,
        requested_by=world.people["operator"],
        scheduled_by=world.people["operator"],
        approval_request=ApprovalRequest.objects.get(release=release),
    )
    from audit.actor import acting
    from audit.operation import operation
    from tests.releases.gates.asking import COMMAND

    with acting(COMMAND), operation("test:second") as op:
        second.save()
        op.about(second)
    walk(second, "schedule")
    with pytest.raises(GateNotPassed, match="Another deployment is in progress in this environment"):
        queue_as_scheduler(second)
    assert world.fresh(second).state == "scheduled"


def test_a_failed_deployment_to_a_lower_tier_is_resolved_by_the_next_one(world: Any) -> None:
    release = world.planned()
    world.evidence("1.3.0")
    first = asked(world, release, "development")
    walk(first, "schedule", "enqueue", "start", "fail")
    second = asked(world, release, "development")
    with world.acting_as("operator"):
        schedule(second.pk)
    queue_as_scheduler(second)
    resolved = world.fresh(first)
    assert (resolved.state, resolved.resolved_as) == ("resolved", "unknown")


def lies_there(target: Any, text: str) -> str:
    """Install a tree on a target by hand and return its digest."""
    tree = Path(target.root) / "releases" / text
    tree.mkdir(parents=True)
    (tree / "file").write_text(text)
    (Path(target.root) / "current").symlink_to(tree)
    return tree_digest(tree)


@pytest.mark.parametrize("how", ["previous", "planned", "unknown"])
def test_resolving_records_the_state_of_the_target(world: Any, browsers: Callable[[str], Any], how: str) -> None:
    pointer = mark_deployed(world, "1.2.0", environment="production")
    deployment = world.scheduled()
    release = deployment.release
    there = lies_there(world.targets["production"], how)
    base = {"release": pointer.release_id, "configuration": pointer.configuration_id, "code": "b" * 40}
    before = base | ({"code": there} if how == "previous" else {})
    wanted = {"wanted_tree": there} if how == "planned" else {"wanted_tree": release.tree}
    alter(deployment, previous={"deployed_version": before, **wanted}, started_at=now())
    walk(release, "start")
    walk(deployment, "enqueue", "start", "fail")
    with (
        world.acting_as("operator"),
        pytest.raises(NotPermitted, match="You have scheduled this deployment; another person must resolve it"),
    ):
        resolve(deployment.pk, how=how, reason="looked at it")
    with world.acting_as("second_operator"):
        with pytest.raises(InvalidInput):
            resolve(deployment.pk, how="somehow", reason="x")
        with pytest.raises(InvalidInput):
            resolve(deployment.pk, how=how, reason=" ")
        resolve(deployment.pk, how=how, reason="looked at it")
    pointer = DeployedVersion.objects.get(pk=pointer.pk)
    version = {"previous": "1.2.0", "planned": "1.3.0", "unknown": "1.2.0"}[how]
    assert (pointer.release.version, pointer.unknown) == (version, how == "unknown")
    assert pointer.code == (there if how != "unknown" else pointer.code)
    assert world.fresh(release).state == ("testing_completed" if how == "previous" else "failed")
    page = browsers("second_operator").get(reverse("deployment", args=[deployment.pk])).content.decode()
    assert ("when resolved" in page, f'title="{there}"' in page) == ((how != "unknown"),) * 2
    for name in ("developer", "auditor", "manager"):
        with world.acting_as(name), pytest.raises(NotPermitted):
            resolve(deployment.pk, how=how, reason="x")


@pytest.mark.parametrize("how", ["previous", "planned"])
def test_a_resolution_must_match_the_measured_target(world: Any, how: str) -> None:
    """A statement alone decides nothing: another tree, another configuration, an unreadable target are refused."""
    deployment = world.scheduled()
    target = world.targets["production"]
    there = lies_there(target, "other")
    walk(deployment.release, "start")
    deployment = walk(deployment, "enqueue", "start", "fail")

    def refused(match: str, kind: type[Exception] = GateNotPassed, **base: Any) -> None:
        alter(deployment, previous={"deployed_version": {"code": base["code"], "configuration_digest": ""}, **base})
        with world.acting_as("second_operator"), pytest.raises(kind, match=match):
            resolve(deployment.pk, how=how, reason="it is fine")
        statement = Event.objects.filter(kind="refusal", operation="deployment:resolve").latest("at")
        assert match in str(statement.contents["after"]["reasons"])
        assert world.fresh(deployment).state == "failed"

    refused("The Git tree hash on the deployment target is not the expected one", code="b" * 40, wanted_tree="b" * 40)
    (shared := Path(target.root) / "shared").mkdir(exist_ok=True)
    (shared / "config.env").write_text("PORT=1")
    refused("The configuration on the deployment target is not the expected one", code=there, wanted_tree=there)
    alter(target, options={"configuration": {"format": "command", "digest": ["/bin/false"], "write": ["/bin/false"]}})
    refused("The deployment target cannot be read", InvalidInput, code=there, wanted_tree=there)
    with world.acting_as("second_operator"):
        resolve(deployment.pk, how="unknown", reason="nobody can say")


def test_verifying_takes_another_person_and_every_manual_check(world: Any) -> None:
    from releases.models import DeployedVersion, MonitoringPeriod
    from releases.operations.deployment.verify import verify

    deployment = world.scheduled()
    release = deployment.release
    walk(release, "start")
    walk(deployment, "enqueue", "start", "start_verification")
    with (
        world.acting_as("operator"),
        pytest.raises(NotPermitted, match="You have scheduled this deployment; another person must verify it"),
    ):
        verify(deployment.pk, confirmed=("data_integrity", "security_settings"))
    with world.acting_as("manager"), pytest.raises(NotPermitted):
        verify(deployment.pk, confirmed=("data_integrity", "security_settings"))
    with world.acting_as("second_operator"):
        with pytest.raises(InvalidInput, match="Not confirmed"):
            verify(deployment.pk, confirmed=("data_integrity",))
        with pytest.raises(GateNotPassed, match="not measured"):
            verify(deployment.pk, confirmed=("data_integrity", "security_settings"))
    alter(deployment, measured={"verification": {"code": "a", "configuration": "b", "data": "c"}})
    with world.acting_as("second_operator"):
        verify(deployment.pk, confirmed=("data_integrity", "security_settings"))
    deployment = world.fresh(deployment)
    assert (deployment.state, deployment.verified_by.username) == ("monitoring", "second_operator")
    assert world.fresh(release).state == "monitoring"
    assert DeployedVersion.objects.get(environment=deployment.environment).release == release
    assert MonitoringPeriod.objects.get(deployment=deployment).duration_seconds == 86400
