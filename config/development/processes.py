"""The supervisor of `make up` and `make demo` over web, scheduler, ledger signer and workers.

config.development.embedded starts its servers with `spawn` and ends those of an earlier start with `end`.
"""

import argparse
import contextlib
import ctypes
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audit.private_files import write_private
from config.development.rows import Row, rows
from config.port import bind_port
from config.secret_files import Unavailable, load_or_create_secrets

PROJECT = Path(__file__).resolve().parents[2]
PR_SET_PDEATHSIG = 1
LEAVE = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
QUICK_SECONDS, QUICK_DEATHS, SLOWEST = 2.0, 5, 5.0
SERVERS = ("postgres", "valkey")  # they run below the same folder, and not from the table
# Variables for the web process alone; the others get another key in place of the one that signs sessions.
KEPT_BY_DEMO = {"lock", "run", "logs", "servers", "servers.json", "secrets.json"}
Say = Callable[[str], None]
_libc = ctypes.CDLL(None, use_errno=True)


class ShutdownRequested(Exception):
    """The person, or the process above, asked to end."""


def die_with_parent(number: int = signal.SIGTERM) -> None:
    """Ask the kernel to send this process a signal when the thread that started it ends, however it ends."""
    if _libc.prctl(PR_SET_PDEATHSIG, number) != 0:
        raise OSError(ctypes.get_errno(), "prctl failed")


def identity(pid: int) -> str | None:
    """Return what distinguishes this process from a later one with the same number; None when it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return None if fields[0] in "ZX" else f"{boot}:{fields[19]}"


def record(file: Path, pid: int) -> None:
    """Write `{"pid", "identity"}` of a process to a file, replacing it in one step."""
    file.parent.mkdir(parents=True, exist_ok=True)
    write_private(file, json.dumps({"pid": pid, "identity": identity(pid)}))


def end(pid: int, known: str, signals: Sequence[int], *, grace: float = 10.0) -> None:
    """Send the signals, `grace` seconds each, until this very process is gone. Raises Unavailable."""
    for number in signals:
        if identity(pid) == known:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + grace
        while identity(pid) == known and time.monotonic() < deadline:
            time.sleep(0.02)
    if identity(pid) == known:
        raise Unavailable(f"process {pid} of an earlier run does not end; end it and start again")


def end_recorded(file: Path, signals: Sequence[int] = (signal.SIGTERM, signal.SIGKILL)) -> None:
    """End the process that a file of `record` names, if that very one still lives; remove the file."""
    try:
        noted = json.loads(file.read_text())
        end(int(noted["pid"]), str(noted["identity"]), signals)
    except FileNotFoundError:
        return
    except (ValueError, KeyError, TypeError):
        raise Unavailable(f"{file} can't be read; end the processes of the earlier run and remove it")
    file.unlink()


def spawn(
    argv: Sequence[str],
    *,
    environment: Mapping[str, str],
    folder: Path = PROJECT,
    log: Path | None = None,
    death_signal: int = signal.SIGTERM,
    own_session: bool = True,
    **options: Any,
) -> subprocess.Popen[bytes]:
    """Start a child that gets `death_signal` when this process dies; its output goes to the end of `log`.

    The kernel ties that signal to the thread that starts the child, so only the main thread may call this.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("spawn must be called from the main thread")
    parent = os.getpid()

    def in_child() -> None:
        for number in LEAVE:  # what this process ignores, the child need not
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        die_with_parent(death_signal)
        if os.getppid() != parent:  # the parent died before the line above took hold
            os._exit(1)

    with log.open("ab") if log else contextlib.nullcontext() as output:
        if output is not None:
            options = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": subprocess.STDOUT} | options
        options |= {"cwd": folder, "env": environment, "start_new_session": own_session}
        return subprocess.Popen(argv, preexec_fn=in_child, **options)


def stop(child: subprocess.Popen[bytes], signals: Sequence[int], *, grace: float = 10.0) -> None:
    """Send the signals, `grace` seconds each, until the child has ended."""
    for number in signals:
        child.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(grace)
            return
    child.wait()


@dataclass
class _Kept:
    row: Row
    child: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    due: float = float("inf")  # not before `start`
    quick: int = 0


