"""PostgreSQL and Valkey on two servers each: the primary and the master are killed in the middle of a deployment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from config.development.processes import PROJECT
from tests.chaos.pair import paired
from tests.chaos.tree import clean_environment
from tests.sentinels import WATCHMAN, monitored


@pytest.mark.timeout(1100)
def test_a_failover_costs_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """In a process of its own, whose addresses name both servers of each kind."""
    argv = ["-m", "pytest", "-q", "-rP", "-p", "no:cacheprovider", "-o", "timeout_func_only=true"]
    (tmp_path / "valkey").mkdir()
    with paired(tmp_path / "servers") as pair, monitored(tmp_path / "valkey") as valkey:
        given = pair.servers(valkey.url).environment() | {
            "RINGI_SENTINEL_PASSWORD": WATCHMAN,
            "RINGI_STATE_DIR": str(tmp_path / "state"),
            "SECRET_KEY": "x" * 50,
            "CHAOS_PAIR": pair.text(),
            "CHAOS_MASTER": str(valkey.started["first"].pid),
        }
        ran = subprocess.run(
            [sys.executable, *argv, "tests/chaos/failover_case.py"],
            cwd=PROJECT,
            env=clean_environment() | given,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=1000,
        )
    print("\n".join(line for line in ran.stdout.splitlines() if line.startswith("failover: ")))
    assert ran.returncode == 0, ran.stdout[-9000:] + ran.stderr[-1000:]
