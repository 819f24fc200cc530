"""Runs argument lists for the step types: own process group, bounded in time, masked output, killed with the worker."""

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from environments.targets.base import Fenced, Overdue, StepContext, StepFailed, TargetSpec
from environments.targets.masking import Mask, passwords_in
from environments.targets.sandbox import Sandbox, sandbox_of
from environments.targets.spawn import start
from environments.targets.words import gettext as _

TAIL_BYTES = 4096
BEAT_SECONDS = 1.0
# The folder for temporary files of a target's programs, below its root.
TEMPORARY = ".ringi/tmp"
GRACE_SECONDS = 5.0


@dataclass(frozen=True)
class Outcome:
    """How a command ended: exit code (negative: ended by that signal), last 4 kB of masked output, seconds taken."""

    code: int
    tail: bytes
    seconds: float

    @property
    def text(self) -> str:
        """Return the tail as text."""
        return self.tail.decode(errors="replace").strip()


# Runs an argument list; takes extra, pass_fds and allowed as Held.run does.
Runs = Callable[..., Outcome]


def base_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the whole environment of a command: only PATH and HOME of the worker's own."""
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": os.environ.get("HOME", "/"),
        "LANG": "C.UTF-8",
        # A laid tree is never changed; byte code beside the sources would change its digest.
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return environment | dict(extra or {})


def secrets_of(context: StepContext) -> tuple[str, ...]:
    """Return the context's secrets and the passwords inside the URLs of both configurations."""
    values = [*context.configuration.values(), *context.previous_configuration.values()]
    return (*context.secrets, *passwords_in(values))


def _signal_group(group: int, number: int) -> bool:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True


class _Reader:
    """Reads the command's output, masks it, passes it on and keeps its tail."""

    def __init__(self, pipe: int, output: Callable[[bytes], None], secrets: Iterable[str]) -> None:
        self.pipe = pipe
        self.open = True
        self.tail = b""
        self.heard_at = time.monotonic()
        self._output = output
        self._mask = Mask(secrets)
        os.set_blocking(pipe, False)

    def _pass_on(self, text: bytes) -> None:
        if text:
            self.tail = (self.tail + text)[-TAIL_BYTES:]
            self._output(text)

    def read(self) -> None:
        """Read what is there without waiting."""
        while self.open:
            try:
                chunk = os.read(self.pipe, 65536)
            except BlockingIOError:
                return
            if not chunk:
                self.open = False
                return
            self.heard_at = time.monotonic()
            self._pass_on(self._mask.feed(chunk))
            if len(chunk) < 65536:
                return

    def finish(self) -> None:
        """Read the rest and pass on the bytes that the mask held back."""
        self.read()
        self._pass_on(self._mask.flush())


def _await(
    process: subprocess.Popen[bytes],
    reader: _Reader,
    until: float,
    heartbeat: Callable[[], None],
    silence: float | None = None,
) -> Literal["ended", "late", "no_output"]:
    """Wait for the leader's end with a heartbeat at least every second; return why it must be stopped.

    Its time is over, or it has written nothing for `silence` seconds.
    """
    pidfd = os.pidfd_open(process.pid)
    next_heartbeat = time.monotonic() + BEAT_SECONDS
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(pidfd, selectors.EVENT_READ)
            selector.register(reader.pipe, selectors.EVENT_READ)
            while True:
                now = time.monotonic()
                if now >= next_heartbeat:
                    heartbeat()
                    next_heartbeat = now + BEAT_SECONDS
                if now >= until:
                    return "late"
                patience = reader.heard_at + silence if silence is not None else until
                if now >= patience:
                    return "no_output"
                selector.select(max(0.0, min(next_heartbeat, until, patience) - now))
                was_open = reader.open
                reader.read()
                if was_open and not reader.open:
                    selector.unregister(reader.pipe)
                # Not reaped yet: as long as the leader is a zombie its group's number cannot be given to any other
                # group.
                if os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None:
                    return "ended"
    finally:
        os.close(pidfd)


