"""A worker killed by SIGKILL in the middle of a batch: its own target is taken over, the others are not touched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from environments.targets.target import journal_lines
from releases.models import Deployment, Step
from releases.queries.target_spec import spec_of
from tests.chaos.running import Point, Running, command, queues_url, until
from tests.chaos.test_kill import kill
from tests.releases.conftest import World
from tests.releases.worker.several import Site, step_on


@pytest.fixture
def site(world: World, tmp_path: Path, settings: Any) -> Site:
    """Production with three targets: main, b and c."""
    settings.RQ_QUEUES = {name: {**row, "URL": queues_url()} for name, row in settings.RQ_QUEUES.items()}
    return Site(world, tmp_path, "production")


@pytest.fixture
def begun(site: Site, database: str, tmp_path: Path, point: Point, request: Any) -> Iterator[Running]:
    """A deployment to main, then to b and c, whose command is held in the second batch; `param`: may it be repeated."""
    (point.folder / "armed").unlink()
    deployment = site.approved(command("all", repeatable=request.param, point=point.folder), pause_seconds=2)
    running = Running(database, deployment, site.root("main"), tmp_path)
    running.scheduler()
    for _number in range(2):
        running.worker()
    until("the first batch to end", lambda: halves(site, "main")["all ended"])
    (point.folder / "armed").touch()
    yield running
    running.end()


def halves(site: Site, name: str) -> Counter[str]:
    """What the command wrote on a target."""
    path = site.root(name) / "tally"
    return Counter(path.read_text().splitlines() if path.exists() else [])


def on(running: Running, name: str) -> Step:
    """The step on a target."""
    return step_on(Deployment.objects.get(pk=running.deployment_id), name)


def effects(site: Site, running: Running, name: str) -> Counter[str]:
    """What the journal of a target says of its step."""
    target = next(target for target in site.targets if target.name == name)
    key = f"{running.deployment_id}/{on(running, name).ordinal}/"
    return Counter(line["effect"] for line in journal_lines(spec_of(target)) if line["key"].startswith(key))


def interrupted(site: Site, running: Running, point: Point) -> tuple[str, str]:
    """Kill the worker that is held once its neighbour is through; return the target of each."""
    point.announced()
    other = until(
        "the neighbour to be through",
        lambda: next((name for name in ("b", "c") if on(running, name).state == "succeeded"), ""),
    )
    held = "c" if other == "b" else "b"
    assert halves(site, held)["all began"] and not halves(site, held)["all ended"]
    kill(int(on(running, held).owner.rpartition(":")[2]), also=True)
    return held, other


ONCE = {"command:started": 1, "command:done": 1}


@pytest.mark.timeout(90)
@pytest.mark.parametrize("begun", [True], indirect=True, ids=["repeatable"])
def test_the_target_of_a_killed_worker_is_taken_over(site: Site, begun: Running, point: Point) -> None:
    held, other = interrupted(site, begun, point)
    assert begun.comes_to("verifying", "awaiting_decision") == "verifying"
    assert outcomes(begun, held) == ["worker_lost", "succeeded"]
    assert effects(site, begun, held) == {"command:started": 2, "command:done": 1}
    assert effects(site, begun, "main") == effects(site, begun, other) == ONCE
    assert halves(site, held) == {"all began": 2, "all ended": 1}
    assert outcomes(begun, other) == outcomes(begun, "main") == ["succeeded"]


@pytest.mark.timeout(90)
@pytest.mark.parametrize("begun", [False], indirect=True, ids=["once"])
def test_a_person_is_asked_about_the_one_target(site: Site, begun: Running, point: Point) -> None:
    held, other = interrupted(site, begun, point)
    assert begun.comes_to("verifying", "awaiting_decision") == "awaiting_decision"
    assert effects(site, begun, held) == {"command:started": 1}
    assert effects(site, begun, "main") == effects(site, begun, other) == ONCE
    states = {name: on(begun, name).state for name in ("main", "b", "c")}
    assert states == {"main": "succeeded", other: "succeeded", held: "outcome_unknown"}


def outcomes(running: Running, name: str) -> list[str]:
    """The outcomes of the attempts at the step on a target."""
    return [attempt.outcome for attempt in on(running, name).attempts.order_by("fencing_token")]
