"""One case for a server of its own (see test_lost.py): a backend is killed, and PostgreSQL restarts itself."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from tests.chaos.running import Point, Running, command, step, until

POINT = "append .ringi/journal.jsonl configuration_update.py"
COMMAND = ["command:started", "command:done"]


@pytest.mark.timeout(120, func_only=True)
def test_the_deployment_goes_on_after_the_crash(
    scheduled_deployment: Callable[[list[dict[str, Any]]], Running], point: Point
) -> None:
    from django.db import connection

    running = scheduled_deployment([command("first"), step("configuration_update"), command("third")])
    scheduler, worker = running.scheduler(), running.worker(POINT, point)
    point.announced()
    before = _started()
    with psycopg.connect(os.environ["DATABASE_SERVER_URL"]) as server:
        os.kill(server.info.backend_pid, signal.SIGKILL)
    until("PostgreSQL to answer again", lambda: (moment := _started()) and moment != before)
    connection.close()
    point.let_go()
    running.comes_to("verifying")
    assert running.tally() == ["first began", "first ended", "third began", "third ended"]
    effects = [line["effect"] for line in running.journal()]
    assert effects == [*COMMAND, "configuration_update:written", *COMMAND]
    outcomes = [(attempt.outcome, attempt.probe) for attempt in running.attempts(2)]
    # Reclaimed, or the first one's lease held all along.
    assert outcomes[-1] in {("succeeded", "done"), ("succeeded", "")}
    assert [worker.poll(), scheduler.poll()] == [None, None]


def _started() -> Any:
    """Return when the server's processes were started last; None while it does not answer."""
    try:
        with psycopg.connect(os.environ["DATABASE_SERVER_URL"]) as server:
            row = server.execute("SELECT min(backend_start) FROM pg_stat_activity WHERE backend_type = 'checkpointer'")
            return (row.fetchone() or (None,))[0]
    except psycopg.OperationalError:
        return None
