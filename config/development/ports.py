"""Ports of the loopback, for servers that are started with the number of theirs."""

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_FIRST = 11_000


def free_port() -> int:
    """Return a loopback port on which nothing listens, and which no other caller of this account gets soon.

    A port that the kernel picks may be picked again before its server has started, for another server or for a
    connection. These lie below the kernel's own and are given out in turn; the next one stands in a file.
    Raises OSError where all of them are taken.
    """
    end = int(_RANGE.read_text().split()[0])
    if end <= _FIRST:
        end = 61_000
    # Another account may have put a link there.
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
    descriptor = os.open(Path(tempfile.gettempdir()) / f"ringi-next-port-{os.getuid()}", flags, 0o600)
    with open(descriptor, "r+", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        noted = file.read().strip()
        port = int(noted) if noted.isdigit() else random.randrange(_FIRST, end)  # noqa: S311  no secret
        for number in range(end - _FIRST):
            candidate = _FIRST + (port - _FIRST + number) % (end - _FIRST)
            if _bindable(candidate):
                file.seek(0)
                file.truncate()
                file.write(str(candidate + 1))
                return candidate
    raise OSError("all ports of the loopback are taken")


def _bindable(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
