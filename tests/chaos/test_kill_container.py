"""The kill matrix of the step that replaces a container: its worker is killed at each moment, its engine with it or
alone; the container that runs in the end was started once, by the wanted digest.
"""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from config.development.ports import free_port
from releases.admin.pages.deployment_process.page import template_text
from tests.chaos.running import LEASE, Point, Running, command, step
from tests.chaos.test_kill import kill
from tests.chaos.test_matrix import AFTER_INTENT, BEFORE_INTENT, BEFORE_OUTCOME
from tests.containers import Containers, containers_or_skip
from tests.releases.conftest import World
from tests.releases.gates.asking import alter
from tests.releases.operations.test_artefacts import registered
from tests.releases.operations.test_deployment_processes import made, put

# The engine is held before it does the work of its command; "": the worker is held there.
MOMENTS = {
    "before intent": (BEFORE_INTENT, ""),
    "after intent": (AFTER_INTENT, ""),
    "while it is pulled": ("", "pull"),
    "while the old one is stopped": ("", "stop"),
    "while the old one is removed": ("", "rm"),
    "before it is started": ("", "run"),
    "before it serves": ("call _wait_until_serving container.py", ""),
    "before the outcome": (BEFORE_OUTCOME, ""),
}
STARTS = "echo served >> /target/tally; exec /bin/busybox httpd -f -p $PORT -h /www"


@pytest.fixture(scope="module")
def site() -> Iterator[Containers]:
    yield from containers_or_skip()


class Place:
    """Production with the container of an earlier image, and the image that is to replace it."""

    def __init__(self, world: World, site: Containers, held: Path, engine_at: str) -> None:
        self.site, self.port = site, free_port()
        self.name, self.root = f"app-{self.port}", Path(world.targets["production"].root)
        self.before, self.wanted = (site.image("app", page, start=STARTS) for page in ("before", "wanted"))
        self.options = ["--network", "host", "--env", f"PORT={self.port}", "--volume", f"{self.root}:/target"]
        self.start(self.before)
        self.engine = held / "engine"
        self.engine.mkdir()
        # Announces itself as the points of the tests do.
        (self.engine / "podman").write_text(
            f'#!/bin/sh\nif [ "$1" = "{engine_at}" ] && mv {held}/armed {held}/fired 2>/dev/null; then\n'
            f'  echo $$ > {held}/inside; read -r word < {held}/go\nfi\nexec {site.folder}/bin/podman "$@"\n'
        )
        (self.engine / "podman").chmod(0o755)

    def start(self, digest: str) -> None:
        image = f"{self.site.registry}/app@sha256:{digest}"
        self.site.podman("run", "--detach", "--name", self.name, *self.options, image)

    def settings(self) -> dict[str, Any]:
        return {
            "container": {"name": self.name, "options": self.options},
            "service": {
                "ready": {"url": f"http://127.0.0.1:{self.port}/", "seconds": 20},
                "stable_seconds": 0.3,
                "stop_seconds": 1,
            },
        }

    def environment(self) -> dict[str, str]:
        return {"RINGI_LOCAL_CONTAINERS": "1", "PATH": f"{self.engine}:{os.environ['PATH']}"}

    def page(self) -> str:
        return httpx.get(f"http://127.0.0.1:{self.port}/", timeout=5).text


@pytest.fixture
def place(world: World, site: Containers, point: Point, moment: str) -> Iterator[Place]:
    """That place; releases deploy an image, verified in staging."""
    there = Place(world, site, point.folder, MOMENTS[moment][1])
    target = world.targets["production"]
    alter(target, options={**target.options, **there.settings()})
    put(world, made(world, template_text("containers")))
    artefact = registered(world, there.wanted, kind="image", reference=f"{site.registry}/app")
    verified = world.verified_deployment

    def with_image(release: Any, environment: str) -> Any:
        deployment = verified(release, environment)
        return alter(deployment, previous={**deployment.previous, "wanted": {"artefact": artefact.facts}})

    world.verified_deployment = with_image
    yield there
    site.podman("rm", "--force", "--time", "0", there.name, code=None)


def cells() -> Iterator[Any]:
    """Yield (moment, killed)."""
    for moment, (_place, engine_at) in MOMENTS.items():
        for killed in ("worker", "both", "engine") if engine_at else ("worker",):
            yield pytest.param(moment, killed, id=f"{moment}-{killed}".replace(" ", "_"))


@pytest.mark.timeout(240 * LEASE, func_only=True)
@pytest.mark.parametrize(("moment", "killed"), list(cells()))
def test_a_container_is_replaced_once(
    moment: str,
    killed: str,
    place: Place,
    scheduled_deployment: Callable[[list[dict[str, Any]]], Running],
    point: Point,
) -> None:
    running = scheduled_deployment([step("container"), command("after")])
    running.scheduler()
    worker_at = MOMENTS[moment][0]
    points = {"PYTHONPATH": str(Path(__file__).parent / "points"), "CHAOS_POINT": worker_at}
    points = points | {"CHAOS_FOLDER": str(point.folder)} if worker_at else {}
    workers = [running.process("worker", "production", **place.environment(), **points) for _ in range(2)]
    held = point.announced()
    worker = held if worker_at else running.owner(1)
    assert worker in [process.pid for process in workers]
    if killed == "engine":
        os.kill(held, signal.SIGKILL)
        assert running.comes_to("verifying", "awaiting_decision") == "awaiting_decision"
        assert [attempt.outcome for attempt in running.attempts(1)] == ["failed"]
        assert running.journal(ordinal=1) == [] and "after began" not in running.tally()
        return
    kill(worker, also=killed == "both")

    assert running.comes_to("verifying", "awaiting_decision") == "verifying"
    outcomes = [attempt.outcome for attempt in running.attempts(1)]
    assert outcomes[-1] == "succeeded" and set(outcomes[:-1]) <= {"worker_lost"}
    assert len(outcomes) > (moment != "before intent")
    assert Counter(line["effect"] for line in running.journal(ordinal=1)) == {"container:started": 1}
    assert running.step(1).result["code"] == place.wanted and place.page() == "wanted"
    # The earlier container, and the wanted one once.
    assert running.tally() == ["served", "served", "after began", "after ended"]
    (shown,) = json.loads(place.site.podman("inspect", place.name))
    assert shown["ImageDigest"] == f"sha256:{place.wanted}" and shown["RestartCount"] == 0
