"""One change from plan to verified in production, made once per process; each test gets a copy of its database."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from audit.actor import Actor, acting
from releases.demo.repository import Built
from tests import conftest
from tests.conftest import _connected, _named, _server, enters
from tests.releases.conftest import World, made_world

WORKER = Actor(account_id=None, name="worker-1", kind="worker", channel="worker")


@dataclass(frozen=True)
class Made:
    """The database with the change, the folder of the sealer that signed it, and the run."""

    database: str
    sealer: Path
    run: int


def executed(world: World, run: Any) -> Any:
    """Let a worker finish every step of a scheduled run, without a target; return the run, being verified."""
    from releases.actions.deployment.queue import queue
    from releases.actions.step.claim import claim
    from releases.actions.step.finish import finish

    measured = {"code": world.built.trees[f"v{run.release.version}"], "configuration": "c" * 64, "data": "d" * 64}
    with acting(WORKER):
        queue(run.pk)
        steps = list(run.steps.order_by("ordinal"))
        for step in steps:
            claimed = claim(step.pk, worker="worker-1")
            assert claimed is not None, step
            last = step is steps[-1]
            finish(
                step.pk,
                epoch=claimed.epoch,
                result={"verdict": "pass", "value": "ok"} if step.phase == "verify" else {"done": True},
                output_digest="e" * 64,
                measured=measured if last else None,
            )
    return world.fresh(run)


def verified(world: World, run: Any) -> Any:
    """Let the second operator say that a run is as it should be."""
    from releases.actions.deployment.verified import verify
    from releases.actions.release.steps import manual_checks

    keys = tuple(c.key for c in manual_checks(run.release.procedure.document, "deployment"))
    with world.acting_as("second_operator"):
        verify(run.pk, confirmed=keys)
    return world.fresh(run)


def seal(folder: Path) -> Any:
    """Sign a checkpoint over all that there is; return the sealer."""
    from audit.ledger.checkpoint import Sealer

    sealer = Sealer(folder)
    conftest.seal(sealer)
    return sealer


def _people() -> dict[str, Any]:
    from environments.models import Account

    return {account.username: account for account in Account.objects.all()}


def _clone(connection: psycopg.Connection[Any], of: str) -> str:
    name = f"ringi_test_{uuid.uuid4().hex[:16]}"
    connection.execute(
        sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY").format(sql.Identifier(name), sql.Identifier(of))
    )
    return name


def _drop(connection: psycopg.Connection[Any], name: str) -> None:
    connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def made(
    template_database: str,
    django_db_blocker: Any,
    sample_repository: Built,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Made]:
    """The database that each test copies."""
    from django.utils import translation

    folder = tmp_path_factory.mktemp("audited")
    with psycopg.connect(_server(), autocommit=True) as connection:
        name = _clone(connection, template_database)
        try:
            with (
                django_db_blocker.unblock(),
                _connected(os.environ["DATABASE_URL"], name),
                translation.override("en"),
            ):
                people = _people()
                world = made_world(people, enters(people), sample_repository, folder)
                run = verified(world, executed(world, world.scheduled()))
                seal(folder / "sealer")
            yield Made(name, folder / "sealer", run.pk)
        finally:
            _drop(connection, name)


@pytest.fixture
def database(made: Made, django_db_blocker: Any) -> Iterator[str]:
    """A copy of it of the test's own, in place of an empty one."""
    with psycopg.connect(_server(), autocommit=True) as connection:
        name = _clone(connection, made.database)
        try:
            with django_db_blocker.unblock(), _connected(os.environ["DATABASE_URL"], name):
                yield _named(os.environ["DATABASE_URL"], name)
        finally:
            _drop(connection, name)


@pytest.fixture
def run(made: Made, database: str) -> Any:
    """The run in production."""
    from releases.models import Deployment

    return Deployment.objects.get(pk=made.run)


@pytest.fixture
def again(people: dict[str, Any], acting_as: Callable[..., Any], sample_repository: Built, tmp_path: Path) -> World:
    """The verbs of the world over the copied rows."""
    from environments.models import Application, ConfigurationVersion, Environment, Target

    return World(
        application=Application.objects.get(),
        environments={e.slug: e for e in Environment.objects.all()},
        targets={t.environment.slug: t for t in Target.objects.select_related("environment")},
        built=sample_repository,
        acting_as=acting_as,
        people=people,
        configurations={c.environment.slug: c for c in ConfigurationVersion.objects.select_related("environment")},
    )
