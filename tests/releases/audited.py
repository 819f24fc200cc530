"""One change from plan to verified in production, made once per process; each test gets a copy of its database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.utils import translation

from audit.actor import Actor, acting
from releases.demo.repository import Built
from tests import conftest
from tests.conftest import cloned, copied, enters, used
from tests.releases.conftest import World, found_world, made_world

WORKER = Actor(account_id=None, name="worker-1", kind="worker", channel="worker")


@dataclass(frozen=True)
class Made:
    """The database with the change, the folder of the ledger signer that signed it, and the deployment."""

    database: str
    signer: Path
    deployment: int


def executed(world: World, deployment: Any) -> Any:
    """Let a worker finish every step of a scheduled deployment, without a target; return it in verification."""
    from releases.operations.deployment.enqueue import enqueue
    from releases.operations.step.claim import claim
    from releases.operations.step.outcome import record_success

    measured = {
        "code": world.built.trees[f"v{deployment.release.version}"],
        "configuration": "c" * 64,
        "data": "d" * 64,
    }
    with acting(WORKER):
        enqueue(deployment.pk)
        steps = list(deployment.steps.order_by("ordinal"))
        for step in steps:
            claimed = claim(step.pk, worker="worker-1")
            assert claimed is not None, step
            last = step is steps[-1]
            record_success(
                claimed.step,
                fencing_token=claimed.fencing_token,
                result={"result": "passed", "value": "ok"} if step.phase == "verification" else {"done": True},
                output_digest="e" * 64,
                measured=measured if last else None,
            )
    return world.fresh(deployment)


def carry_out_rollback(world: World, rollback: Any) -> Any:
    """Let a worker carry out the authorised rollback, which restores the target; return the row."""
    from releases.operations.rollback.start import start_rollback
    from releases.operations.step.claim import claim
    from releases.operations.step.outcome import record_success

    deployment, as_before = rollback.deployment, {"code": "", "configuration": "", "data": ""}
    with acting(WORKER):
        start_rollback(rollback.pk)
        steps = list(deployment.steps.filter(phase__in=["rollback", "rollback_verification"]).order_by("ordinal"))
        for step, after in zip(steps, [*steps[1:], None], strict=True):
            claimed = claim(step.pk, worker="worker-1")
            assert claimed is not None, step
            restores = step.phase == "rollback" and (after is None or after.phase != "rollback")
            record_success(
                claimed.step,
                fencing_token=claimed.fencing_token,
                result={"done": True},
                measured=as_before if restores else None,
            )
    return world.fresh(rollback)


def verified(world: World, deployment: Any) -> Any:
    """Let the second operator verify a deployment."""
    from releases.operations.deployment.verify import verify
    from releases.queries.step_plan import manual_checks

    keys = tuple(c.key for c in manual_checks(deployment.release.procedure.document, "deployment"))
    with world.acting_as("second_operator"):
        verify(deployment.pk, confirmed=keys)
    return world.fresh(deployment)


def sign_ledger(folder: Path) -> Any:
    """Sign a checkpoint over all events; return the ledger signer."""
    from audit.ledger.checkpoint import LedgerSigner

    signer = LedgerSigner(folder)
    conftest.sign_ledger(signer)
    return signer


def _people() -> dict[str, Any]:
    from environments.models import Account

    return {account.username: account for account in Account.objects.all()}


@pytest.fixture(scope="session")
def made(
    template_database: str, django_db_blocker: Any, sample_repository: Built, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Made]:
    """The database that each test copies."""
    folder = tmp_path_factory.mktemp("audited")
    with copied(template_database) as name:
        with used(name, django_db_blocker), translation.override("en"):
            people = _people()
            world = made_world(people, enters(people), sample_repository, folder)
            deployment = verified(world, executed(world, world.scheduled()))
            sign_ledger(folder / "ledger_signer")
        yield Made(name, folder / "ledger_signer", deployment.pk)


@pytest.fixture
def database(made: Made, django_db_blocker: Any) -> Iterator[str]:
    """The test's own copy of it, in place of an empty database."""
    with cloned(made.database, django_db_blocker) as address:
        yield address


@pytest.fixture
def deployment(made: Made, database: str) -> Any:
    """The deployment in production."""
    from releases.models import Deployment

    return Deployment.objects.get(pk=made.deployment)


@pytest.fixture
def again(people: dict[str, Any], acting_as: Callable[..., Any], sample_repository: Built) -> World:
    """The verbs of the world over the copied rows."""
    return found_world(people, acting_as, sample_repository)
