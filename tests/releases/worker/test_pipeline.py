"""A worker deploys by somebody else's pipeline, again with the next version, and back with the earlier one."""

from __future__ import annotations

from typing import Any

import pytest

from audit.actor import acting
from releases.gates.rehearsal import rehearsed
from releases.models import DeployedVersion, Deployment, Procedure, Release
from releases.operations.deployment.enqueue import enqueue
from releases.operations.deployment.request import request
from releases.operations.deployment.schedule import schedule
from releases.operations.deployment_process.create import create
from releases.operations.rollback import decide as rollbacks
from releases.operations.rollback.start import start_rollback
from releases.procedures.process import Process
from releases.queries.procedure_types import procedure_types
from releases.worker.executor import run_from
from tests.releases.gates.asking import alter, walk
from tests.releases.step_types.pipeline_server import Server, serving

from .conftest import WORKER

TEXT = """
format = 1
triggers = []
[[plans.deployment]]
key = "pipeline"
en = "Deploy by the pipeline"
type = "pipeline_run"
parameters.provider = "webhook"
parameters.url = "URL"
parameters.inputs = { version = "{version}" }
parameters.poll_seconds = "POLL"
estimate_seconds = 1
required = true
[[plans.rollback]]
key = "pipeline_back"
en = "Deploy the earlier version"
type = "pipeline_run"
parameters.provider = "webhook"
parameters.url = "URL"
parameters.inputs = { version = "{version}" }
estimate_seconds = 1
required = true
[[checks]]
key = "there"
en = "There"
when = "deployment"
maintenance = "after"
type = "command"
parameters.argv = ["/bin/true"]
required = true
[[checks]]
key = "back"
en = "Back"
when = "rollback"
maintenance = "after"
type = "command"
parameters.argv = ["/bin/true"]
required = true
"""


def _run(world: Any, deployment: Deployment) -> Deployment:
    with acting(WORKER):
        run_from(deployment.steps.filter(state="ready").earliest("ordinal").pk)
    return world.fresh(deployment)


def _process(world: Any, server: Server, artefact: str = "") -> None:
    target = world.targets["development"]
    alter(target, options={**target.options, "http_hosts": [f"127.0.0.1:{server.port}"]})
    text = TEXT.replace("URL", server.url).replace('parameters.poll_seconds = "POLL"\n', "")
    text = text.replace("triggers = []\n", f"{artefact}triggers = []\n")
    procedure = Procedure.objects.get(state="in_effect").document
    with world.acting_as("developer"):
        process = Process.from_toml(text, procedure, **procedure_types())
        create(application_id=world.application.pk, content=process, reason="as CI does it")
    server.states = ("success",)


def _deployed(world: Any, release: Release) -> Deployment:
    with world.acting_as("developer"):
        deployment = request(release.pk, environment_id=world.environments["development"].pk)
        schedule(deployment.pk)
    with acting(WORKER):
        enqueue(deployment.pk)
    deployment = _run(world, world.fresh(deployment))
    assert deployment.state == "succeeded", [step.failure for step in deployment.steps.all()]
    return deployment


def _rolled_back(world: Any, deployment: Deployment) -> Deployment:
    with world.acting_as("operator"):
        alarm = rollbacks.raise_(deployment.pk, cause="rehearsal", note="as an exercise")
    counted, who = {**alarm.facts, "rows_total": 0}, world.people["second_operator"]
    walk(alter(alarm, facts=counted, authorised_by=who), "assess", "authorise")
    with acting(WORKER):
        start_rollback(alarm.pk)
    return _run(world, deployment)


@pytest.mark.parametrize("artefact", ["", 'artefact = "image"\n'])
def test_forth_twice_and_back(world: Any, artefact: str) -> None:
    with serving("webhook") as server:
        _process(world, server, artefact)
        release = world.planned()
        world.evidence("1.3.0")
        if artefact:
            from tests.releases.operations.test_artefacts import registered

            registered(world, kind="image", reference="registry.example.org/app")
        deployment = [_deployed(world, release) for _time in range(2)][-1]
        assert [run.inputs["version"] for run in server.runs] == ["1.3.0", "1.3.0"]
        deployment = _rolled_back(world, deployment)
        assert deployment.state == "rolled_back", [deployment.blockers, deployment.steps.last()]
        assert len(server.runs) == 3 and server.runs[2].key.startswith(f"ringi-{deployment.pk}-")


def test_a_first_version_that_no_pipeline_has_removed_is_not_rolled_back(world: Any) -> None:
    """It runs on: neither the deployed version nor the gate of the rehearsal may say something else."""
    with serving("webhook") as server:
        _process(world, server)
        release = world.planned()
        world.evidence("1.3.0")
        deployment = _rolled_back(world, _deployed(world, release))
        assert deployment.state == "rollback_failed" and len(server.runs) == 1
        assert "no earlier version" in deployment.steps.get(phase="rollback").failure
        pointer = DeployedVersion.established(world.application, deployment.environment)
        assert pointer is not None and pointer.release == release
        assert rehearsed(release, world.environments["production"]) is None
