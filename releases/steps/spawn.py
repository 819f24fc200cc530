"""Starts the programs of the steps: each in a group of its own, and killed when the worker that started it dies."""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from releases.steps.base import StepFailed
from releases.steps.words import gettext as _

PR_SET_PDEATHSIG = 1
# The parent may have died before the request was made; the signal would then never come. The script is constant and
# its arguments are passed on as they are: no shell ever reads one. What a shell adds to the environment goes again.
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
) -> subprocess.Popen[bytes]:
    """Start an argument list with stdout in a pipe. Raises StepFailed when there is no such program to run."""
    options: dict[str, Any] = {}
    # A fork copies the tables of all of a worker's memory, and the worker faults on each page afterwards: ten times as
    # long as a spawn, which Python makes only where no function is to be called in the child.
    if tie := _tie():
        tie = (*tie, str(os.getpid()))
    else:
        options["preexec_fn"] = _dies_with(os.getpid())
    try:
        if tie:
            _require(arguments[0], environment, folder)
        return subprocess.Popen(
            [*tie, *arguments],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=stderr,
            cwd=folder,
            env=dict(environment),
            pass_fds=tuple(pass_fds),
            process_group=0,
            **options,
        )
    except OSError as error:
        raise StepFailed(
            _("%(command)s could not be started: %(reason)s")
            % {"command": Path(arguments[0]).name, "reason": error.strerror or error}
        ) from error


@functools.cache
def _tie() -> tuple[str, ...]:
    """Return what goes before a program and its parent's number to tie them; () where setpriv is not util-linux's."""
    setpriv, shell = shutil.which("setpriv"), shutil.which("sh")
    if setpriv is None or shell is None:
        return ()
    tie = (setpriv, "--pdeathsig", "KILL", "--")
    knows = subprocess.run([*tie, shell, "-c", ":"], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return (*tie, shell, "-c", STILL_THERE) if knows.returncode == 0 else ()


def _require(program: str, environment: Mapping[str, str], folder: Path) -> None:
    """Raise the OSError that starting the program would, which setpriv would only print."""
    named = str(folder / program) if "/" in program else program
    if shutil.which(named, path=environment.get("PATH", os.defpath)) is None:
        number = errno.EACCES if "/" in program and Path(named).exists() else errno.ENOENT
        raise OSError(number, os.strerror(number))


def _dies_with(parent: int) -> Callable[[], None]:
    def in_child() -> None:
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(137)

    return in_child
