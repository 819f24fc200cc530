"""A worker runs the steps and checks of the application's own deployment process, with the values of the place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from audit.actor import acting
from audit.refusals import GateNotPassed
from releases.models import Deployment, Procedure
from releases.operations.deployment.enqueue import enqueue
from releases.operations.deployment.request import request
from releases.operations.deployment.schedule import schedule
from releases.operations.deployment_process.create import create
from releases.operations.step.claim import _require_steps_as_planned
from releases.procedures.process import Process
from releases.queries.procedure_types import procedure_types
from releases.worker.executor import run_from
from tests.releases.gates.asking import alter, open_to_programs

from .conftest import WORKER

TEXT = """
format = 1
triggers = []
[[variables]]
name = "greeting"
value = "everywhere"
[[variables]]
name = "greeting"
value = "here"
environments = ["development"]
[[plans.deployment]]
key = "greet"
en = "Greet"
type = "command"
parameters.argv = ["/bin/sh", "-c", "echo #{greeting} > greeting.txt"]
estimate_seconds = 1
required = true
[[plans.rollback]]
key = "ungreet"
en = "Greet no more"
type = "command"
parameters.argv = ["/bin/rm", "greeting.txt"]
estimate_seconds = 1
required = true
[[checks]]
key = "greeted"
en = "Greeted"
when = "deployment"
maintenance = "after"
type = "command"
parameters.argv = ["/bin/grep", "#{greeting}", "greeting.txt"]
required = true
[[checks]]
key = "greeted_no_more"
en = "Greeted no more"
when = "rollback"
maintenance = "after"
type = "command"
parameters.argv = ["/bin/true"]
required = true
"""


@pytest.fixture
def deployment(world: Any, tmp_path: Path) -> Deployment:
    """A deployment of a release with this process to development, queued."""
    open_to_programs(world.targets["development"], tmp_path)
    procedure = Procedure.objects.get(state="in_effect").document
    with world.acting_as("developer"):
        process = Process.from_toml(TEXT, procedure, **procedure_types())
        create(application_id=world.application.pk, content=process, reason="how it is done here")
    release = world.planned()
    world.evidence("1.3.0")
    with world.acting_as("developer"):
        requested = request(release.pk, environment_id=world.environments["development"].pk)
        schedule(requested.pk)
    with acting(WORKER):
        enqueue(requested.pk)
    return world.fresh(requested)


def test_its_steps_run_with_the_values_of_the_environment(
    world: Any, deployment: Deployment, working: Callable[[], Any]
) -> None:
    with working():
        run_from(deployment.steps.get(state="ready").pk)
    steps = {step.label_en: step.state for step in deployment.steps.all()}
    assert steps == {"Greet": "succeeded", "Greeted": "succeeded"}
    root = Path(world.targets["development"].root)
    assert [file.read_text() for file in root.rglob("greeting.txt")] == ["here\n"]
    assert deployment.process is not None and deployment.process.number == 1


def test_steps_with_other_values_are_refused(world: Any, deployment: Deployment) -> None:
    """A claim compares each step with the approved plan, as it has its values there."""
    _require_steps_as_planned(deployment, deployment.release)
    step = deployment.steps.get(state="ready")
    alter(step, parameters=step.parameters | {"argv": ["/bin/sh", "-c", "echo everywhere > greeting.txt"]})
    with pytest.raises(GateNotPassed, match="differ from the approved step plan"):
        _require_steps_as_planned(deployment, deployment.release)