def _end(process: subprocess.Popen[bytes], reader: _Reader, *, gently: bool) -> None:
    if gently:
        _signal_group(process.pid, signal.SIGTERM)
        _await(process, reader, time.monotonic() + GRACE_SECONDS, lambda: None)
    _signal_group(process.pid, signal.SIGKILL)


def run_command(
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str],
    folder: Path,
    seconds: float,
    output: Callable[[bytes], None] = lambda _chunk: None,
    heartbeat: Callable[[], None] = lambda: None,
    secrets: Iterable[str] = (),
    pass_fds: Sequence[int] = (),
    silence: float | None = None,
    sandbox: Sandbox | None = None,
) -> Outcome:
    """Run one argument list to its end and return its outcome; no shell reads it. For a program of a target: run_on.

    The group gets TERM at the deadline, or after `silence` seconds without output, and KILL 5 s later. An exception of
    heartbeat() or output() ends it as well: Fenced at once, any other one after a TERM. The leader is killed when the
    calling thread's process dies; all members inherit `pass_fds`. Raises StepFailed when it cannot be started, Overdue
    when it was stopped.
    """
    name = Path(arguments[0]).name
    began = time.monotonic()
    process = start(arguments, environment=environment, folder=folder, pass_fds=pass_fds, sandbox=sandbox)
    assert process.stdout is not None
    reader = _Reader(process.stdout.fileno(), output, secrets)
    try:
        ended = _await(process, reader, began + seconds, heartbeat, silence)
        if ended != "ended":
            _end(process, reader, gently=True)
    except BaseException as error:
        reader._output = lambda _chunk: None
        _end(process, reader, gently=not isinstance(error, Fenced))
        process.wait()
        process.stdout.close()
        raise
    # Members that outlive their leader would go on changing the target unnoticed.
    _signal_group(process.pid, signal.SIGKILL)
    code = process.wait()
    reader.finish()
    process.stdout.close()
    outcome = Outcome(code, reader.tail, time.monotonic() - began)
    if ended == "ended":
        return outcome
    text = _("%(command)s did not end within %(seconds)d s and was stopped (exit code %(code)d)")
    if ended == "no_output":
        text, seconds = (
            _("%(command)s wrote nothing for %(seconds)d s and was stopped (exit code %(code)d)"),
            silence or 0,
        )
    raise Overdue(text % {"command": name, "seconds": round(seconds), "code": code}, state=outcome.text)


def demand(outcome: Outcome, arguments: Sequence[str], allowed: Iterable[int] = (0,)) -> Outcome:
    """Return the outcome if its exit code is allowed; raises StepFailed with the command's name and exit code."""
    if outcome.code in tuple(allowed):
        return outcome
    raise StepFailed(
        _("%(command)s ended with exit code %(code)d: %(last)s")
        % {"command": Path(arguments[0]).name, "code": outcome.code, "last": (outcome.text.splitlines() or [""])[-1]},
        state=outcome.text,
    )


def run_on(
    target: TargetSpec,
    arguments: Sequence[str],
    *,
    extra: Mapping[str, str] | None = None,
    confined: bool = True,
    read: Sequence[str] = (),
    write: Sequence[str] = (),
    tool: bool = False,
    **options: Any,
) -> Outcome:
    """Run one argument list in a target's folder and, if `confined`, in its sandbox.

    read, write, tool: as sandbox_of takes them. options, and what it raises: see run_command.
    """
    own = str(target.root)
    environment = {"RINGI_TARGET_ROOT": own, "HOME": own, "TMPDIR": f"{own}/{TEMPORARY}", **(extra or {})}
    sandbox = sandbox_of(target, arguments[0], read=read, write=write, tool=tool) if confined else None
    return run_command(
        arguments, environment=base_environment(environment), folder=target.root, sandbox=sandbox, **options
    )


def run_tool(
    target: TargetSpec, arguments: Sequence[str], *, allowed: Iterable[int] = (0,), tool: bool = True, **options: Any
) -> Outcome:
    """Run one of Ringi's own programs for a target outside of any step, for measurements; at most ten minutes. tool: no
    is a program of the target's.
    """
    return demand(run_on(target, arguments, seconds=600, tool=tool, **options), arguments, allowed)
