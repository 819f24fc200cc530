"""Failovers (see test_failover.py): two servers of PostgreSQL and of Valkey, and two of each process but the signer."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from audit import export
from audit.ledger.chain import HOLDS, verify
from audit.ledger.note import PublicKey, notes_of
from audit.models import Checkpoint, Event, LedgerHead
from config.development.ports import free_port
from config.development.processes import PROJECT, spawn
from tests.chaos.pair import Pair
from tests.chaos.running import EFFECT, Point, Running, command, step, until
from tests.chaos.test_writers import Writers

Begin = Callable[[list[dict[str, Any]]], Running]
# What an installation has without these settings.
DEFAULTS = {
    "RINGI_LEASE_DURATION": "15",
    "RINGI_HEARTBEAT_INTERVAL": "5",
    "RINGI_POLL_INTERVAL": "1",
    "RINGI_HEARTBEAT_TIMEOUT": "90",
}
WORKERS = ("production", "production", "checks", "checks")
BOUND, PATIENCE = 30.0, 120.0
# A program that writes a line ten times a second, beside what the other programs of these tests do.
TALKING = f"""
import threading, time
def talk(n=0):
    while True:
        print("line", n, flush=True)
        time.sleep(0.1)
        n += 1
threading.Thread(target=talk, daemon=True).start()
exec({EFFECT.read_text(encoding="utf-8")!r})
"""
EFFECTS = {"code_deploy:laid": 1, "code_deploy:switched": 1, "command:started": 2, "command:done": 2, "wait:over": 1}
TALLY = ["second began", "second ended", "fourth began", "fourth ended"]


class Pages:
    """A web process, and whether a page of a person who is signed in answers at each moment."""

    def __init__(self, running: Running, cookie: str, number: int) -> None:
        self.port, self.cookie, self.good = free_port(), cookie, [0.0]
        gunicorn = ["-m", "gunicorn", "config.wsgi", "--bind", f"127.0.0.1:{self.port}", "--no-control-socket"]
        environment = {**os.environ, **DEFAULTS, "DATABASE_URL": running.database, "REDIS_URL": running.redis_url}
        self.log = running.folder / f"web-{number}.log"
        argv = [sys.executable, *gunicorn, "--threads", "2"]
        self.process = spawn(argv, environment=environment, log=self.log, death_signal=signal.SIGKILL)
        self.ended = threading.Event()
        self.asking = threading.Thread(target=self._ask, daemon=True)
        self.asking.start()

    def _ask(self) -> None:
        while not self.ended.wait(0.3):
            asked = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
            try:
                begun = time.monotonic()
                asked.request("GET", "/admin/", headers={"Cookie": self.cookie})
                answer = asked.getresponse()
                if answer.status == 200 and b"Ringi" in answer.read():
                    self.good.append(begun)
            except (OSError, http.client.HTTPException):
                pass
            finally:
                asked.close()

    def end(self) -> None:
        """End it."""
        self.ended.set()
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.asking.join(30)


class Installation:
    """The processes of an installation: two of each kind, one ledger signer, and writers that count."""

    def __init__(self, running: Running, cookie: str) -> None:
        self.running, self.state = running, Path(os.environ["RINGI_STATE_DIR"])
        self.signer = running.process("ledger_signer", **DEFAULTS)
        until("the first checkpoint", self.signed, PATIENCE)
        self.processes = [running.process("scheduler", **DEFAULTS) for _number in range(2)]
        self.pages = [Pages(running, cookie, number) for number in range(2)]
        self.writers = Writers(running.database, pause=0.02)
        for number in range(2):
            self.writers.begin(number)

    def begin_work(self, point: Point) -> None:
        """Start the workers, and wait until the point is reached and all else is at work."""
        self.processes += [self.running.process("worker", queue, **DEFAULTS) for queue in WORKERS]
        point.announced(PATIENCE)
        until("pages", lambda: all(pages.good[-1] for pages in self.pages), PATIENCE)
        until("writers", lambda: min(map(self.written, range(2))) > 10, PATIENCE)

    @staticmethod
    def signed() -> int:
        """Return how many events are under a checkpoint."""
        return Checkpoint.objects.order_by("-number").values_list("number", flat=True).first() or 0

    def written(self, number: int) -> int:
        """Return how many commits of a writer were acknowledged."""
        return len(self.writers.operations.get(number, ()))

    def again(self, since: float, **further: Callable[[], object]) -> dict[str, float]:
        """Wait until everything has gone on after a moment; return after how many seconds each did."""
        before, signed = [self.written(number) for number in range(2)], self.signed()
        waiting: dict[str, Callable[[], object]] = {
            f"page {number}": (lambda pages=pages: pages.good[-1] > since) for number, pages in enumerate(self.pages)
        }
        waiting |= {
            f"writer {number}": (lambda number=number: self.written(number) > before[number]) for number in range(2)
        }
        waiting |= {"ledger signer": lambda: self.signed() > signed, **further}
        took: dict[str, float] = {}
        while waiting:
            for name in [name for name, look in waiting.items() if look()]:
                took[name] = round(time.monotonic() - since, 1)
                del waiting[name]
            assert time.monotonic() - since < PATIENCE, f"not within {PATIENCE} s: {list(waiting)}; {took}"
            time.sleep(0.05)
        return took

    def acknowledged_is_kept(self) -> int:
        """End the writers; each commit of which they heard is in the ledger. Return how many there were."""
        self.end_writers()
        printed = {one for ids in self.writers.operations.values() for one in ids}
        kept = Event.objects.filter(operation="test:write", kind="operation")
        assert printed <= {str(one) for one in kept.values_list("operation_id", flat=True)}
        return len(printed)

    def ledger_holds(self) -> str:
        """Verify the whole ledger with what the signer keeps, in the database and offline; return the last line."""
        until("the last event to be signed", lambda: not self.pending() and self.signed() == self.last(), PATIENCE)
        folder, exported = self.state / "ledger_signer", self.running.folder / "ledger.jsonl"
        key = PublicKey.parse((folder / "key.pub").read_text().strip())
        connection = _connections()
        connection.ensure_connection()
        report = verify(connection.connection, key=key, notes=notes_of(folder / "checkpoints.txt"))
        exported.write_text("".join(export.lines(connection.connection, key)))
        assert (report.exit_status, report.finding, report.pending) == (HOLDS, None, 0)
        assert report.signed == report.last
        argv = ["audit/offline/ringi_verify.py", str(exported), "--key", str(folder / "key.pub")]
        argv += ["--checkpoint", str(folder / "checkpoints.txt")]
        offline = subprocess.run([sys.executable, "-I", "-S", *argv], cwd=PROJECT, capture_output=True, text=True)
        assert offline.returncode == 0, offline.stdout + offline.stderr
        said = self.running.log(self.signer)
        assert "refuses" not in said and self.signer.poll() is None, said[-2000:]
        return offline.stdout.strip().splitlines()[-1]

    @staticmethod
    def last() -> int:
        """Return the number of the last event in the chain."""
        return int(LedgerHead.objects.get(pk=1).number)

    @staticmethod
    def pending() -> int:
        """Return how many events are not in the chain yet."""
        with _connections().cursor() as cursor:
            cursor.execute("SELECT count(*) FROM audit_pending")
            return int(cursor.fetchone()[0])

    def manage(self, *words: str, role: str = "", url: str = "") -> subprocess.CompletedProcess[str]:
        """Run a management command to its end."""
        environment = {**os.environ, **DEFAULTS, "REDIS_URL": self.running.redis_url}
        environment["DATABASE_URL"] = url or self.running.address(role)
        argv = [sys.executable, "manage.py", *words]
        return subprocess.run(argv, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=PATIENCE)

    def live(self) -> None:
        """No process has ended, which a supervisor would have had to start again."""
        ended = [one.args for one in (*self.processes, self.signer) if one.poll() is not None]
        assert not ended, ended

    def end_writers(self) -> None:
        """Kill the writers, once."""
        if self.writers.process.poll() is None:
            self.writers.end()

    def end(self) -> None:
        """End all that `Running` does not."""
        self.end_writers()
        for pages in self.pages:
            pages.end()


@pytest.fixture
def installed(
    scheduled_deployment: Begin, point: Point, browsers: Callable[[str], Any]
) -> Iterator[tuple[Running, Installation]]:
    """A deployment of four steps, held in the middle of the second, in an installation of two of each."""
    argv = [sys.executable, "-c", TALKING, "{root}/tally", "second", str(point.folder)]
    steps = [step("code_deploy"), step("command", argv=argv), step("wait", seconds=3), command("fourth")]
    running = scheduled_deployment(steps)
    cookie = browsers("operator").cookies["sessionid"].value
    made = Installation(running, f"sessionid={cookie}")
    try:
        made.begin_work(point)
        yield running, made
    finally:
        made.end()


def say(what: str, took: dict[str, float]) -> None:
    """Print figures; the outer test shows these lines."""
    print(f"failover: {what}: " + ", ".join(f"{name} {seconds} s" for name, seconds in took.items()))


def master(running: Running) -> bool:
    """Tell whether the sentinels have named a new master."""
    try:
        return bool(running.redis.ping())
    except redis.RedisError:
        return False


def steps_are_done_once(running: Running) -> None:
    """Each effect is on the target as often as the journal says: once."""
    assert Counter(line["effect"] for line in running.journal()) == EFFECTS
    assert running.tally() == TALLY
    assert [[one.outcome for one in running.attempts(number)][-1] for number in (1, 2, 3, 4)] == ["succeeded"] * 4
    said = "".join(running.step(2).output.order_by("pk").values_list("text", flat=True))
    lines = [int(line.split()[1]) for line in said.splitlines() if line.startswith("line ")]
    assert lines == list(range(len(lines))) and lines, "output is missing"


@pytest.mark.timeout(400)
def test_the_master_of_valkey_is_killed(installed: tuple[Running, Installation], point: Point) -> None:
    running, installation = installed
    os.kill(int(os.environ["CHAOS_MASTER"]), signal.SIGKILL)
    killed = time.monotonic()
    until("the failover", lambda: master(running), PATIENCE)
    failed_over = time.monotonic()
    point.let_go()
    took = installation.again(failed_over, deployment=lambda: running.state() == "verifying")
    say("Valkey, since its replica is the master", {"failover itself": round(failed_over - killed, 1)} | took)
    assert failed_over - killed < BOUND and max(took.values()) < BOUND
    steps_are_done_once(running)
    # A wake-up reaches a worker by the new master.
    until("the queue to be empty", lambda: not running.redis.llen("rq:queue:production"), PATIENCE)
    installation.live()
    print(f"failover: {installation.acknowledged_is_kept()} acknowledged commits kept; {installation.ledger_holds()}")


@pytest.mark.timeout(500)
def test_the_primary_is_killed_and_comes_back_on_its_own(installed: tuple[Running, Installation], point: Point) -> None:
    running, installation = installed
    pair = Pair(**json.loads(os.environ["CHAOS_PAIR"]))
    pair.kill("one")
    _connections().close()
    promoted = pair.promote("two")
    point.let_go()
    took = installation.again(promoted, deployment=lambda: running.state() == "verifying")
    say("PostgreSQL, since the standby was promoted", took)
    assert max(took.values()) < BOUND
    steps_are_done_once(running)
    installation.live()
    _a_former_primary_is_not_used(pair, running, installation)
    installation.live()
    print(f"failover: {installation.acknowledged_is_kept()} acknowledged commits kept; {installation.ledger_holds()}")
    _it_is_found_and_becomes_a_standby(pair, running, installation)


def _a_former_primary_is_not_used(pair: Pair, running: Running, installation: Installation) -> None:
    """The old primary comes back on its own, takes writes, and is the first of the hosts: nothing is written there."""
    with (pair.data("one") / "postgresql.auto.conf").open("a") as file:
        file.write("synchronous_standby_names = ''\n")
    pair.start("one")
    assert pair.asked("one", "SELECT pg_is_in_recovery()") is False
    stale = _written_on(pair, running, "one")
    gone = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename LIKE 'ringi%'"
    assert pair.asked("two", gone) > 5
    since = time.monotonic()
    _connections().close()
    took = installation.again(since)
    say("every session ended beside a former primary", took)
    assert max(took.values()) < BOUND
    late = running.process("worker", "production", **DEFAULTS)
    until("a process that is started now", lambda: "is not used: it is on timeline 1" in running.log(late), PATIENCE)
    assert _written_on(pair, running, "one") == stale


def _it_is_found_and_becomes_a_standby(pair: Pair, running: Running, installation: Installation) -> None:
    """The doctor names both primaries; the signer refuses the old one; rewound, it is a synchronous standby."""
    found = _doctor(installation)
    taking = [row["words"] for row in found if row["result"] == "failed" and "take writes" in row["words"]]
    assert taking == [f"one of 2 servers that take writes, timeline {number}" for number in (1, 2)], found
    installation.signer.terminate()
    installation.signer.wait(PATIENCE)
    alone = pair.url("ringi_ledger_signer", "one", database=running.path[1:])
    refused = installation.manage("ledger_signer", "--once", url=alone)
    assert refused.returncode == 1 and "the ledger signer refuses: the " in refused.stderr, refused
    print(f"failover: on the former primary, {refused.stderr.strip().splitlines()[-1]}")
    pair.kill("one")
    began = time.monotonic()
    pair.rewind("one", of="two")
    print(f"failover: rewound, and a synchronous standby again, in {time.monotonic() - began:.1f} s")
    again = installation.manage("ledger_signer", "--once", role="ledger_signer")
    assert again.returncode == 0, again.stderr
    found = _doctor(installation)
    seen = {row["name"]: f"{row['result']} {row['words']}" for row in found}
    one, two = (seen[f"127.0.0.1:{pair.ports[name]}"] for name in ("one", "two"))
    print(f"failover: the doctor: {one}; {two}; {seen['synchronous replication']}")
    assert (one[:11], two) == ("ok standby,", "ok primary, timeline 2")
    assert seen["synchronous replication"].startswith("ok one")


def _written_on(pair: Pair, running: Running, name: str) -> tuple[int, ...]:
    """Return what tells that something was written into the database on one of the servers."""
    tables = ("audit_event", "audit_pending", "audit_ledgerentry", "releases_stepoutput", "releases_heartbeat")
    with psycopg.connect(pair.url("postgres", name, database=running.path[1:])) as one:
        asked = [one.execute(f"SELECT count(*), coalesce(max(xmin::text::bigint), 0) FROM {table}") for table in tables]
        return tuple(number for cursor in asked for row in cursor.fetchall() for number in row)


def _doctor(installation: Installation) -> list[dict[str, str]]:
    findings: list[dict[str, str]] = json.loads(installation.manage("doctor", "--json").stdout)["findings"]
    return findings


def _connections() -> Any:
    from django.db import connection

    return connection
