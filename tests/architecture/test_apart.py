"""What runs apart from the other tests can be started: each file imports what it names, and each fixture is there."""

from __future__ import annotations

import subprocess
import sys

import pytest

from .files import ROOT

MEASUREMENTS = ("-o", "python_files=bench_*.py", "-o", "python_functions=bench_*", "-p", "no:xdist")


@pytest.mark.parametrize(
    ("folder", "files", "options"),
    [
        ("benchmarks", "bench_*.py", MEASUREMENTS),
        ("tests/applications", "test_*.py", ()),
        ("tests/browser", "test_*.py", ()),
        ("tests/chaos", "test_*.py", ()),
        ("tests/upgrade", "dump_case.py", ("-o", "python_files=dump_case.py")),
    ],
)
def test_each_file_is_found_with_all_that_it_needs(folder: str, files: str, options: tuple[str, ...]) -> None:
    argv = [sys.executable, "-m", "pytest", folder, "-p", "no:cacheprovider", "-q", "--setup-plan", *options]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]
    missing = {path.name for path in (ROOT / folder).glob(files) if f"{path.name}::" not in done.stdout}
    assert not missing, "a file without a test"
