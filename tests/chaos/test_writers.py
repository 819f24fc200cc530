"""Eight processes write through the operation, roll back at random, and are killed at random: the ledger has each
change.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import dict_row

from audit.as_of import lives_of
from audit.audited_tables import AUDITED_TABLES
from audit.ledger.chain import verify
from audit.models import Event
from benchmarks.conftest import as_url
from tests.audit.stock import as_recorded
from tests.chaos.running import until

PROJECT = Path(__file__).parents[2]
WRITERS, SEED = 8, int(os.environ.get("RINGI_TEST_SEED", "20261216"))
KILLS = int(os.environ.get("RINGI_TEST_KILLS", "32"))


class Writers:
    """The process that forks writers, and what those printed."""

    def __init__(self, database: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.writer"],
            cwd=PROJECT,
            env={**os.environ, "DATABASE_URL": as_url(database), "RINGI_LOG_LEVEL": "ERROR"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pids: dict[int, int] = {}
        self.operations: dict[int, list[str]] = {}
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            number, kind, said = line.split()
            if kind == "pid":
                self.pids[int(number)] = int(said)
            else:
                self.operations.setdefault(int(number), []).append(said)

    def begin(self, number: int) -> int:
        """Let another one write; return its number."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{number}\n")
        self.process.stdin.flush()
        return number

    def kill(self, number: int, after: int, pause: float) -> None:
        """Kill one where it is, `pause` seconds after so many commits."""
        until(f"commits of writer {number}", lambda: len(self.operations.get(number, ())) >= after, seconds=120)
        time.sleep(pause)
        os.kill(self.pids[number], signal.SIGKILL)
        until("its end", lambda: not Path(f"/proc/{self.pids[number]}").exists())

    def end(self) -> None:
        """Kill all that are left and read what they printed."""
        for pid in self.pids.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait(30)
        self.reader.join(30)


@pytest.mark.smoke
@pytest.mark.timeout(600)
def test_no_gap_no_change_without_event_no_event_without_change(database: str) -> None:
    chance, writers = random.Random(SEED), Writers(database)
    try:
        at_work = [writers.begin(number) for number in range(WRITERS)]
        for kill in range(KILLS):
            # The pause lets the blow fall anywhere between two commits.
            writers.kill(at_work.pop(0), after=chance.randint(3, 12), pause=chance.random() * 0.05)
            if kill < KILLS - WRITERS:
                at_work.append(writers.begin(kill + WRITERS))
    finally:
        writers.end()
    printed = [one for ids in writers.operations.values() for one in ids]
    name = conninfo_to_dict(database)["dbname"]
    root = psycopg.connect(make_conninfo(os.environ["DATABASE_SERVER_URL"], dbname=name), autocommit=True)
    with root:
        # A killed process's transaction ends with its connection.
        root.execute(
            "SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name LIKE 'writer-%'"
        )
        report = verify(root)
        assert report.finding is None, report.finding
        _rows_are_what_the_events_say(root)
    operations = {str(event.operation_id) for event in Event.objects.filter(operation="test:write", kind="operation")}
    rows = {
        str(one)
        for one in Event.objects.filter(operation="test:write", kind="row").values_list("operation_id", flat=True)
    }
    assert set(printed) <= operations, "committed, and not in the ledger"
    assert rows <= operations, "rows of an operation that never was"
    assert len(operations) - len(printed) <= KILLS, (
        "at most one operation of each killed process was committed and not printed"
    )
    assert len(printed) >= KILLS * 3 and Event.objects.filter(operation="test:write", kind="refusal").exists()


def _rows_are_what_the_events_say(root: psycopg.Connection[Any]) -> None:
    """Every column of every row that is there; every row that is not there is gone in the ledger; none is unknown."""
    (audited,) = [one for one in AUDITED_TABLES if one.model == "environments.ChangeFreeze"]
    with root.cursor(row_factory=dict_row) as cursor:
        there = {
            str(row["id"]): as_recorded(row, audited, b"")
            for row in cursor.execute("SELECT * FROM environments_changefreeze")
        }
    lives = lives_of("environments.ChangeFreeze")
    folded = {pk: life.states[-1].values for pk, life in lives.items() if not life.states[-1].gone}
    assert folded == there
    for life in lives.values():
        assert [state.gone for state in life.states[:-1]] == [False] * (len(life.states) - 1)
        assert life.states[0].complete
    outcomes = {event.outcome for event in Event.objects.filter(kind="row", operation="test:write").only("outcome")}
    assert outcomes == {"inserted", "updated", "deleted"}
