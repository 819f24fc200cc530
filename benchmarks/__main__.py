"""`python -m benchmarks [WORD…]`: runs the measurements (those whose names hold a WORD) and prints the table."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


def main(words: list[str]) -> int:
    """Run pytest over bench_*.py, in this process alone and without a limit of time; return its exit status."""
    chosen = ["-k", " or ".join(words)] if words else []
    options = ["-p", "no:xdist", "-p", "no:cacheprovider", "-s", "-q", "--no-header"]
    options += ["-o", "python_files=bench_*.py", "-o", "python_functions=bench_*", "-o", "timeout=0"]
    return int(pytest.main([str(HERE), *options, *chosen]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
