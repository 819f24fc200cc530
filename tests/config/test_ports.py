"""Ports given out to servers that are about to start."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

from config.development.ports import _bindable, free_port

MANY = "from config.development.ports import free_port\nfor _ in range(200): print(free_port())"


def test_processes_side_by_side_never_get_the_same_port() -> None:
    started = [subprocess.Popen([sys.executable, "-c", MANY], stdout=subprocess.PIPE) for _ in range(4)]
    given = [int(line) for child in started for line in child.communicate(timeout=60)[0].split()]
    assert len(given) == len(set(given)) == 800
    own = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert max(given) < own, "the kernel gives that one to any connection"


def test_a_port_in_use_is_left_out() -> None:
    taken = free_port()
    with socket.create_server(("127.0.0.1", taken)):
        assert not _bindable(taken)
    assert _bindable(taken)
