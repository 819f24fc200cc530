"""A production deployment of small real steps, executed by real worker and scheduler processes; used by the kill
tests.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict

from config.development.processes import PROJECT, identity, spawn
from config.queue_server import client
from tests.chaos.tree import clean_environment

# On a machine that does much else, a lease of a second ends while its holder is not let run: CHAOS_LEASE is longer
# then.
LEASE = float(os.environ.get("CHAOS_LEASE", "1.0"))
HEARTBEAT_INTERVAL, POLL_INTERVAL = 0.3 * LEASE, 0.3
EFFECT = Path(__file__).parent / "points" / "effect.py"
# As text: a program of a target reads nothing of this folder.
SCRIPT = [sys.executable, "-c", EFFECT.read_text(encoding="utf-8")]
QUEUES_NUMBER = 9  # a database of Valkey that nothing else here uses
PATIENCE = 40.0 * LEASE


def until[T](what: str, look: Callable[[], T], seconds: float = PATIENCE) -> T:
    """Look until something true comes back and return it; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.02)
    return found


def command(name: str, *, repeatable: bool = False, point: Path | None = None) -> dict[str, Any]:
    """Return the row of a plan for a command that appends to the tally; held in its middle when given a point."""
    words = [*SCRIPT, "{root}/tally", name, *([str(point)] if point else [])]
    return step("command", argv=words, repeatable=repeatable)


def step(kind: str, **parameters: Any) -> dict[str, Any]:
    """Return the row of a plan for a step."""
    labels = {"label_ja": kind, "label_en": kind}
    return {"step_type": kind, "parameters": parameters, "required": True, "estimate_seconds": 1, **labels}


