"""Programs of a release start in one place, which confines them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
STARTS = re.compile(r"\b(?:run_command|start|subprocess\.\w+|os\.(?:exec|spawn|posix_spawn|system|popen)\w*)\(")
# Modules that start a program past `run_on`, and why it is not a release's.
KNOWN = {
    "environments/targets/runner.py": "run_on itself",
    "environments/targets/spawn.py": "starts what runner gives it, in a sandbox",
    "environments/targets/detach.py": "is started by run_on, and becomes a service once it is confined",
    "environments/targets/ssh/call.py": "git, which packs a tree for another host",
    "environments/targets/ssh/connection.py": "ssh",
    "environments/targets/ssh/host/boot.py": "Ringi's own code on a host",
    "releases/worker/poll.py": "the verification of the ledger",
}


def test_nothing_starts_a_program_of_a_release_outside_of_its_sandbox() -> None:
    found = set()
    types = ("step_types", "check_types", "metric_sources", "worker", "operations", "queries")
    for folder in ("environments/targets", *(f"releases/{name}" for name in types)):
        for path in (ROOT / folder).rglob("*.py"):
            text = re.sub(r"\.start\(|def \w+\(", "", path.read_text(encoding="utf-8"))
            if STARTS.search(text):
                found.add(str(path.relative_to(ROOT)))
    assert found == set(KNOWN)
