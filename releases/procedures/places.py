"""Faults of a written procedure and where they stand: a dotted path and, in TOML, the file and the nearest line."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Path = tuple[str | int, ...]
_HEADER = re.compile(r"^\s*(\[{1,2})\s*([A-Za-z0-9_.\-]+)\s*\]{1,2}\s*(#.*)?$")
_KEY = re.compile(r"^\s*([A-Za-z0-9_\-]+(?:\.[A-Za-z0-9_\-]+)*)\s*=\s*(.*)$")


UNKNOWN_KEY = "is not known here"
_WORDS = {"missing": "is missing", "extra_forbidden": UNKNOWN_KEY, "too_short": "must not be empty"}


def message_of(error: Mapping[str, Any]) -> str:
    """Return the message of one of pydantic's errors."""
    return str(_WORDS.get(error["type"], error["msg"].removeprefix("Value error, ")))


@dataclass(frozen=True)
class Fault:
    """One fault: `place` is a dotted path with file and line where known, `message` what is wrong there."""

    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


class ProcedureFaults(ValueError):
    """A written procedure was refused; `faults` lists everything that is wrong with it."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = list(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


def dotted(path: Path) -> str:
    """Return a path as people read it: `plans.deployment[2].type`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "(the whole)"


def near(lines: Mapping[Path, str], path: Path) -> str:
    """Return the place of the longest known beginning of a path, "" for none."""
    return next((lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in lines), "")


def fault_at(path: Path, message: str, lines: Mapping[Path, str]) -> Fault:
    """Return a fault with its path and, where it is known, its line."""
    where = near(lines, path)
    return Fault(dotted(path) + (f" ({where})" if where else ""), message)


def lines_of(text: str, file: str = "") -> dict[Path, str]:
    """Return path → "line 3" or "FILE, line 3" of the tables, keys and rows of a TOML text.

    Rows are found in the common ways of writing: one value a line, or one inline table a line. In a text of another
    form the nearest enclosing place is found.
    """
    found: dict[Path, str] = {}
    table: Path = ()
    rows: Path | None = None
    counts: dict[Path, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        bare, where = line.strip(), f"{file}, line {number}".removeprefix(", ")
        if rows is not None:
            if bare.startswith("]"):
                rows = None
            elif bare and not bare.startswith("#"):
                found[(*rows, counts.setdefault(rows, 0))] = where
                counts[rows] += 1
        elif header := _HEADER.match(line):
            table, names = (), header[2].split(".")
            for depth, name in enumerate(names, start=1):
                table = (*table, name)
                found.setdefault(table, where)
                if header[1] == "[[" and depth == len(names):
                    counts[table] = counts.get(table, 0) + 1
                if table in counts:
                    table = (*table, counts[table] - 1)
                    found.setdefault(table, where)
        elif key := _KEY.match(line):
            path = (*table, *key[1].split("."))
            for length in range(len(table) + 1, len(path) + 1):
                found.setdefault(path[:length], where)
            if key[2].strip() == "[":
                rows = path
    return found
