"""A demo killed by SIGKILL in the middle of a deployment leaves only the sample's services, and the next one holds."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from config.development.processes import identity
from tests.chaos.running import children, until
from tests.chaos.tree import Tree

GONE_SECONDS, BOUND_SECONDS = 2.0, 900


def _below(pid: int) -> set[int]:
    """Return a process and everything below it."""
    return {pid}.union(*(_below(child) for child in children(pid)))


def _supervisor(pid: int) -> int:
    """Return the process below `make` that keeps the others running."""
    return next(found for found in _below(pid) if _words(found)[1:3] == [b"-m", b"config.development.processes"])


def _words(pid: int) -> list[bytes]:
    return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") if identity(pid) else []


@pytest.mark.timeout(2 * BOUND_SECONDS + 60)
def test_a_demo_killed_in_the_middle_leaves_nothing_and_the_next_one_holds(tree: Tree) -> None:
    first = tree.start()
    journal = tree.state / "targets" / "production" / ".ringi" / "journal.jsonl"

    def in_the_middle() -> bool:
        assert first.poll() is None, tree.printed()[-2000:]
        entries = map(json.loads, journal.read_text().splitlines() if journal.exists() else [])
        return any(e["effect"] == "code_deploy:laid" and e["deployment"].startswith("deployment:") for e in entries)

    until("1.3.0's tree to be laid in production", in_the_middle, BOUND_SECONDS)
    below = {pid: identity(pid) for pid in _below(first.pid)}
    assert len(below) > 10, below
    os.kill(_supervisor(first.pid), signal.SIGKILL)
    deadline = time.monotonic() + GONE_SECONDS
    while _alive(below) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _alive(below), [b" ".join(_words(pid)) for pid in _alive(below)]
    assert first.wait(5) != 0
    left = tree.living()
    assert all("run.py serve" in words for words in left.values()), left
    assert tree.play(BOUND_SECONDS) == 0, tree.printed()[-3000:]
    assert tree.report()["ok"]
    assert tree.living() == {}


def _alive(known: dict[int, str | None]) -> list[int]:
    return [pid for pid, was in known.items() if was and identity(pid) == was]
