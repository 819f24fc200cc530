"""Restricts a thread, and the programs it starts later, to given paths: Landlock, no new privileges, few capabilities.

`spawn` uses it, and `detach`, which the bare interpreter runs: it imports no module of Ringi.
"""

import ctypes
import functools
import os
import stat
from collections.abc import Sequence
from contextlib import suppress

# Below version 2 (Linux 5.19) a domain forbids every rename from one folder to another.
LEAST_VERSION = 2
_SYSTEM = (
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/sys",
    "/etc/resolv.conf",
    "/dev/urandom",
    "/dev/random",
)
# The files of /proc about the machine; those about processes stay closed.
_MACHINE = ("cpuinfo", "meminfo", "stat", "loadavg", "uptime", "version", "filesystems", "sys")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/tty")
_FILE = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14 | 1 << 15  # execute, write, read, truncate, ioctl
_LIST = 1 << 3
_READ = 1 << 0 | 1 << 2 | _LIST  # execute, read files, list folders
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF, _PATH_BENEATH = 444, 445, 446, 1
_NO_NEW_PRIVILEGES, _DROP_CAPABILITY, _HAS_CAPABILITY, _AMBIENT, _CLEAR = 38, 24, 23, 47, 4
# chown, dac_override, fowner, fsetid, kill, setgid, setuid, net_bind_service: what root's programs keep.
KEPT_CAPABILITIES = frozenset({0, 1, 3, 4, 5, 6, 7, 10})
_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _fields_ = (("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32))


@functools.cache
def landlock() -> int:
    """Return the version of this kernel's Landlock; 0 where it has none, or none that programs can work with."""
    version = int(_libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint(1)))
    return version if version >= LEAST_VERSION else 0


def enter(read: Sequence[str], write: Sequence[str]) -> None:
    """Restrict the calling thread for good: it may read and run the system and `read`, and do everything below `write`.

    Raises OSError. Without Landlock only the privileges are restricted.
    """
    _checked(_libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
    _checked(_libc.prctl(_AMBIENT, _CLEAR, 0, 0, 0))  # drops what a service manager has given to the worker
    if os.geteuid() == 0:
        for capability in range(64):
            if capability not in KEPT_CAPABILITIES and _libc.prctl(_HAS_CAPABILITY, capability, 0, 0, 0) == 1:
                _checked(_libc.prctl(_DROP_CAPABILITY, capability, 0, 0, 0))
    if not (version := landlock()):
        return
    handled = (1 << {2: 14, 3: 15, 4: 15}.get(version, 16)) - 1
    # From version 6 on, abstract Unix sockets of outside processes are out of reach as well.
    attributes = _Ruleset(handled, 0, int(version >= 6))
    size = ctypes.c_size_t(ctypes.sizeof(attributes) if version >= 6 else 8)
    ruleset = _checked(_libc.syscall(_CREATE_RULESET, ctypes.byref(attributes), size, ctypes.c_uint(0)))
    try:
        for path in (*_SYSTEM, *(f"/proc/{name}" for name in _MACHINE), *_public("/etc"), *read):
            _allow(ruleset, path, _READ)
        _allow(ruleset, "/etc", _LIST)
        for path in _DEVICES:
            _allow(ruleset, path, _FILE & handled & ~1)
        for path in write:
            _allow(ruleset, path, handled)
        _checked(_libc.syscall(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint(0)))
    finally:
        os.close(ruleset)


@functools.cache
def _public(folder: str) -> tuple[str, ...]:
    """Return the files and folders of /etc that everybody may read.

    For root they are listed two folders deep: no mode keeps root from the rest.
    """
    found: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):
                if entry.path == "/etc/ringi" or not entry.stat().st_mode & stat.S_IROTH:
                    continue
                deep = folder == "/etc" and entry.is_dir(follow_symlinks=False) and os.geteuid() == 0
                found += _public(entry.path) if deep else [entry.path]
    return tuple(found)


def _allow(ruleset: int, path: str, rights: int) -> None:
    """Add a rule for a path; a missing path, or one that this account cannot open, gets none."""
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        allowed = rights if stat.S_ISDIR(os.fstat(opened).st_mode) else rights & _FILE
        rule = ctypes.byref(_Beneath(allowed, opened))
        _checked(_libc.syscall(_ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(_PATH_BENEATH), rule, ctypes.c_uint(0)))
    finally:
        os.close(opened)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return int(result)
