"""Targets on a host that is a real sshd on the loopback, and the processes of a step there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.releases.step_types.conftest import Host, Target


@pytest.fixture
def there(bare_target: Target, host: Host) -> Target:
    """An empty target without a database, on the host."""
    bare_target.move_to(host)
    return bare_target


@pytest.fixture
def installed(target: Target, host: Host) -> Target:
    """A target on the host with the old version deployed."""
    target.install_old()
    target.move_to(host)
    return target


def processes(*words: str) -> Iterator[int]:
    """Yield the processes that have each of the words in their arguments."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                arguments = (entry / "cmdline").read_bytes().split(b"\0")
                state = (entry / "stat").read_bytes().rpartition(b")")[2].split()[0]
            except (FileNotFoundError, ProcessLookupError):
                continue
            if state != b"Z" and all(any(word.encode() in argument for argument in arguments) for word in words):
                yield int(entry.name)


def clients(target: Target) -> list[int]:
    """Return the ssh programs that are connected for a target."""
    return list(processes("IdentityFile=/proc/", str(target.spec.root)))