class Point:
    """Where a process is held: it announces itself on one named pipe and waits on the other."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        (folder / "armed").touch()
        for name in ("inside", "go"):
            os.mkfifo(folder / name)
        # Opened both ways, so that neither side waits for the other to open.
        self.inside, self.go = (os.open(folder / name, os.O_RDWR | os.O_CLOEXEC) for name in ("inside", "go"))

    def announced(self, seconds: float = PATIENCE) -> int:
        """Wait for the announcement; return the pid of the process that is held now."""
        ready, _, _ = select.select([self.inside], [], [], seconds)
        assert ready, f"nothing was announced within {seconds} s"
        return int(os.read(self.inside, 100))

    def let_go(self) -> None:
        """Let the held process go on."""
        os.write(self.go, b"x")

    def close(self) -> None:
        """Close the pipes."""
        os.close(self.inside)
        os.close(self.go)


def children(pid: int) -> list[int]:
    """Return the children of a process."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def parent(pid: int) -> int:
    """Return the parent of a process."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def ended(pid: int) -> bool:
    """Tell whether a process has ended, reaped or not."""
    return identity(pid) is None


class Running:
    """One production deployment: its rows, its target, and the processes that execute it."""

    def __init__(self, database: str, deployment: Any, root: Path, folder: Path) -> None:
        self.deployment_id, self.root, self.folder = deployment.pk, root, folder
        self.path = f"/{conninfo_to_dict(database)['dbname']}"
        self.database = self.address("")
        self.redis_url = queues_url()
        self.redis = client(self.redis_url, os.environ.get("RINGI_SENTINEL_PASSWORD", ""))
        self.started: list[Any] = []
        self.code = PROJECT

    def address(self, process: str) -> str:
        """Return the database's address for a process: its own role's, where it has one, else the application's."""
        url = os.environ.get(f"DATABASE_{process.upper()}_URL") or os.environ["DATABASE_URL"]
        return urlsplit(url)._replace(path=self.path).geturl()

    def process(self, *words: str, wrapper: Sequence[str] = (), **extra: str) -> Any:
        """Start a management command as a process of its own; wrapper: a program that starts it."""
        own = {"DATABASE_URL": self.address(words[0]), "REDIS_URL": self.redis_url}
        own |= {
            "RINGI_LEASE_DURATION": str(LEASE),
            "RINGI_HEARTBEAT_INTERVAL": str(HEARTBEAT_INTERVAL),
            "RINGI_POLL_INTERVAL": str(POLL_INTERVAL),
        }
        # No signer signs the events of these deployments, and those of the template become old while other tests go on.
        own |= {"RINGI_HEARTBEAT_TIMEOUT": "0", **extra}
        log = self.folder / f"{'-'.join(words)}-{len(self.started)}.log"
        argv = [*wrapper, sys.executable, "manage.py", *words]
        child = spawn(argv, environment=os.environ | own, folder=self.code, log=log, death_signal=signal.SIGKILL)
        self.started.append(child)
        return child

    def worker(self, point: str = "", at: Point | None = None) -> Any:
        """Start a worker for production; `point` (see points/sitecustomize.py) holds it in the middle of its work."""
        if at is None:
            return self.process("worker", "production")
        places = {"PYTHONPATH": str(EFFECT.parent), "CHAOS_POINT": point, "CHAOS_FOLDER": str(at.folder)}
        return self.process("worker", "production", **places)

    def scheduler(self) -> Any:
        """Start a scheduler."""
        return self.process("scheduler")

    def end(self) -> None:
        """End every process that was started, with its children."""
        for child in self.started:
            for pid in (child.pid, *children(child.pid)):
                if identity(pid):
                    os.kill(pid, signal.SIGKILL)
            child.wait()
        self.redis.flushdb()
        self.redis.close()

    def log(self, child: Any) -> str:
        """Return what a process that was started has written so far."""
        return next(self.folder.glob(f"*-{self.started.index(child)}.log")).read_text(errors="replace")

    def state(self) -> str:
        """Return the state of the deployment."""
        from releases.models import Deployment

        return str(Deployment.objects.values_list("state", flat=True).get(pk=self.deployment_id))

    def comes_to(self, *states: str, seconds: float = PATIENCE) -> str:
        """Wait until the deployment is in one of the states, and return it."""
        return until(f"the run to be {states}", lambda: (now := self.state()) in states and now, seconds)

    def step(self, ordinal: int) -> Any:
        """Return a step's row."""
        from releases.models import Step

        return Step.objects.get(deployment_id=self.deployment_id, ordinal=ordinal)

    def attempts(self, ordinal: int) -> list[Any]:
        """Return the attempts of a step."""
        return list(self.step(ordinal).attempts.order_by("fencing_token"))

    def owner(self, ordinal: int) -> int:
        """Return the pid of the worker that holds a step."""
        return int(self.step(ordinal).owner.rpartition(":")[2])

    def journal(self, effect: str = "", ordinal: int = 0) -> list[dict[str, Any]]:
        """Return lines of the target's own journal, of one effect or one step."""
        from environments.targets.base import TargetSpec
        from environments.targets.target import journal_lines

        lines = journal_lines(
            TargetSpec("datasets", "production", self.root, {}), deployment=f"deployment:{self.deployment_id}"
        )
        wanted = f"{self.deployment_id}/{ordinal}/" if ordinal else ""
        return [line for line in lines if effect in ("", line["effect"]) and line["key"].startswith(wanted)]

    def tally(self) -> list[str]:
        """Return what the commands wrote on the target."""
        path = self.root / "tally"
        return path.read_text().splitlines() if path.exists() else []

    @contextmanager
    def outcome_held(self, ordinal: int) -> Iterator[None]:
        """Keep the outcome of a step from being committed by a lock on its row."""
        pk = self.step(ordinal).pk
        with psycopg.connect(self.database) as connection:
            connection.execute("SELECT 1 FROM releases_step WHERE id = %s FOR NO KEY UPDATE", [pk])
            yield


def queues_url() -> str:
    """Return the address of the Valkey database that these tests use and empty."""
    return f"{os.environ['REDIS_URL'].rpartition('/')[0]}/{QUEUES_NUMBER}"


def alone(case: str, state: Path) -> str:
    """Run a file of cases in a process of its own, with servers of its own; return its output. Fails with it."""
    argv = ["-m", "config.development.embedded", "exec", "--with-parent", "--state", str(state), "--"]
    cases = ["-m", "pytest", "-q", "-rP", "-p", "no:cacheprovider", f"tests/chaos/{case}"]
    ran = subprocess.run(
        [sys.executable, *argv, sys.executable, *cases],
        cwd=PROJECT,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-1000:]
    return ran.stdout
