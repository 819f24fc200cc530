"""Tests of the supervisor with small real processes, in a process of its own, as it takes signals over."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from config import port as ports
from config.development import processes
from config.development.rows import rows
from config.secret_files import Unavailable, load_or_create_secrets

DRIVER = """
import os, sys
from pathlib import Path
from config.development.processes import ShutdownRequested, Supervisor
from config.development.rows import Row, rows

state = Path(sys.argv[1])
rows = [Row(**row) for row in {rows!r}]
supervisor = Supervisor(rows, state, dict(os.environ), lambda line: print(line, flush=True))
supervisor.foreground(["true"], dict(os.environ))
assert not any((state / "run").glob("*.json")), "started before start"
supervisor.start()
print("started", flush=True)
try:
    while True:
        supervisor.tend(60)
except ShutdownRequested:
    supervisor.stop()
    raise SystemExit(supervisor.foreground(["true"], dict(os.environ)))
"""
WAITS = (sys.executable, "-c", "import signal; signal.pause()")
TELLS_ITS_END = (
    "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit())\n"
    "print('up', flush=True)\n"
    "try:\n signal.pause()\nfinally:\n time.sleep(0.1); open({file!r}, 'a').write({name!r} + ' ')"
)


class Running:
    """A supervisor in a process of its own."""

    def __init__(self, state: Path, rows: list[dict[str, object]], pass_fds: tuple[int, ...] = ()) -> None:
        self.state = state
        argv = [sys.executable, "-c", DRIVER.format(rows=rows), str(state)]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(argv, cwd=processes.PROJECT, pass_fds=pass_fds, **pipes)
        assert self.line() == "started"

    def line(self) -> str:
        assert self.process.stdout
        return str(self.process.stdout.readline()).strip()

    def pid(self, name: str) -> int:
        return int(json.loads((self.state / "run" / f"{name}.json").read_text())["pid"])


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def begin(*rows: dict[str, object], pass_fds: tuple[int, ...] = ()) -> Running:
        started.append(Running(tmp_path, list(rows), pass_fds))
        return started[-1]

    yield begin
    for running in started:
        running.process.kill()
        running.process.communicate()


def until(true: Callable[[], object], seconds: float = 10.0) -> float:
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < seconds, "it did not happen in time"
        time.sleep(0.01)
    return time.monotonic() - began


def test_a_killed_process_is_restarted_within_half_a_second(supervise: Callable[..., Running]) -> None:
    running = supervise({"name": "worker-production", "argv": WAITS}, {"name": "other", "argv": WAITS})
    first, other = running.pid("worker-production"), running.pid("other")
    time.sleep(processes.QUICK_SECONDS + 0.1)  # a process that lived this long is no failing one
    os.kill(first, signal.SIGKILL)
    assert until(lambda: running.pid("worker-production") != first) < 0.5
    assert running.line() == "worker-production ended by SIGKILL; it is started anew"
    assert processes.identity(running.pid("worker-production"))
    assert running.pid("other") == other


def test_a_process_killed_soon_after_its_start_is_back_within_half_a_second(supervise: Callable[..., Running]) -> None:
    running = supervise({"name": "worker", "argv": WAITS})
    first = running.pid("worker")
    os.kill(first, signal.SIGKILL)
    assert until(lambda: running.pid("worker") != first) < 0.5


def test_one_that_keeps_dying_is_named_once_and_tried_on(supervise: Callable[..., Running], tmp_path: Path) -> None:
    count = tmp_path / "count"
    dies = f"open({str(count)!r}, 'a').write('x'); raise SystemExit(4)"
    running = supervise({"name": "bad", "argv": (sys.executable, "-c", dies)})
    said = [running.line() for _ in range(processes.QUICK_DEATHS + 1)]
    assert said[0] == "bad ended with status 4; it is started anew"
    assert said[-1].startswith("bad does not stay up (ended with status 4)")
    began = time.monotonic()
    until(lambda: len(count.read_text()) == processes.QUICK_DEATHS + 2)
    assert time.monotonic() - began > processes.SLOWEST - 1
    running.process.terminate()
    assert running.process.wait(10) == 0
    assert running.process.stdout and running.process.stdout.read() == ""


def test_the_end_is_in_order_and_leaves_nothing(supervise: Callable[..., Running], tmp_path: Path) -> None:
    file = str(tmp_path / "order")
    rows = [
        {"name": name, "stage": stage, "argv": (sys.executable, "-c", TELLS_ITS_END.format(file=file, name=name))}
        for name, stage in (("worker", 2), ("web", 0), ("scheduler", 1))
    ]
    running = supervise(*rows)
    pids = [running.pid(str(row["name"])) for row in rows]
    until(lambda: all("up" in (tmp_path / "logs" / f"{row['name']}.log").read_text() for row in rows))
    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(10) == 0
    assert Path(file).read_text().split() == ["web", "scheduler", "worker"]
    assert not any(processes.identity(pid) for pid in pids)
    assert not list((tmp_path / "run").iterdir())


def test_a_process_is_asked_to_end_only_once(supervise: Callable[..., Running], tmp_path: Path) -> None:
    counts = (
        "import signal, time; got = []; signal.signal(signal.SIGTERM, lambda *_: got.append(1));"
        "print('up', flush=True); signal.pause(); time.sleep({0}); time.sleep({0}); print('asked', len(got))"
    )
    argv = {name: (sys.executable, "-c", counts.format(seconds)) for name, seconds in (("a", 0.1), ("b", 0.5))}
    running = supervise(*({"name": name, "argv": argv[name]} for name in argv))
    logs = [tmp_path / "logs" / f"{name}.log" for name in argv]
    until(lambda: all(log.exists() and "up" in log.read_text() for log in logs))
    running.process.terminate()
    assert running.process.wait(10) == 0
    assert [log.read_text().split() for log in logs] == [["up", "asked", "1"]] * 2


def test_kill_9_of_the_supervisor_ends_all(supervise: Callable[..., Running]) -> None:
    running = supervise({"name": "a", "argv": WAITS}, {"name": "b", "argv": WAITS})
    pids = [running.pid("a"), running.pid("b")]
    running.process.kill()
    until(lambda: not any(processes.identity(pid) for pid in pids))


def test_a_process_left_by_an_earlier_start_is_ended_first(supervise: Callable[..., Running], tmp_path: Path) -> None:
    left = subprocess.Popen(WAITS)
    processes.record(tmp_path / "run" / "web.json", left.pid)
    running = supervise({"name": "web", "argv": WAITS})
    assert left.wait(5) == -signal.SIGTERM
    assert running.pid("web") != left.pid


def test_each_process_has_its_log_name_and_environment(supervise: Callable[..., Running], tmp_path: Path) -> None:
    argv = (sys.executable, "-c", "import os; print(os.environ['RINGI_PROCESS'], os.environ['OWN']); input()")
    supervise({"name": "one", "argv": argv, "environment": {"OWN": "value"}})
    until(lambda: "one value" in (tmp_path / "logs" / "one.log").read_text())


def test_the_port_is_bound_at_once_and_a_taken_one_is_refused_or_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Unavailable, match=f"port {port} is in use by another process; set RINGI_PORT to a free"):
            ports.bind_port(str(port), said.append)
        monkeypatch.setattr(ports, "FIRST_PORT", port)
        with ports.bind_port(None, said.append) as bound:
            chosen = bound.getsockname()[1]
            assert chosen > port
            assert said == [f"Port {port} is in use; taking {chosen}."]
            with pytest.raises(OSError, match="in use"):
                socket.create_server(("127.0.0.1", chosen))
    with pytest.raises(Unavailable, match="not a port number"):
        ports.bind_port("80a", said.append)


def test_on_a_taken_port_it_ends_with_one_sentence_and_announces_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        argv = [sys.executable, "-m", "config.development.processes", "up", "--served"]
        environment = {**os.environ, "RINGI_PORT": port}
        done = subprocess.run(
            argv, cwd=processes.PROJECT, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"ringi: port {port} is in use by another process; set RINGI_PORT to a free port\n"


def test_the_web_server_answers_on_the_socket_that_was_bound_before_it_started(
    supervise: Callable[..., Running], tmp_path: Path
) -> None:
    serve = (
        "import os, socket, sys\n"
        "web = socket.socket(fileno=int(sys.argv[1]))\n"
        "while True:\n web.accept()[0].sendall(b'%d' % os.getpid())"
    )
    with ports.bind_port(None, lambda line: None) as bound:
        os.set_inheritable(bound.fileno(), True)  # into the supervisor of this test, which is a process of its own
        number = bound.fileno()
        row = {"name": "web", "argv": (sys.executable, "-c", serve, str(number)), "files": (number,)}
        running = supervise(row, pass_fds=(number,))
        for _ in range(2):  # also after a restart: no other process took the port meanwhile
            with socket.create_connection(bound.getsockname(), timeout=10) as client:
                pid = int(client.recv(20))
            os.kill(pid, signal.SIGKILL)
            until(lambda pid=pid: running.pid("web") != pid)
    assert f"fd://{number}" in rows(number, 9, ())[0].argv
    assert [row.files for row in rows(number, 9, ())[:3]] == [(number,), (9,), ()]


def test_secrets_are_random_kept_and_private(tmp_path: Path) -> None:
    first = load_or_create_secrets(tmp_path / "secrets.json", ["SECRET_KEY"])
    assert (tmp_path / "secrets.json").stat().st_mode & 0o777 == 0o600
    assert load_or_create_secrets(tmp_path / "secrets.json", ["SECRET_KEY"]) == first
    assert load_or_create_secrets(tmp_path / "other.json", ["SECRET_KEY"]) != first
    (tmp_path / "secrets.json").write_text("{")
    with pytest.raises(Unavailable, match=r"secrets\.json"):
        load_or_create_secrets(tmp_path / "secrets.json", ["SECRET_KEY"])


def test_each_process_sees_its_own_address_and_keys_and_no_others(tmp_path: Path) -> None:
    """Read from /proc/PID/environ, of the real table with programs that only wait."""
    owners = {
        f"DATABASE_{role}_URL": f"postgres://{role}@host"
        for role in ("OWNER", "SERVER", "AUDITOR", "WORKER", "SCHEDULER", "LEDGER_SIGNER")
    }
    ours = {"DATABASE_URL": "postgres://APP@host", "SECRET_KEY": "of-web", "RINGI_METRICS_TOKEN": "of-web", **owners}
    driver = (
        "import dataclasses, os, sys; from pathlib import Path\n"
        "from config.development import processes as p, rows as r\n"
        f"rows = [dataclasses.replace(row, argv={WAITS!r}, files=()) for row in r.rows(3, 4, {QUEUES!r})]\n"
        "s = p.Supervisor(rows, Path(sys.argv[1]), dict(os.environ), print); s.start(); print('started', flush=True)\n"
        "try:\n s.tend(60)\nexcept p.ShutdownRequested:\n s.stop()"
    )
    argv, pipe = [sys.executable, "-c", driver, str(tmp_path)], subprocess.PIPE
    with subprocess.Popen(argv, cwd=processes.PROJECT, env=os.environ | ours, stdout=pipe, text=True) as supervisor:
        assert supervisor.stdout and supervisor.stdout.readline() == "started\n"
        seen = {row.name: environment_of(tmp_path, row.name) for row in rows(3, 4, QUEUES)}
        supervisor.terminate()
    role = {"web": "APP", "live": "APP", "ledger_signer": "LEDGER_SIGNER", "scheduler": "SCHEDULER"}
    for name, environment in seen.items():
        words = {value for value in environment.values() if value.startswith("postgres://") and value.endswith("@host")}
        assert words == {f"postgres://{role.get(name, 'WORKER')}@host"}, name
        assert ("of-web" in environment.values()) is (name in ("web", "live")), name
        assert environment["SECRET_KEY"]


QUEUES = ["development", "checks"]


def environment_of(state: Path, name: str) -> dict[str, str]:
    pid = json.loads((state / "run" / f"{name}.json").read_text())["pid"]
    words = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return dict(word.split("=", 1) for word in words if word)


def test_the_table_names_every_process_of_the_product() -> None:
    names = [row.name for row in rows(3, 4, QUEUES)]
    workers = ["worker-development", "worker-checks"]
    assert names == ["web", "live", "scheduler", "ledger_signer", *workers]