class Supervisor:
    """Keeps the rows running from the main thread, with logs/<name>.log and run/<name>.json under `state`."""

    def __init__(self, rows: Sequence[Row], state: Path, environment: Mapping[str, str], say: Say) -> None:
        self.kept, self.state, self.say = list(map(_Kept, rows)), state, say
        # No process gets the address of another's role, the owner's least of all.
        self.environment = {
            name: value for name, value in environment.items() if not re.fullmatch("DATABASE_.+_URL", name)
        }
        (state / "logs").mkdir(parents=True, exist_ok=True)
        for file in sorted((state / "run").glob("*.json")):
            if file.stem not in SERVERS:
                end_recorded(file)
        # Taken with sigtimedwait below, so that a death is seen at once and no signal cuts a step in two.
        signal.pthread_sigmask(signal.SIG_BLOCK, LEAVE | {signal.SIGCHLD})

    def add(self, rows: Iterable[Row]) -> None:
        """Add rows before the start."""
        self.kept += map(_Kept, rows)

    def start(self) -> None:
        """Start every row."""
        for kept in self.kept:
            self._launch(kept)

    def _launch(self, kept: _Kept) -> None:
        row = kept.row
        own = {**self.environment, "RINGI_PROCESS": row.name, **row.environment}
        log = self.log(row.name)
        kept.child = spawn(row.argv, environment=own, log=log, death_signal=signal.SIGKILL, pass_fds=row.files)
        kept.started = time.monotonic()
        record(self.state / "run" / f"{row.name}.json", kept.child.pid)

    def log(self, name: str) -> Path:
        """Return where a process of this name writes."""
        return self.state / "logs" / f"{name}.log"

    def tend(self, seconds: float) -> None:
        """Wait until something happens, at most `seconds`; restart what died. Raises ShutdownRequested."""
        for kept in self.kept:
            self._look(kept, time.monotonic())
        due = [kept.due - time.monotonic() for kept in self.kept if kept.child is None]
        caught = signal.sigtimedwait(LEAVE | {signal.SIGCHLD}, max(0.0, min([seconds, *due])))
        if caught and caught.si_signo in LEAVE:
            raise ShutdownRequested
        for kept in self.kept:
            self._look(kept, time.monotonic())

    def _look(self, kept: _Kept, now: float) -> None:
        if kept.child is None:
            if now >= kept.due:
                self._launch(kept)
            return
        status = kept.child.poll()
        if status is None:
            return
        kept.quick = kept.quick + 1 if now - kept.started < QUICK_SECONDS else 0
        slow = kept.quick > QUICK_DEATHS
        pause = SLOWEST if slow else min(SLOWEST, 0.125 * 2**kept.quick) if kept.quick else 0.0
        kept.child, kept.due = None, now + pause
        ended = f"ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        if not slow:
            self.say(f"{kept.row.name} {ended}; it is started anew")
        elif kept.quick == QUICK_DEATHS + 1:
            log = self.log(kept.row.name)
            self.say(f"{kept.row.name} does not stay up ({ended}); tried every {SLOWEST:.0f} s, see {log}")

    def foreground(self, argv: Sequence[str], environment: Mapping[str, str], **options: Any) -> int:
        """Run a command to its end, or to a request to end, while tending the rows; return its exit status."""
        child = spawn(argv, environment=environment, **options)
        try:
            while child.poll() is None:
                self.tend(1.0)
        finally:
            if child.poll() is None:
                stop(child, (signal.SIGTERM, signal.SIGKILL))
        return child.returncode

    def stop(self) -> None:
        """End all rows, stage after stage."""
        for stage in sorted({kept.row.stage for kept in self.kept}):
            children = [kept.child for kept in self.kept if kept.row.stage == stage and kept.child]
            for child in children:
                child.send_signal(signal.SIGTERM)
            for child in children:
                stop(child, (0, signal.SIGKILL))
        for kept in self.kept:
            (self.state / "run" / f"{kept.row.name}.json").unlink(missing_ok=True)
        self.kept = []


