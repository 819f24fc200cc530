"""A step whose Python code hangs is interrupted too, a little after its deadline, and the target is examined."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from audit.actor import acting
from releases.models import Deployment
from releases.worker import ending, executor
from releases.worker.executor import run_from
from releases.worker.lease import Lease
from releases.worker.timeouts import TimedOut, interrupt_after

from .conftest import TRUE, WORKER, first, row, states


@pytest.fixture
def job_alarm() -> Iterator[None]:
    """The alarm that RQ sets for a whole job."""
    before = signal.signal(signal.SIGALRM, lambda *_a: None)
    signal.setitimer(signal.ITIMER_REAL, 3000)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_a_step_that_hangs_outside_a_command_is_interrupted(
    world: Any, queued: Callable[..., Deployment], monkeypatch: pytest.MonkeyPatch, job_alarm: None
) -> None:
    """A pipe without a writer stands in the place of the configuration: opening it takes for ever."""
    for module, name in ((executor, "MARGIN_SECONDS"), (ending, "MARGIN_SECONDS"), (ending, "PROBE_SECONDS")):
        monkeypatch.setattr(module, name, 0.5)
    shared = Path(world.targets["development"].root) / "shared"
    shared.mkdir()
    os.mkfifo(shared / "config.env")
    update = {**row(TRUE), "step_type": "configuration_update", "parameters": {}, "deadline_seconds": 0.5}
    deployment = queued(update, row(TRUE))
    began = time.monotonic()
    with acting(WORKER):
        run_from(first(deployment).pk)
    assert time.monotonic() - began < 30
    step = first(deployment)
    assert "did not finish within 1 s and was stopped" in step.failure
    assert "The state of the deployment target is unknown" in step.failure
    assert states(deployment)[0] != "running" and states(deployment)[1] in ("cancelled", "pending")
    assert 2000 < signal.getitimer(signal.ITIMER_REAL)[0] <= 3000


def test_digests_may_take_as_long_as_the_backup_of_the_same_data(
    world: Any, queued: Callable[..., Deployment], monkeypatch: pytest.MonkeyPatch, job_alarm: None
) -> None:
    """The check before them has its own deadline; a target that is slow to digest ends no deployment."""
    monkeypatch.setattr(executor, "MARGIN_SECONDS", 0.1)
    slow: Any = executor.measure
    given = []

    def measure_slowly(*arguments: Any, seconds: float, **others: Any) -> Any:
        given.append(seconds)
        signal.sigtimedwait([], 1.0)
        return slow(*arguments, seconds=seconds, **others)

    monkeypatch.setattr(executor, "measure", measure_slowly)
    backup = {**row(TRUE), "step_type": "backup", "parameters": {"verify": "list"}, "deadline_seconds": 90}
    deployment = queued(backup, row(TRUE), verify=({**row(TRUE), "deadline_seconds": 0.5},))
    with acting(WORKER):
        run_from(first(deployment).pk)
    assert given == [90] and world.fresh(deployment).measured["verification"]


@pytest.mark.usefixtures("job_alarm")
def test_a_hanging_query_is_interrupted_and_the_next_one_is_answered(database: str) -> None:
    with pytest.raises(TimedOut), interrupt_after(0.3), connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(30)")
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)


@pytest.mark.usefixtures("job_alarm")
def test_a_timeout_is_not_handled_as_an_ordinary_error() -> None:
    """A check that retries after a fault, or a host that is asked again, would go on."""
    looks = 0
    with pytest.raises(TimedOut), interrupt_after(0.3):
        for _again in range(2):
            try:
                looks += 1
                time.sleep(2)
            except Exception:  # noqa: BLE001  as such code does
                continue
    assert looks == 1


def test_a_lease_is_not_renewed_forever(world: Any, queued: Callable[..., Deployment]) -> None:
    """A step that cannot be interrupted loses its lease, so that another worker examines the target."""
    from releases.operations.step.claim import claim

    deployment = queued(row(TRUE))
    with acting(WORKER):
        taken = claim(first(deployment).pk, worker="host:1")
        assert taken is not None
        with Lease(taken.step.pk, taken.fencing_token, longest=0.3) as lease:
            assert lease.lost.wait(10)
