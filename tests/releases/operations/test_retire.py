"""Targets and applications out of use: nothing is deployed to them, nothing measures them, and all history stays."""

from __future__ import annotations

from typing import Any

import pytest

from audit.clock import now
from audit.operation import operation
from audit.refusals import GateNotPassed, InvalidInput, NotPermitted, NotPossible
from environments.models import Application, DeploymentTarget, Environment, RequestedChange
from environments.operations.requested_change.decide import confirm_change
from releases.models import Release
from releases.operations.application import retire as applications
from releases.operations.release.plan import plan
from releases.operations.target import measure
from releases.operations.target.retire import reinstate, retire
from releases.operations.target.set_settings import create_target, set_settings


def test_a_retired_target_is_left_alone_and_comes_back(world: Any) -> None:
    target = world.targets["development"]
    with world.acting_as("developer"), pytest.raises(NotPermitted):
        retire(target.pk, reason="moved")
    with world.acting_as("operator"):
        with pytest.raises(InvalidInput):
            retire(target.pk, reason=" ")
        retire(target.pk, reason="moved to another host")
    assert not DeploymentTarget.objects.filter(pk=target.pk).exists()
    assert DeploymentTarget.every.get(pk=target.pk).retired
    assert "development" not in {place.slug for place in Environment.objects.of(world.application)}
    assert target.pk not in measure.due(now())
    with world.acting_as("operator"):
        with pytest.raises(InvalidInput, match="A retired deployment target has the name"):
            create_target(
                application_id=world.application.pk,
                environment_id=target.environment_id,
                root="/srv/other",
                settings={},
            )
        reinstate(target.pk, reason="it stays after all")
    assert DeploymentTarget.objects.filter(pk=target.pk).exists()


def test_in_a_protected_environment_a_second_person_confirms_it(world: Any) -> None:
    target = world.targets["production"]
    with world.acting_as("operator"):
        requested = retire(target.pk, reason="the host is given back")
        assert isinstance(requested, RequestedChange)
        with pytest.raises(NotPermitted):
            confirm_change(requested.pk)
    assert DeploymentTarget.objects.filter(pk=target.pk).exists()
    with world.acting_as("second_operator"):
        confirm_change(requested.pk)
    assert DeploymentTarget.every.get(pk=target.pk).retired


def test_a_target_with_a_deployment_under_way_is_not_retired(world: Any) -> None:
    deployment = world.scheduled()
    target = world.targets[deployment.environment.slug]
    with world.acting_as("operator"), pytest.raises(GateNotPassed, match="has not ended"):
        retire(target.pk, reason="moved")


def test_an_application_is_retired_last(world: Any) -> None:
    pk = world.application.pk
    with world.acting_as("manager"):
        with pytest.raises(GateNotPassed, match="is in use. Retire it first."):
            applications.retire(pk, reason="replaced")
        with operation("test:retired"):
            DeploymentTarget.every.filter(application=pk).update(retired=True)
        draft = plan(application_id=pk, version="9.0.0", title="One more")
        with pytest.raises(GateNotPassed, match="has not ended. Complete or cancel it first."):
            applications.retire(pk, reason="replaced")
        with operation("test:cancelled"):
            Release.objects.filter(pk=draft.pk).update(state="cancelled")
        applications.retire(pk, reason="replaced")
        with pytest.raises(NotPossible, match="is retired. Reinstate it first."):
            plan(application_id=pk, version="9.0.1", title="Too late")
    target = world.targets["development"]
    with world.acting_as("operator"):
        for call in (
            lambda: reinstate(target.pk, reason="x"),
            lambda: create_target(
                application_id=pk, environment_id=target.environment_id, root="/srv/x", settings={}, name="second"
            ),
        ):
            with pytest.raises(GateNotPassed, match="is retired. Reinstate it first."):
                call()
    with world.acting_as("manager"):
        applications.reinstate(pk, reason="needed again")
    assert not Application.objects.get(pk=pk).retired


def test_the_group_of_a_target_can_be_changed(world: Any) -> None:
    target = world.targets["development"]
    with world.acting_as("operator"):
        set_settings(target.pk, root=target.root, settings={}, group="web", reason="two kinds of hosts")
        assert world.fresh(target).group == "web"
        set_settings(target.pk, root=target.root, settings={}, reason="left out")
    assert world.fresh(target).group == "web"
