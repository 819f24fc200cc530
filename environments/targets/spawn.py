"""Starts the programs of the steps: each in a group of its own, and killed when the worker that started it dies."""

import ctypes
import functools
import os
import select
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from environments.targets.base import StepFailed
from environments.targets.landlock import enter
from environments.targets.sandbox import Sandbox
from environments.targets.words import gettext as _

PR_SET_PDEATHSIG = 1
# The parent may have died before the request was made; the signal would then never come. The script is constant and its
# arguments are passed on unchanged: no shell ever reads one. Variables that a shell adds are removed again.
STILL_THERE = 'unset PWD OLDPWD SHLVL; test "$PPID" = "$0" && exec "$@"; exit 137'

# Bound before any fork: the child may not import or look up anything between fork and exec.
_prctl = ctypes.CDLL(None, use_errno=True).prctl


def start(
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str],
    folder: Path,
    stdin: int = subprocess.DEVNULL,
    stderr: int = subprocess.STDOUT,
    pass_fds: Sequence[int] = (),
    sandbox: Sandbox | None = None,
) -> subprocess.Popen[bytes]:
    """Start an argument list with stdout in a pipe, in a sandbox if given. Raises StepFailed for a missing program."""
    tie: tuple[str, ...] = ()
    options: dict[str, Any] = {}
    try:
        # A fork copies the page tables of the whole worker, and the worker faults on each page afterwards: ten times as
        # long as a spawn, which Python makes only where no function is to be called in the child. A program that the
        # kernel may refuse to run is left to the fork, which reports that.
        if _runs(arguments[0], environment, folder) and (tie := _tie()):
            tie = (*tie, str(os.getpid()))
        else:
            options["preexec_fn"] = _dies_with(os.getpid())
        options |= {"stdin": stdin, "stdout": subprocess.PIPE, "stderr": stderr, "cwd": folder, "process_group": 0}
        if sandbox is not None and sandbox.account:
            user, group, *groups = sandbox.account
            options |= {"user": user, "group": group, "extra_groups": groups}
        options |= {"env": dict(environment), "pass_fds": tuple(pass_fds)}
        words = [*tie, *arguments]
        return subprocess.Popen(words, **options) if sandbox is None else _confined(sandbox, words, options)
    except OSError as error:
        text = _("%(command)s could not be started: %(reason)s")
        raise StepFailed(text % {"command": Path(arguments[0]).name, "reason": error.strerror or error}) from error


def _confined(sandbox: Sandbox, words: Sequence[str], options: Mapping[str, Any]) -> subprocess.Popen[bytes]:
    """Start a program from a thread of its own that has entered the sandbox: the program inherits it. Raises OSError.

    The thread lives as long as the program, because the kernel ends a tied program with the thread that started it.
    """
    answers: SimpleQueue[subprocess.Popen[bytes] | Exception] = SimpleQueue()

    def stand_by() -> None:
        try:
            enter(sandbox.read, sandbox.write)
            answers.put(process := subprocess.Popen(words, **options))
            pidfd = os.pidfd_open(process.pid)
        except Exception as fault:  # noqa: BLE001  raised again where the program was requested
            answers.put(fault)
            return
        ended = select.poll()
        ended.register(pidfd, select.POLLIN)
        ended.poll()
        os.close(pidfd)

    threading.Thread(target=stand_by, name="sandbox", daemon=True).start()
    if isinstance(answer := answers.get(), Exception):
        raise answer
    return answer


@functools.cache
def _tie() -> tuple[str, ...]:
    """Return the arguments before a program and its parent's number that tie them; () where setpriv is not
    util-linux's.
    """
    setpriv, shell = shutil.which("setpriv"), shutil.which("sh")
    if setpriv is None or shell is None:
        return ()
    tie = (setpriv, "--pdeathsig", "KILL", "--")
    knows = subprocess.run([*tie, shell, "-c", ":"], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return (*tie, shell, "-c", STILL_THERE) if knows.returncode == 0 else ()


def _runs(program: str, environment: Mapping[str, str], folder: Path) -> bool:
    """Tell whether the kernel can run a program: a shell would read an unknown format as a script."""
    named = str(folder / program) if "/" in program else program
    found = shutil.which(named, path=environment.get("PATH", os.defpath))
    if found is None:
        return False
    try:
        with open(found, "rb") as file:
            first = file.readline(256)
    except OSError:
        return False
    interpreter = first[2:].split()[:1] if first.startswith(b"#!") else []
    return first.startswith(b"\x7fELF") or bool(interpreter) and os.access(interpreter[0], os.X_OK)


def _dies_with(parent: int) -> Callable[[], None]:
    def in_child() -> None:
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(137)

    return in_child
