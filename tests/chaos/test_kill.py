"""Workers killed by SIGKILL at announced points: finished steps run once, repeatable ones go on, the rest asks."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from environments.operations.configuration.create import create
from releases.demo.targets import own_database
from releases.operations.step.report import key_of, report
from tests.chaos.running import SCRIPT, Point, Running, children, command, ended, step, until
from tests.releases.conftest import World
from tests.releases.gates.asking import alter
from tests.releases.step_types.pipeline_server import Server, serving

Begin = Callable[[list[dict[str, Any]]], Running]


@dataclass(frozen=True)
class Victim:
    """A step type: where it is held inside its effect, and the line of the journal that says it was made."""

    name: str
    point: str
    made: str
    goes_on: bool = True


VICTIMS = (
    Victim("command", "", "command:done"),
    Victim("command_once", "", "command:done", goes_on=False),
    Victim("code_deploy", "rename /current code_deploy.py", "code_deploy:switched"),
    Victim(
        "configuration_update", "append .ringi/journal.jsonl configuration_update.py", "configuration_update:written"
    ),
    Victim("database_update", "", "database_update:migrated"),
    Victim("pipeline_run", "", "pipeline_run:done"),
)


@pytest.fixture
def target_database(world: World, point: Point) -> Iterator[str]:
    """A database of production's target, with a migration that is held in its middle."""
    from audit.operation import operation
    from environments.models import DeploymentTarget

    address = own_database("chaos")
    script = SCRIPT
    made = {
        "migrate": [*script, "migrate", address, str(point.folder)],
        "migrate_check": [*script, "check", address],
        "postgres_bin": os.environ.get("POSTGRES_BIN", ""),
    }
    production = world.environments["production"]
    with world.acting_as("manager"):
        with operation("target:create", (DeploymentTarget, world.targets["production"].pk)) as op:
            op.get(DeploymentTarget).options = made
        world.configurations["production"] = create(
            application_id=world.application.pk,
            environment_id=production.pk,
            values={"PORT": "8080"},
            secrets={"DATABASE_URL": address},
            reason="with a database",
        )
    yield address


@pytest.fixture
def pipeline(world: World) -> Iterator[Server]:
    """A pipeline whose run goes on until it is told to end; production's steps may call it."""
    from environments.models import DeploymentTarget

    with serving("webhook") as server:
        server.states = ("running",)
        target = DeploymentTarget.objects.get(pk=world.targets["production"].pk)
        alter(target, options={**target.options, "http_hosts": [f"127.0.0.1:{server.port}"]})
        with world.acting_as("manager"):
            world.configurations["production"] = create(
                application_id=world.application.pk,
                environment_id=world.environments["production"].pk,
                values={"PORT": "8080"},
                secrets={"PIPELINE_TOKEN": "token-word-1234"},
                reason="with a pipeline",
            )
        yield server


def _victim_step(victim: Victim, point: Point, pipeline: Server | None) -> dict[str, Any]:
    if pipeline is not None:
        return step("pipeline_run", provider="webhook", url=pipeline.url, poll_seconds=0.1)
    if victim.name.startswith("command"):
        return command("second", repeatable=victim.goes_on, point=point.folder)
    return step(victim.name)


@pytest.mark.timeout(90)
@pytest.mark.parametrize("killed", ["worker", "both"])
@pytest.mark.parametrize("moment", ["during the effect", "before the outcome"])
@pytest.mark.parametrize("victim", VICTIMS, ids=lambda row: row.name)
def test_a_killed_worker_costs_no_step_and_doubles_none(
    victim: Victim, moment: str, killed: str, scheduled_deployment: Begin, point: Point, request: pytest.FixtureRequest
) -> None:
    address = request.getfixturevalue("target_database") if victim.name == "database_update" else ""
    pipeline: Server | None = request.getfixturevalue("pipeline") if victim.name == "pipeline_run" else None
    running = scheduled_deployment([command("first"), _victim_step(victim, point, pipeline), command("third")])
    running.scheduler()
    workers = [running.worker(victim.point, point if victim.point else None) for _ in range(2)]
    if pipeline is None:
        point.announced()
    else:
        until("the run to be followed", lambda: running.journal("pipeline_run:started", 2))

    def go_on() -> None:
        if pipeline is None:
            point.let_go()
        else:
            pipeline.runs[0].states = ["success"]

    worker = running.owner(2)
    assert worker in [process.pid for process in workers]
    if moment == "during the effect":
        kill(worker, also=killed == "both")
    else:
        with running.outcome_held(2):
            go_on()
            until("the effect to be made", lambda: running.journal(victim.made, 2))
            kill(worker, also=killed == "both")
    if pipeline is not None:
        go_on()
    asks = moment == "during the effect" and not victim.goes_on
    assert running.comes_to("verifying", "awaiting_decision") == ("awaiting_decision" if asks else "verifying")
    assert [attempt.outcome for attempt in running.attempts(2)][0] == "worker_lost"
    assert running.step(2).state == ("outcome_unknown" if asks else "succeeded")
    _ran_once(running, asks)
    _effect_is_right(victim, moment, running, address)
    if pipeline is not None:
        assert len(pipeline.runs) == 1, "the run is found again, and no second one started"


