"""Ringi on several machines, as network namespaces: one of them loses its network during its work."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.development.processes import PROJECT
from tests.chaos.network import NAMES_FOLDER, Network, unavailable
from tests.chaos.tree import clean_environment
from tests.releases.sources.repositories import SSHD


@pytest.fixture
def network() -> Iterator[Network]:
    """Four machines; nothing of them is left, neither a process nor a name."""
    if reason := unavailable() or ("" if SSHD else "sshd is not installed: no target on another machine"):
        pytest.skip(reason)
    made = Network.made()
    yield made
    made.remove()
    assert not [name for name in os.listdir(NAMES_FOLDER) if name.startswith(made.prefix + "-")]


@pytest.mark.timeout(1500)
def test_a_machine_that_loses_its_network_costs_nothing(network: Network, tmp_path: Path) -> None:
    """In a process of its own on the hub, with servers of its own that the other machines reach."""
    case = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "timeout_func_only=true"]
    case += ["tests/chaos/several_case.py"]
    servers = ["-m", "tests.chaos.open_servers", "exec", "--with-parent", "--throw-away"]
    argv = [*network.on("hub"), sys.executable, *servers, "--state", str(tmp_path / "servers"), "--"]
    ran = subprocess.run(
        [*argv, sys.executable, *case],
        cwd=PROJECT,
        env=clean_environment() | {"CHAOS_NETWORK": network.prefix},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-1000:]
