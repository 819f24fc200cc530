"""Starts a program that outlives its starter; run as a script by service_control, by the bare
interpreter.

Arguments: record file, log file, what is to be recorded beside the process as a JSON object, seconds, the program's
sandbox as JSON (read, write, account; null for none), then the program's argument list. The record is written by the
process that becomes the program, so that no moment exists in which it runs and is not recorded. A program that ends
within these seconds ends this one with its exit code; 0 is added to the record.
"""

import importlib
import json
import os
import stat
import sys
import time
from datetime import UTC, datetime
from typing import Any


def start_time() -> int:
    """Return this process's start time in clock ticks since boot (field 22 of its stat)."""
    with open("/proc/self/stat", "rb") as file:
        return int(file.read().rpartition(b")")[2].split()[19])


def main(record: str, log: str, beside: str, seconds: str, sandbox: str, *arguments: str) -> None:
    """Fork, become a session of its own, write the record, and become the program."""
    started, starting = os.pipe()
    if child := os.fork():
        # The process that waits for this one ends its group then: the child must have left the group by that time.
        # The pipe ends when the child becomes the program (or dies).
        os.close(starting)
        os.read(started, 1)
        os._exit(_end_of(child, float(seconds), record))
    os.setsid()
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | (os.O_NOFOLLOW if sandbox != "null" else 0), 0o640)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    described = {
        "pid": os.getpid(),
        "started": start_time(),
        "started_at": datetime.now(UTC).isoformat(),
        "argv": list(arguments),
        **json.loads(beside),
    }
    _write(record, described)
    try:
        _confine(json.loads(sandbox))
        os.execvp(arguments[0], arguments)
    except OSError as error:
        os.write(2, f"{arguments[0]}: {error.strerror}\n".encode())
        os._exit(127)


_FROM_ZIP = (
    "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); runpy.run_module(sys.argv.pop(1), None, '__main__')"
)


def _confine(sandbox: dict[str, list[Any]] | None) -> None:
    if sandbox is None:
        return
    # By its file: this is a script of the bare interpreter, which knows no package.
    sys.path.insert(0, os.path.dirname(__file__))
    enter = importlib.import_module("landlock").enter
    if sandbox["account"]:
        user, group, *groups = sandbox["account"]
        os.setgroups(groups)
        os.setgid(group)
        os.setuid(user)
    enter(sandbox["read"], sandbox["write"])


def _write(record: str, described: dict[str, object]) -> None:
    fresh = f"{record}.{os.getpid()}"
    mode = 0o640 if os.stat(os.path.dirname(record)).st_mode & stat.S_ISGID else 0o600
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode), "w") as file:
        json.dump(described, file)
        file.flush()
        os.fsync(file.fileno())
    os.rename(fresh, record)


def _end_of(child: int, seconds: float, record: str) -> int:
    """Return the exit code of a program that ends within so many seconds, 0 for one that lives on."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            if code == 0:
                with open(record) as file:
                    described = json.load(file)
                _write(record, {**described, "exit_code": 0})
            return code if code >= 0 else 128 - code
        time.sleep(0.02)
    return 0


def starter() -> list[str]:
    """Return the beginning of an argument list that runs this file, out of the bundle on a target's host as well."""
    bare = [sys.executable, "-I", "-S"]
    if os.path.isfile(__file__):
        return [*bare, os.path.realpath(__file__)]
    zipped = __file__.removesuffix("/" + __name__.replace(".", "/") + ".py")
    return [*bare, "-c", _FROM_ZIP, zipped, __name__]


if __name__ == "__main__":
    main(*sys.argv[1:])
