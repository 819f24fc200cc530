"""Removes each guard of tests/mutants.toml in a copy of the tree and expects its test to fail; `make mutants` calls it.

Run as `python -m tests.mutants [WORD…]` with the servers' addresses in the environment; WORD: only guards that hold it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

ROOT = Path(__file__).resolve().parents[1]
LEFT_OUT = shutil.ignore_patterns(
    ".venv", "var", ".git", "__pycache__", ".hypothesis", ".mypy_cache", ".ruff_cache", ".pytest_cache"
)
TESTS_FAILED, SECONDS = 1, 300
# The database that each run copies; the first run makes it.
TEMPLATE = uuid.uuid4().hex


@dataclass(frozen=True)
class Mutant:
    """One guard: its place, its replacement, and the test that must fail."""

    guard: str
    file: str
    find: str
    put: str
    test: str


def listed(words: Sequence[str] = ()) -> list[Mutant]:
    """Return the guards of the list whose names hold one of the words; all without words."""
    with (ROOT / "tests" / "mutants.toml").open("rb") as file:
        rows = [Mutant(**row) for row in tomllib.load(file)["mutant"]]
    return [row for row in rows if not words or any(word in row.guard for word in words)]


def _run(copy: Path, tests: Sequence[str], seconds: int = SECONDS, template: str = TEMPLATE) -> tuple[int, str]:
    """Run tests in the copy; return pytest's status and what it printed last. template: empty for a database of its
    own.
    """
    environment = {**os.environ, "PYTHONPATH": str(copy), "RINGI_TEST_TEMPLATE": template}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        return -1, f"no end within {seconds} s"
    return done.returncode, "\n".join([*done.stderr.splitlines()[-5:], *done.stdout.splitlines()[-15:]])


def _result(copy: Path, mutant: Mutant) -> tuple[str, str]:
    """Return killed, survived or does not apply, with the reason."""
    path = copy / mutant.file
    kept = path.read_text(encoding="utf-8")
    if kept.count(mutant.find) != 1:
        return "does not apply", f"the text stands {kept.count(mutant.find)} times in {mutant.file}"
    try:
        path.write_text(kept.replace(mutant.find, mutant.put), encoding="utf-8")
        # What stands in the database is made from files of `audit`, and a survivor may stand there.
        status, printed = _run(copy, [mutant.test], template="" if mutant.file.startswith("audit/") else TEMPLATE)
        if status == 0:
            status, printed = _run(copy, [mutant.test], template="")
    finally:
        path.write_text(kept, encoding="utf-8")
    if status == TESTS_FAILED and " error" not in printed.splitlines()[-1]:
        return "killed", ""
    return ("survived", "") if status == 0 else ("does not apply", printed)


def main(words: Sequence[str]) -> int:
    """Run all guards, one copy of the tree a processor, print a table, and return 1 unless every one was killed."""
    mutants = listed(words)
    with tempfile.TemporaryDirectory(prefix="ringi-mutants-") as folder:
        copies: SimpleQueue[Path] = SimpleQueue()
        for number in range(os.cpu_count() or 1):
            copy = Path(folder) / f"tree{number}"
            shutil.copytree(ROOT, copy, ignore=LEFT_OUT, symlinks=True)
            (copy / "var").mkdir()
            (copy / "var" / "identity").symlink_to(ROOT / "var" / "identity")
            copies.put(copy)
        # The whole of them once, as the tree is; it also makes the database that each run copies.
        status, printed = _run(copy, sorted({mutant.test for mutant in mutants}), SECONDS + 10 * len(mutants))
        if status != 0:
            print(f"the named tests do not pass as the tree is:\n{printed}")
            return 1

        def evaluated(mutant: Mutant) -> tuple[Mutant, str, str, float]:
            copy, began = copies.get(), time.monotonic()
            try:
                return mutant, *_result(copy, mutant), time.monotonic() - began
            finally:
                copies.put(copy)

        wrong = 0
        with ThreadPoolExecutor(copies.qsize()) as pool:
            for mutant, result, reason, seconds in pool.map(evaluated, mutants):
                wrong += result != "killed"
                print(f"{result:<15} {seconds:5.1f} s  {mutant.guard:<70} {mutant.file}", flush=True)
                if reason:
                    print(reason, flush=True)
    print(f"{len(mutants) - wrong} of {len(mutants)} guards are held by their tests")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
