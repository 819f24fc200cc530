"""Two schedulers, one of them killed, and twenty workers over many deployments that are due at once: each starts
exactly once.
"""

from __future__ import annotations

import dataclasses
import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
import redis

from tests.chaos.running import Running, command, queues_url, until
from tests.conftest import seconded
from tests.releases.conftest import World
from tests.releases.gates.asking import alter

RUNS, WORKERS = 12, 20
PATIENCE = 500.0
# A process that gets no time from a busy machine for so long is not dead: these tests are about starting alone.
CALM = {"RINGI_LEASE_DURATION": "60", "RINGI_HEARTBEAT_INTERVAL": "5"}
ONCE = [f"{name} {half}" for name in ("first", "second", "third") for half in ("began", "ended")]
HOLDER = """
SELECT a.pid, application_name FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.granted AND datname = %s AND application_name LIKE 'scheduler-%%'
"""


def _another(world: World, number: int, folder: Path) -> World:
    """Return the world with an application of its own, its targets in development and production, and an open
    window.
    """
    from environments.operations.configuration.create import create
    from releases.operations.application.create import create_application
    from releases.operations.target.set_settings import create_target

    development = world.environments["development"]
    roots = {name: folder / f"target-{number}-{name}" for name in ("development", "production")}
    for root in roots.values():
        root.mkdir()
    with world.acting_as("manager"):
        application = create_application(
            slug=f"sample-{number}",
            name=f"Sample {number}",
            repository=str(world.built.path),
            signers=world.built.allowed_signers.read_text(),
        )
        targets = {
            name: seconded(
                create_target(
                    application_id=application.pk,
                    environment_id=world.environments[name].pk,
                    root=str(root),
                    settings={},
                ),
                world.acting_as,
            )
            for name, root in roots.items()
        }
        configuration = create(
            application_id=application.pk,
            environment_id=development.pk,
            values={"PORT": "8080"},
            secrets={},
            reason="one of many",
        )
    made = dataclasses.replace(
        world, application=application, targets=targets, configurations={"development": configuration}
    )
    made.open_window()
    return made


def _due(world: World) -> Any:
    """Schedule a deployment to development for now."""
    from releases.operations.deployment.request import request
    from releases.operations.deployment.schedule import schedule

    steps = {
        "deployment": [command("first"), command("second")],
        "verification": [command("third")],
        "rollback": [],
        "rollback_verification": [],
    }
    release = alter(world.planned(), step_plan=steps)
    world.evidence("1.3.0")
    with world.acting_as("developer"):
        deployment = request(release.pk, environment_id=world.environments["development"].pk)
        schedule(deployment.pk)
    return world.fresh(deployment)


@pytest.fixture
def due(world: World, database: str, tmp_path: Path, settings: Any) -> Iterator[list[Running]]:
    """Many deployments that are due now, of as many applications; nothing that a test starts for them is left."""
    settings.RQ_QUEUES = {name: {**row, "URL": queues_url()} for name, row in settings.RQ_QUEUES.items()}
    found = []
    for number in range(RUNS):
        own = _another(world, number, tmp_path)
        found.append(Running(database, _due(own), Path(own.targets["development"].root), tmp_path))
    found[0].redis.flushdb()
    yield found
    for running in found:
        running.end()


@pytest.mark.timeout(1200)
def test_every_due_deployment_starts_exactly_once(due: list[Running]) -> None:
    from audit.models import Event, Outbox
    from releases.models import Deployment, Step, StepAttempt

    first = due[0]
    numbers = [running.deployment_id for running in due]
    workers = [first.process("worker", "development", **CALM) for _ in range(WORKERS)]
    until("the workers to listen", lambda: _listening(first.redis) == WORKERS, PATIENCE)
    assert set(Deployment.objects.filter(pk__in=numbers).values_list("state", flat=True)) == {"scheduled"}
    schedulers = {
        name: first.process("scheduler", RINGI_PROCESS=name, **CALM) for name in ("scheduler-a", "scheduler-b")
    }
    until("a first run to start", Deployment.objects.filter(started_at__isnull=False).exists, PATIENCE)
    (acting,) = _holders(first)
    os.kill(schedulers[acting].pid, signal.SIGKILL)
    (other,) = set(schedulers) - {acting}
    until("the other scheduler to act", lambda: _holders(first) == [other], PATIENCE)
    until(
        "all runs to succeed",
        lambda: Deployment.objects.filter(pk__in=numbers, state="succeeded").count() == RUNS,
        PATIENCE,
    )
    for running in due:
        assert running.tally() == ONCE, running.deployment_id
        effects = [(line["effect"], line["fencing_token"]) for line in running.journal()]
        assert effects == [("command:started", 1), ("command:done", 1)] * 3
    steps = Step.objects.filter(deployment__in=numbers)
    attempts = Counter(StepAttempt.objects.filter(step__in=steps).values_list("step", flat=True))
    assert set(attempts.values()) == {1} and len(attempts) == steps.count()
    queued = Counter(
        Event.objects.filter(kind="operation", operation="deployment:enqueue").values_list("object", flat=True)
    )
    assert queued == {f"releases.Deployment:{pk}": 1 for pk in numbers}
    started = Counter(Outbox.objects.filter(event="deployment:start").values_list("object", flat=True))
    assert started == {f"releases.Step:{pk}": 1 for pk in steps.filter(ordinal=1).values_list("pk", flat=True)}
    assert [worker.poll() for worker in workers] == [None] * WORKERS
    assert schedulers[other].poll() is None


def _listening(queue: redis.Redis) -> int:
    return int(queue.scard("rq:workers:development"))


def _holders(running: Running) -> list[str]:
    with psycopg.connect(os.environ["DATABASE_SERVER_URL"]) as server:
        rows = server.execute(HOLDER, [urlsplit(running.database).path.strip("/")]).fetchall()
    return [name for _pid, name in rows]
