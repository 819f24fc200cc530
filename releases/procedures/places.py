"""Faults of a written procedure and where they stand: a dotted path and, in a TOML text, the nearest line."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Path = tuple[str | int, ...]
_HEADER = re.compile(r"^\s*(\[{1,2})\s*([A-Za-z0-9_.\-]+)\s*\]{1,2}\s*(#.*)?$")
_KEY = re.compile(r"^\s*([A-Za-z0-9_\-]+(?:\.[A-Za-z0-9_\-]+)*)\s*=\s*(.*)$")


_WORDS = {"missing": "is missing", "extra_forbidden": "is not known here", "too_short": "must not be empty"}


def message_of(error: Mapping[str, Any]) -> str:
    """Return what one of pydantic's errors says is wrong."""
    return str(_WORDS.get(error["type"], error["msg"].removeprefix("Value error, ")))


@dataclass(frozen=True)
class Fault:
    """One fault: `place` is a dotted path with the line where known, `message` what is wrong there."""

    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


class ProcedureFaults(ValueError):
    """A written procedure that was not taken; `faults` lists everything that is wrong with it."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = list(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


def dotted(path: Path) -> str:
    """Return a path as people read it: `plans.deployment[2].type`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "(the whole)"


class Lines:
    """The lines at which the tables, keys and rows of a TOML text begin.

    It follows the common way of writing: one table row or inline table a line. Where a text is written
    otherwise, the nearest enclosing place is named.
    """

    def __init__(self, text: str) -> None:
        self._at: dict[Path, int] = {}
        self._scan(text)

    def near(self, path: Path) -> int | None:
        """Return the line (from 1) of the longest known beginning of a path."""
        for length in range(len(path), 0, -1):
            if line := self._at.get(path[:length]):
                return line
        return None

    def _scan(self, text: str) -> None:
        table: Path = ()
        rows: Path | None = None
        counts: dict[Path, int] = {}
        for number, line in enumerate(text.splitlines(), start=1):
            bare = line.strip()
            if rows is not None:
                if bare.startswith("]"):
                    rows = None
                elif bare and not bare.startswith("#"):
                    index = counts.get(rows, 0)
                    counts[rows] = index + 1
                    self._at[(*rows, index)] = number
            elif header := _HEADER.match(line):
                table = tuple(header[2].split("."))
                if header[1] == "[[":
                    index = counts.get(table, 0)
                    counts[table] = index + 1
                    self._at.setdefault(table, number)
                    table = (*table, index)
                self._at.setdefault(table, number)
            elif key := _KEY.match(line):
                path = (*table, *key[1].split("."))
                for length in range(len(table) + 1, len(path) + 1):
                    self._at.setdefault(path[:length], number)
                if key[2].strip() == "[":
                    rows = path