class _SetUp:
    """One `up` or `demo` from an empty folder to its end."""

    def __init__(self, name: str) -> None:
        self.state, self.demo, self.aloud = PROJECT / "var" / name, name == "demo", True
        (self.state / "logs").mkdir(parents=True, exist_ok=True)
        self.listener = bind_port(os.environ.get("RINGI_PORT"), self.say)
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.live_listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
        self.procedure = os.environ.get("RINGI_TRIAL_PROCEDURE") or "releases/procedures/default"
        own = {"RINGI_STATE_DIR": str(self.state), "RINGI_BASE_URL": self.url, "RINGI_TRIAL": "1"}
        own |= {"RINGI_LIVE_URL": f"http://127.0.0.1:{self.live_listener.getsockname()[1]}/live/"}
        own |= {"RINGI_LEDGER_PUBLIC_KEY": str(self.state / "ledger.pub")}
        own |= {"RINGI_DEMO": "1"} if self.demo else {}
        self.environment = {**os.environ, **load_or_create_secrets(self.state / "secrets.json", ["SECRET_KEY"]), **own}
        self.supervisor = Supervisor([], self.state, self.environment, self.say)

    def say(self, line: str) -> None:
        """Print a line, unless the story is printing, and keep it in logs/supervisor.log."""
        if self.aloud:
            print(line, flush=True)
        with (self.state / "logs" / "supervisor.log").open("a") as log:
            log.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {line}\n")

    def manage(self, *arguments: str, **extra: str) -> str:
        """Run a management command to its end; return what it printed. Raises Unavailable."""
        environment, argv = {**self.environment, **extra}, (sys.executable, "manage.py", *arguments)
        with tempfile.TemporaryFile() as out, self.supervisor.log(arguments[0]).open("wb") as log:
            files: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": out, "stderr": log}
            status = self.supervisor.foreground(argv, environment, **files)
            out.seek(0)
            printed = out.read().decode(errors="replace")
        if status:
            said = (printed + self.supervisor.log(arguments[0]).read_text(errors="replace")).strip()
            raise Unavailable(f"manage.py {' '.join(arguments)} ended with {status}:\n{said}")
        return printed

    def run_story(self, *arguments: str) -> int:
        """Run the story's program with the terminal's output."""
        argv = (sys.executable, "-m", "releases.demo.story", "--state", str(self.state), *arguments)
        return self.supervisor.foreground(argv, self.environment, stdin=subprocess.DEVNULL)

    def start(self) -> None:
        """Bring database, procedure and static files to this version, then start the rows."""
        if self.demo:
            self.end_measurements()
            for entry in [entry for entry in self.state.iterdir() if entry.name not in KEPT_BY_DEMO]:
                shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
        self.say("Preparing the database …")
        self.manage("migrate", "--noinput", DATABASE_URL=self.environment["DATABASE_OWNER_URL"])
        self.manage("procedure", "load", self.procedure, "--put-into-effect")
        self.manage("collectstatic", "--noinput")
        self.supervisor.add(
            rows(self.listener.fileno(), self.live_listener.fileno(), self.manage("worker").split(), self.environment)
        )
        self.supervisor.start()
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException):
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
                connection.request("GET", "/health/")
                if connection.getresponse().status == 200:
                    self.take_key()
                    return connection.close()
            if time.monotonic() > deadline:
                raise Unavailable(f"the web server does not answer; see {self.supervisor.log('web')}")
            self.supervisor.tend(0.1)

    def take_key(self) -> None:
        """Copy the ledger signer's public key out of its folder, once, as root would. Raises OSError until it is
        made.
        """
        taken = self.state / "ledger.pub"
        if not taken.exists():
            write_private(taken, (self.state / "ledger_signer" / "key.pub").read_text("utf-8"))

    def end_measurements(self) -> None:
        """End what the demo runs outside the supervisor, also after a demo that was killed."""
        if (self.state / "targets").exists() and self.run_story("--clean"):
            raise Unavailable("the sample's processes of the demo could not be ended")

    def run(self, leave_after_story: bool) -> int:
        """Run until asked to end; return the exit status."""
        status = 0
        try:
            self.start()
            if self.demo:
                self.aloud = False
                status = self.run_story("--base-url", self.url)
                self.aloud = True
                if leave_after_story:
                    return status
            else:
                first = json.loads(self.manage("create_first_administrator"))
                self.say("This is a trial set-up: its servers and its data live in var/up, on this machine.")
                if first:  # kept nowhere, and printed at each start until it was used
                    print("Administrator: {username}\nInvitation: {invitation}".format(**first), flush=True)
            self.say(f"Ringi answers at {self.url}/   (Ctrl-C ends it)")
            while True:
                self.supervisor.tend(60)
        except ShutdownRequested:
            return status
        finally:
            for number in LEAVE:  # already ending; drops those that wait, too
                signal.signal(number, signal.SIG_IGN)
            self.supervisor.stop()
            if self.demo:
                self.end_measurements()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `up` or `demo` below `config.development.embedded exec`, which starts or finds the servers first."""
    parser = argparse.ArgumentParser(prog="python -m config.development.processes")
    parser.add_argument("name", choices=("up", "demo"))
    parser.add_argument("--exit", action="store_true", help="end after the story")
    parser.add_argument("--with-parent", action="store_true", help="end when the process above ends")
    parser.add_argument("--served", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if not options.served:
        given = sys.argv[1:] if arguments is None else list(arguments)
        above = ["exec", "--state", str(PROJECT / "var" / options.name)]
        above += ["--fresh"] * (options.name == "demo") + ["--with-parent"] * options.with_parent
        own = [sys.executable, "-m", "config.development.processes", *given, "--served"]
        os.execv(sys.executable, [sys.executable, "-m", "config.development.embedded", *above, "--", *own])
    try:
        return _SetUp(options.name).run(options.exit)
    except Unavailable as error:
        print(f"ringi: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
