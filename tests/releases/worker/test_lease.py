"""One thread renews the leases of a process; a step shorter than a heartbeat costs no renewal."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import psycopg
import pytest
from django.db import connection

from audit.actor import acting
from releases.models import Deployment, Step
from releases.worker.lease import Lease

from .conftest import TRUE, WORKER, first, row


@pytest.fixture
def step(world: Any, queued: Callable[..., Deployment]) -> Step:
    """A step that this process has claimed."""
    from releases.operations.step.claim import claim

    deployment = queued(row(TRUE))
    with acting(WORKER):
        taken = claim(first(deployment).pk, worker="host:1")
    assert taken is not None
    return taken.step


def until(step: Step) -> datetime:
    found = Step.objects.get(pk=step.pk).lease_until
    assert found is not None
    return found


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "lease"]


def comes(true: Callable[[], bool]) -> None:
    """Wait until a condition holds, ten seconds at most."""
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def sessions() -> int:
    """Return how many other sessions have renewed a lease last."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND query LIKE %s",
            ["%UPDATE releases_step SET lease_until%"],
        )
        return int(cursor.fetchone()[0])


def lose_connection() -> None:
    """End the session of this thread, as a server does that is killed."""
    with psycopg.connect(os.environ["DATABASE_SERVER_URL"], autocommit=True) as server:
        server.execute("SELECT pg_terminate_backend(%s, 5000)", [connection.connection.info.backend_pid])


def test_output_is_kept_while_the_database_is_out_of_reach(step: Step) -> None:
    with Lease(step.pk, step.fencing_token, longest=60) as lease:
        for chunk in (b"one ", b"two ", b"three"):
            lease.output(chunk)
            if chunk == b"two ":
                lose_connection()
            lease.flush()
    assert "".join(step.output.order_by("pk").values_list("text", flat=True)) == "one two three"


def test_a_lease_is_renewed_at_each_heartbeat_and_leaves_nothing_behind(step: Step, settings: Any) -> None:
    settings.HEARTBEAT_INTERVAL = 0.05
    before = until(step)
    with Lease(step.pk, step.fencing_token, longest=60):
        comes(lambda: until(step) > before)
        once = until(step)
        comes(lambda: until(step) > once)
        assert sessions() == 1
    comes(lambda: not threads() and not sessions())


def test_steps_shorter_than_a_heartbeat_share_one_thread_that_ends_by_itself(step: Step, settings: Any) -> None:
    settings.HEARTBEAT_INTERVAL = 0.2
    before, met = until(step), set()
    for _ in range(5):
        with Lease(step.pk, step.fencing_token, longest=60):
            met |= set(threads())
    assert len(met) == 1 and until(step) == before
    met.pop().join(10)
    assert not threads()
    with Lease(step.pk, step.fencing_token, longest=60):
        comes(lambda: until(step) > before)  # the next step has a thread again


def test_a_reclaimed_lease_is_lost_and_the_others_continue(step: Step, settings: Any) -> None:
    settings.HEARTBEAT_INTERVAL = 0.05
    with (
        Lease(step.pk, step.fencing_token, longest=60) as held,
        Lease(step.pk, step.fencing_token + 1, longest=60) as gone,
    ):
        assert gone.lost.wait(10)
        before = until(step)
        comes(lambda: until(step) > before)
        assert not held.lost.is_set()
