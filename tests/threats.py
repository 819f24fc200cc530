"""Plays each line of the table of threats and prints it with what stops or finds it; `make threats` calls it.

Run as `python -m tests.threats [WORD…]` with the servers' addresses in the environment; WORD: only lines that hold it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "explanation" / "threats.md"
_LINE = re.compile(r"^\| (?!-|who \|)(.+?) \|$", re.M)
_TEST = re.compile(r"`(tests/[\w/]+\.py::\w+)`")


@dataclass(frozen=True)
class Threat:
    """A line of the table: who tries what, what stops or finds it, how soon, and the tests that play it."""

    who: str
    tries: str
    finder: str
    soon: str
    tests: tuple[str, ...]


def listed(words: Sequence[str] = ()) -> list[Threat]:
    """Return the lines of the page whose text holds one of the words; all without words."""
    found = []
    for line in _LINE.findall(PAGE.read_text(encoding="utf-8")):
        who, tries, finder, soon, tests = (cell.strip() for cell in line.split(" | "))
        if not words or any(word in line for word in words):
            found.append(Threat(who, tries, finder, soon, tuple(_TEST.findall(tests))))
    return found


class Played:
    """The result of each test: passed, failed or skipped, and its seconds with fixtures; for pytest."""

    def __init__(self) -> None:
        self.outcomes: dict[str, str] = {}
        self.seconds: dict[str, float] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = report.nodeid.partition("[")[0]
        self.seconds[name] = self.seconds.get(name, 0.0) + report.duration
        if report.when == "call" or not report.passed:
            worst = {self.outcomes.get(name, "passed"), report.outcome}
            self.outcomes[name] = next(one for one in ("failed", "skipped", "passed") if one in worst)


def lines(threats: Sequence[Threat], played: Played) -> Iterator[tuple[bool, str]]:
    """Return for each line whether all its tests passed, and the line as it is printed."""
    for threat in threats:
        outcomes = [played.outcomes.get(test, "not run") for test in threat.tests] or ["no test"]
        wrong = [outcome for outcome in outcomes if outcome != "passed"]
        seconds = sum(played.seconds.get(test, 0.0) for test in threat.tests)
        result = wrong[0] if wrong else "held"
        yield (
            not wrong,
            f"{result:<8} {seconds:6.1f} s  {threat.who}: {threat.tries}\n{'':19}→ {threat.finder} ({threat.soon})",
        )


def main(words: Sequence[str]) -> int:
    """Play all lines, print the table, and return 1 unless every test passed."""
    threats, played = listed(words), Played()
    tests = sorted({test for threat in threats for test in threat.tests})
    pytest.main(
        ["-q", "-n", "3", "--dist", "loadfile", "--no-header", "--tb=short", "-p", "no:cacheprovider", *tests], [played]
    )
    results = list(lines(threats, played))
    print("\n".join(line for _held, line in results))
    print(f"{sum(held for held, _line in results)} of {len(threats)} threats are held")
    return 0 if threats and all(held for held, _line in results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
