"""Each guard of tests/mutants.toml still exists in the code, and so does its test."""

from __future__ import annotations

import subprocess
import sys

from tests.mutants import ROOT, listed


def test_each_guard_is_once_where_the_list_says() -> None:
    found = {row.guard: (ROOT / row.file).read_text(encoding="utf-8").count(row.find) for row in listed()}
    assert found and {guard: count for guard, count in found.items() if count != 1} == {}


def test_the_test_of_each_guard_exists() -> None:
    """The names of parameters included, as pytest itself collects them."""
    tests = sorted({row.test for row in listed()})
    command = [sys.executable, "-m", "pytest", "-q", "--collect-only", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert tests and done.returncode == 0, done.stderr


def test_what_is_left_without_a_guard_can_be_read() -> None:
    """A test that fails over a fault of syntax shows nothing of what the guard protects."""
    unreadable = []
    for row in listed():
        if row.file.endswith(".py"):
            text = (ROOT / row.file).read_text(encoding="utf-8").replace(row.find, row.put)
            try:
                compile(text, row.file, "exec")
            except SyntaxError as fault:
                unreadable.append(f"{row.guard}: {fault}")
    assert unreadable == []
