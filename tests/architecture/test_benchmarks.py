"""The measurements can be started: they are no part of the tests, so that nothing else would show it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_each_measurement_is_found_with_all_that_it_needs() -> None:
    options = ["-p", "no:xdist", "-p", "no:cacheprovider", "-q", "--setup-plan"]
    options += ["-o", "python_files=bench_*.py", "-o", "python_functions=bench_*"]
    command = [sys.executable, "-m", "pytest", "benchmarks", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]
    missing = {path.name for path in ROOT.glob("benchmarks/bench_*.py") if f"{path.name}::" not in done.stdout}
    assert not missing, "a file without a measurement"
