"""Several machines on one: network namespaces on one bridge, each with an address of its own; used by
test_several.py.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from config.development.processes import identity

NAMES_FOLDER = Path("/run/netns")
BRIDGE = "ringi0"
ADDRESSES = {"hub": "10.77.0.1", "one": "10.77.0.11", "two": "10.77.0.12", "target": "10.77.0.20"}


def unavailable() -> str:
    """Return why there can be no machines here; empty when there can."""
    if shutil.which("ip") is None:
        return "iproute2 is not installed: no network namespaces"
    probe = f"ringi-{os.getpid()}-probe"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True)
    if made.returncode:
        return f"network namespaces are not permitted here: {made.stderr.strip()}"
    _ip("netns", "delete", probe)
    return ""


def _ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


@dataclass(frozen=True)
class Network:
    """The machines of one test, which begin with the prefix; all but the hub hang on a bridge in the hub."""

    prefix: str

    @classmethod
    def made(cls) -> Network:
        """Make the machines; what a killed test left is removed first."""
        for left in NAMES_FOLDER.glob("ringi-*-hub") if NAMES_FOLDER.exists() else ():
            number = left.name.split("-")[1]
            if number.isdecimal() and identity(int(number)) is None:
                cls(f"ringi-{number}").remove()
        network = cls(f"ringi-{os.getpid()}")
        try:
            network._make()
        except BaseException:
            network.remove()
            raise
        return network

    def _make(self) -> None:
        for name in ADDRESSES:
            _ip("netns", "add", self.name(name))
            _ip("-n", self.name(name), "link", "set", "lo", "up")
        hub = self.name("hub")
        _ip("-n", hub, "link", "add", BRIDGE, "type", "bridge")
        _ip("-n", hub, "address", "add", f"{ADDRESSES['hub']}/24", "dev", BRIDGE)
        _ip("-n", hub, "link", "set", BRIDGE, "up")
        for name in [name for name in ADDRESSES if name != "hub"]:
            far = ("peer", "name", "eth0", "netns", self.name(name))
            _ip("-n", hub, "link", "add", f"to-{name}", "type", "veth", *far)
            _ip("-n", hub, "link", "set", f"to-{name}", "master", BRIDGE, "up")
            _ip("-n", self.name(name), "address", "add", f"{ADDRESSES[name]}/24", "dev", "eth0")
            _ip("-n", self.name(name), "link", "set", "eth0", "up")

    def name(self, machine: str) -> str:
        """Return the name of a machine's namespace."""
        return f"{self.prefix}-{machine}"

    def on(self, machine: str) -> tuple[str, ...]:
        """Return the words that start a program on a machine; it becomes that program itself."""
        return ("ip", "netns", "exec", self.name(machine))

    def cut(self, machine: str) -> None:
        """Pull the cable of a machine out: nothing arrives, and no peer gets a message."""
        _ip("-n", self.name("hub"), "link", "set", f"to-{machine}", "down")

    def join(self, machine: str) -> None:
        """Put the cable back."""
        _ip("-n", self.name("hub"), "link", "set", f"to-{machine}", "up")

    def processes(self) -> list[int]:
        """Return what runs on the machines."""
        names = [name for name in map(self.name, ADDRESSES) if (NAMES_FOLDER / name).exists()]
        return [int(pid) for name in names for pid in _ip("netns", "pids", name).split()]

    def remove(self) -> None:
        """End the processes of the machines and remove the machines."""
        deadline = time.monotonic() + 10
        while (pids := self.processes()) and time.monotonic() < deadline:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)
        for name in map(self.name, ADDRESSES):
            if (NAMES_FOLDER / name).exists():
                _ip("netns", "delete", name)
