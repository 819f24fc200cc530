"""Programs of a release start in one place, which confines them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
STARTS = re.compile(r"\b(?:run_command|start|subprocess\.\w+|os\.(?:exec|spawn|posix_spawn|system|popen)\w*)\(")
# What starts a program past `run_on`, and why that is none of a release's.
KNOWN = {
    "releases/steps/runner.py": "run_on itself",
    "releases/steps/spawn.py": "starts what runner gives it, in a sandbox",
    "releases/steps/detach.py": "is started by run_on, and becomes a service once it is confined",
    "releases/steps/ssh/call.py": "git, which packs a tree for another host",
    "releases/steps/ssh/connection.py": "ssh",
    "releases/steps/ssh/host/boot.py": "Ringi's own code on a host",
    "releases/worker/poll.py": "the verification of the ledger",
}


def test_nothing_starts_a_program_of_a_release_outside_of_its_sandbox() -> None:
    found = set()
    for folder in ("steps", "checks", "metrics", "worker", "operations"):
        for path in (ROOT / "releases" / folder).rglob("*.py"):
            text = re.sub(r"\.start\(|def \w+\(", "", path.read_text(encoding="utf-8"))
            if STARTS.search(text):
                found.add(str(path.relative_to(ROOT)))
    assert found == set(KNOWN)
