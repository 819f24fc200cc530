"""A verification ends with a look at the started service; an unproved start awaits a person."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from audit.actor import acting
from config.development.ports import free_port
from environments.targets.service_proof import running_service
from releases.models import Deployment
from releases.operations.deployment.enqueue import enqueue
from releases.operations.step.resume import mark_succeeded
from releases.step_types.service_control import stop_service
from releases.worker.executor import run_from
from tests.releases.gates.asking import alter

from .conftest import TRUE, WORKER, first, row, states

START = {**row(["x"]), "step_type": "service_control", "parameters": {"action": "restart"}}
KILL = "import json, os; os.kill(json.load(open('.ringi/service.json'))['pid'], 9)"
SERVE = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1"]


@pytest.fixture
def place(world: Any) -> Iterator[Callable[..., Path]]:
    """Return a function: give a target a current tree and a service; a service started there is stopped."""
    roots: list[Path] = []

    def lay(environment: str, **service: Any) -> Path:
        target = world.targets[environment]
        root = Path(target.root)
        (root / "releases" / "tree").mkdir(parents=True)
        (root / "current").symlink_to("releases/tree")
        port = free_port()
        usual = {"start": [*SERVE, str(port)], "stable_seconds": 0.1, "ready": {"url": f"http://127.0.0.1:{port}/"}}
        alter(target, options={"service": usual | service})
        roots.append(root)
        return root

    yield lay
    for root in roots:
        if record := running_service(root):
            stop_service(record, 1, lambda: None)


def work(deployment: Deployment) -> None:
    with acting(WORKER):
        run_from(first(deployment).pk)


def test_a_service_that_serves_to_the_end_is_verified(
    queued: Callable[..., Deployment], place: Callable[..., Path]
) -> None:
    place("development")
    deployment = queued(START)
    work(deployment)
    assert states(deployment) == ["succeeded", "succeeded"], [step.failure for step in deployment.steps.all()]
    assert first(deployment).result["proved_by"] == "port"


@pytest.mark.parametrize("replaced", [False, True])
def test_a_service_that_died_or_was_replaced_during_the_checks_fails_the_verification(
    queued: Callable[..., Deployment], place: Callable[..., Path], replaced: bool, world: Any
) -> None:
    root = place("development")
    command = world.fresh(world.targets["development"]).options["service"]["start"]
    other = f"; import subprocess; p = subprocess.Popen({command!r}, start_new_session=True, stdout=-3, stderr=-3)"
    other += "; open('other', 'w').write(str(p.pid))"
    deployment = queued(START, verify=(row([sys.executable, "-c", KILL + (other if replaced else "")]),))
    work(deployment)
    if replaced:
        os.kill(int((root / "other").read_text()), signal.SIGKILL)
    assert states(deployment) == ["succeeded", "failed"]
    assert "no longer serves: the process that was started has ended" in deployment.steps.last().failure
    assert "verification" not in world.fresh(deployment).measured, "an unmeasured service cannot be verified"


def test_an_unproved_start_awaits_a_person_and_continues_with_their_decision(
    approved_deployment: Callable[..., Deployment], place: Callable[..., Path], world: Any
) -> None:
    place("production", ready=None)
    deployment = approved_deployment(START, verify=(row(TRUE),))
    with acting(WORKER):
        enqueue(deployment.pk)
    work(deployment)
    deployment = world.fresh(deployment)
    step = first(deployment)
    assert (deployment.state, step.state) == ("awaiting_decision", "outcome_unknown")
    assert "service.version" in step.failure and step.result["pid"]
    with world.acting_as("second_operator"):
        mark_succeeded(step.pk, reason="looked at it: it serves")
    with acting(WORKER):
        run_from(deployment.steps.last().pk)
    assert states(deployment) == ["succeeded", "succeeded"], [row.failure for row in deployment.steps.all()]
