"""Eight processes write through the operation, roll back at random, and are killed at random, and so is the ledger
signer: the ledger has each change, in its order, and the signer signs on.
"""

from __future__ import annotations

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
from audit.ledger.chain import HOLDS, verify
from audit.ledger.note import PublicKey, notes_of
from audit.models import Event
from benchmarks.conftest import as_url
from tests.audit.stock import as_recorded
from tests.chaos.running import until

PROJECT = Path(__file__).parents[2]
WRITERS, SEED = 8, int(os.environ.get("RINGI_TEST_SEED", "20261216"))
KILLS = int(os.environ.get("RINGI_TEST_KILLS", "32"))


class Writers:
    """The process that forks writers, and what those printed."""

    def __init__(self, url: str, pause: float = 0.0) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.writer"],
            cwd=PROJECT,
            env={**os.environ, "DATABASE_URL": url, "RINGI_LOG_LEVEL": "ERROR", "CHAOS_PAUSE": str(pause)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,
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
        """Kill all that are left, the one just forked too, and read what they printed."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate(timeout=30)
        self.reader.join(30)


class Signers:
    """One ledger signer after the other, each killed at some moment while it links, signs or publishes."""

    def __init__(self, database: str, state: Path, chance: random.Random) -> None:
        name = str(conninfo_to_dict(database)["dbname"])
        address = as_url(make_conninfo(os.environ["DATABASE_LEDGER_SIGNER_URL"], dbname=name))
        self.environment = {**os.environ, "DATABASE_URL": address, "RINGI_STATE_DIR": str(state)}
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-m", "tests.chaos.signer"],
            cwd=PROJECT,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,
        )
        self.chance, self.signed, self.killed = chance, 0, 0
        self.pids: list[int] = []
        self.ended = threading.Event()
        self.threads = [threading.Thread(target=target, daemon=True) for target in (self._read, self._kill)]
        for thread in self.threads:
            thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("pid "):
                self.pids.append(int(line.split()[1]))
            else:
                self.signed += line.startswith("signed ")

    def _kill(self) -> None:
        assert self.process.stdin is not None
        while not self.ended.is_set():
            begun, signed = len(self.pids), self.signed
            self.process.stdin.write("\n")
            self.process.stdin.flush()
            until("a ledger signer", lambda begun=begun: len(self.pids) > begun)
            until("its first signature", lambda signed=signed: self.signed > signed or self.ended.is_set())
            time.sleep(self.chance.random() * 0.2)
            os.kill(self.pids[-1], signal.SIGKILL)
            until("its end", lambda: not Path(f"/proc/{self.pids[-1]}").exists())
            self.killed += 1

    def end(self) -> None:
        """Kill the last one."""
        self.ended.set()
        self.threads[1].join(60)
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate(timeout=30)
        self.threads[0].join(30)

    def sign(self) -> subprocess.CompletedProcess[str]:
        """Let one sign all that is left."""
        argv = [sys.executable, "manage.py", "ledger_signer", "--once"]
        return subprocess.run(argv, cwd=PROJECT, env=self.environment, capture_output=True, text=True, timeout=60)


@pytest.mark.smoke
@pytest.mark.timeout(600)
def test_no_gap_no_change_without_event_no_event_without_change(database: str, tmp_path: Path) -> None:
    chance, writers = random.Random(SEED), Writers(as_url(database))
    signers = Signers(database, tmp_path, random.Random(SEED))
    try:
        at_work, killed = [writers.begin(number) for number in range(WRITERS)], 0
        while killed < KILLS or signers.killed < KILLS // 8:
            assert signers.threads[1].is_alive(), "the ledger signer signs no more"
            # The pause lets the blow fall anywhere between two commits.
            writers.kill(at_work.pop(0), after=chance.randint(3, 12), pause=chance.random() * 0.05)
            at_work.append(writers.begin(WRITERS + killed))
            killed += 1
    finally:
        writers.end()
        signers.end()
    printed = [one for ids in writers.operations.values() for one in ids]
    name = conninfo_to_dict(database)["dbname"]
    root = psycopg.connect(make_conninfo(os.environ["DATABASE_SERVER_URL"], dbname=name), autocommit=True)
    with root:
        # A killed process's transaction ends with its connection.
        root.execute(
            "SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name LIKE 'writer-%'"
        )
        last = signers.sign()
        assert (last.returncode, last.stderr) == (0, "")
        key = PublicKey.parse((tmp_path / "ledger_signer" / "key.pub").read_text().strip())
        report = verify(root, key=key, notes=notes_of(tmp_path / "ledger_signer" / "checkpoints.txt"))
        assert (report.exit_status, report.finding, report.pending) == (HOLDS, None, 0)
        assert report.signed == report.last and report.checkpoints > signers.killed
        _rows_are_what_the_events_say(root)
    operations = {str(event.operation_id) for event in Event.objects.filter(operation="test:write", kind="operation")}
    rows = {
        str(one)
        for one in Event.objects.filter(operation="test:write", kind="row").values_list("operation_id", flat=True)
    }
    assert set(printed) <= operations, "committed, and not in the ledger"
    assert rows <= operations, "rows of an operation that never was"
    assert len(operations) - len(printed) <= killed + WRITERS, (
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
