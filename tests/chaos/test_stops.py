"""PostgreSQL stops again and again while many deployments are in progress; stops_case.py has the case."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.chaos.running import LEASE, alone

DEPLOYMENTS = int(os.environ.get("CHAOS_DEPLOYMENTS", "20"))


@pytest.mark.timeout(240 * LEASE + 8 * DEPLOYMENTS * LEASE)
def test_postgresql_stopped_under_many_deployments_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """In a process of its own, with servers of its own: each stop takes every connection away."""
    printed = alone("stops_case.py", tmp_path / "servers")
    print(
        *(line for line in printed.splitlines() if line.startswith("CHAOS_SEED") or " stops under " in line), sep="\n"
    )
