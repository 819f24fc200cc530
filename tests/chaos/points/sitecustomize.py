"""Holds a worker at a named point from outside: Python loads this by PYTHONPATH, the product knows nothing of it.

CHAOS_POINT is `EVENT ENDING SOURCE`: open, append or rename of a path that ends so, from a file so named (`*`: any);
or `call NAME SOURCE`: the beginning of a function so named in a file that ends so.
CHAOS_FAULT is `HOW NAME SOURCE`: the same place, met by every process for as long as `armed` is there: an assertion, a
kill, or no more memory.
The first process that gets there takes the file `armed` away, announces its pid on the pipe `inside`, waits on `go`.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from types import CodeType, FrameType

EVENTS = {"open": "open", "append": "open", "rename": "os.rename"}


def _called_from(frame: FrameType | None, source: str) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.endswith(source):
            return True
        frame = frame.f_back
    return False


def _hold(folder: str) -> None:
    try:
        os.rename(os.path.join(folder, "armed"), os.path.join(folder, "fired"))
    except FileNotFoundError:
        return
    with open(os.path.join(folder, "inside"), "wb", buffering=0) as inside:
        inside.write(b"%d\n" % os.getpid())
    with open(os.path.join(folder, "go"), "rb", buffering=0) as go:
        go.read(1)


def _monitoring(point: str, folder: str) -> None:
    event, ending, source = point.split(" ")

    def hook(name: str, given: tuple[object, ...]) -> None:
        if name != EVENTS[event] or not any(str(part).endswith(ending) for part in given[:2]):
            return
        if event == "append" and not int(str(given[2])) & os.O_APPEND:
            return
        if source == "*" or _called_from(sys._getframe(1), source):
            _hold(folder)

    sys.addaudithook(hook)


def _monitoring_calls(name: str, source: str, folder: str) -> None:
    monitoring = sys.monitoring
    monitoring.use_tool_id(monitoring.PROFILER_ID, "chaos")

    def begun(code: CodeType, _offset: int) -> object:
        if code.co_name != name or not code.co_filename.endswith(source):
            return monitoring.DISABLE
        _hold(folder)
        return None

    monitoring.register_callback(monitoring.PROFILER_ID, monitoring.events.PY_START, begun)
    monitoring.set_events(monitoring.PROFILER_ID, monitoring.events.PY_START)


def _strike(how: str) -> None:
    if how == "assert":
        raise AssertionError("struck by the test")
    if how == "memory":
        resource.setrlimit(resource.RLIMIT_AS, (1, resource.RLIM_INFINITY))
        try:
            bytearray(1 << 28)
        except MemoryError:
            os._exit(137)
    os.kill(os.getpid(), signal.SIGKILL)


def _strike_calls(how: str, name: str, source: str, folder: str) -> None:
    monitoring = sys.monitoring
    monitoring.use_tool_id(monitoring.PROFILER_ID, "chaos")

    def begun(code: CodeType, _offset: int) -> object:
        if code.co_name != name or not code.co_filename.endswith(source):
            return monitoring.DISABLE
        if os.path.exists(os.path.join(folder, "armed")):
            _strike(how)
        return None

    monitoring.register_callback(monitoring.PROFILER_ID, monitoring.events.PY_START, begun)
    monitoring.set_events(monitoring.PROFILER_ID, monitoring.events.PY_START)


if os.environ.get("CHAOS_FAULT"):
    _strike_calls(*os.environ["CHAOS_FAULT"].split(" "), os.environ["CHAOS_FOLDER"])
if os.environ.get("CHAOS_POINT"):
    if os.environ["CHAOS_POINT"].startswith("call "):
        _monitoring_calls(*os.environ["CHAOS_POINT"].split(" ")[1:], os.environ["CHAOS_FOLDER"])
    else:
        _monitoring(os.environ["CHAOS_POINT"], os.environ["CHAOS_FOLDER"])
