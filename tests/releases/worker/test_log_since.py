"""Log lines count from the start of the service under test: the lines of the one before it do not."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from audit.actor import acting
from environments.targets.service_proof import running_service
from releases.models import Deployment
from releases.step_types.service_control import stop_service
from releases.worker.executor import run_from
from tests.releases.gates.asking import alter

from .conftest import WORKER, first, row, states

CHECK = {**row(["x"]), "step_type": "check", "parameters": {"check": "log", "parameters": {"pattern": "ERROR"}}}
START = {**row(["x"]), "step_type": "service_control", "parameters": {"action": "start"}}


def writing(line: str, then: str = "") -> list[str]:
    """A program that writes a line with the present time, in milliseconds, to a given file or to its output."""
    stamp = "datetime.datetime.now(datetime.UTC).isoformat(timespec='milliseconds')"
    code = f"import datetime, sys, time; print({stamp}, {line!r}, file=open(sys.argv[1], 'a'), flush=True); {then}"
    return [sys.executable, "-c", code]


@pytest.fixture
def place(world: Any) -> Iterator[Path]:
    """The root of the target, which has a current tree; a service that was started there is stopped."""
    root = Path(world.targets["development"].root)
    (root / "releases" / "tree").mkdir(parents=True)
    (root / "shared").mkdir()
    (root / "current").symlink_to("releases/tree")
    yield root
    if record := running_service(root):
        stop_service(record, 1, lambda: None)


@pytest.mark.parametrize(("line", "state"), [("INFO serves", "succeeded"), ("ERROR cannot serve well", "failed")])
def test_errors_of_the_previous_service_do_not_count_for_the_new_one(
    world: Any, queued: Callable[..., Deployment], place: Path, line: str, state: str
) -> None:
    log = str(place / "shared" / "app.log")
    start = [*writing(line, "time.sleep(60)"), log]
    alter(
        world.targets["development"], options={"service": {"start": start, "without_port": True, "stable_seconds": 0.1}}
    )
    deployment = queued(row([*writing("ERROR the old one, to its last moment"), log]), START, verify=(CHECK,))
    with acting(WORKER):
        run_from(first(deployment).pk)
    assert Path(log).read_text().count("ERROR") == (1 if state == "succeeded" else 2)
    assert states(deployment) == ["succeeded", "succeeded", state], [step.failure for step in deployment.steps.all()]