@pytest.mark.timeout(90)
def test_a_report_reaches_a_deployment_whose_processes_were_killed(world: World, scheduled_deployment: Begin) -> None:
    """Nobody holds a step that waits for a report; the report comes while no process of Ringi's workers lives."""
    waits = step("external", task="Deploy by the portal", account="ci")
    running = scheduled_deployment([command("first"), waits, command("third")])
    processes = [running.scheduler(), running.worker(), running.worker()]
    running.comes_to("running")
    until("the report to be waited for", lambda: (row := running.step(2)).state == "running" and not row.owner)
    for process in processes:
        kill(process.pid, also=True)
    assert running.step(2).owner == "" and running.tally() == ["first began", "first ended"]
    with world.acting_as("ci"):
        given = {"says": "four targets", "url": "https://ci.example/7"}
        report(running.deployment_id, key=key_of(running.step(2)), result="succeeded", **given)
    assert running.step(3).state == "pending", "nothing goes on by itself"
    running.scheduler()
    running.worker()
    assert running.comes_to("verifying", "awaiting_decision") == "verifying"
    assert running.attempts(2)[-1].outcome == "succeeded"
    _ran_once(running, False)


def kill(worker: int, *, also: bool) -> None:
    """Kill a worker, and with `also` its programs at the same time; they end with it in any case."""
    programs = children(worker)
    for pid in (*(programs if also else []), worker):
        os.kill(pid, signal.SIGKILL)
    until("the worker and its programs to end", lambda: all(ended(pid) for pid in (worker, *programs)))


def _ran_once(running: Running, asks: bool) -> None:
    """The finished steps ran once: by their own writing, by the target's journal, and by their attempts."""
    finished = {1: "first"} if asks else {1: "first", 3: "third"}
    for ordinal, name in finished.items():
        assert [line for line in running.tally() if line.startswith(name)] == [f"{name} began", f"{name} ended"]
        effects = [line["effect"] for line in running.journal(ordinal=ordinal)]
        assert effects == ["command:started", "command:done"]
        assert len(running.attempts(ordinal)) == 1
    if asks:
        assert running.step(3).state == "pending"
        assert running.journal(ordinal=3) == []


def _effect_is_right(victim: Victim, moment: str, running: Running, address: str) -> None:
    effects = Counter(line["effect"] for line in running.journal(ordinal=2))
    halves = Counter(line for line in running.tally() if line.startswith("second"))
    interrupted = moment == "during the effect"
    if victim.name == "command":
        assert effects == {"command:started": 1 + interrupted, "command:done": 1}
        assert halves == {"second began": 1 + interrupted, "second ended": 1}
    elif victim.name == "command_once":
        assert effects == {"command:started": 1, **({} if interrupted else {"command:done": 1})}
        assert halves == {"second began": 1, **({} if interrupted else {"second ended": 1})}
    else:
        assert effects[victim.made] == 1
    if victim.name == "code_deploy":
        assert effects["code_deploy:laid"] == 1
        assert (running.root / "current" / "dataset_service").is_dir()
    if victim.name == "configuration_update":
        assert 'PORT="8080"' in (running.root / "shared" / "config.env").read_text()
    if victim.name == "database_update":
        assert effects["database_update:started"] == 1
        with psycopg.connect(address) as connection:
            assert connection.execute("SELECT batch FROM batches ORDER BY 1").fetchall() == [(1,), (2,)]
