"""Faults of a written procedure and where they stand: a dotted path and, in TOML, the file and the nearest line."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from environments.language import labelled, noted
from environments.targets.words import gettext as _

Path = tuple[str | int, ...]
_HEADER = re.compile(r"^\s*(\[{1,2})\s*([A-Za-z0-9_.\-]+)\s*\]{1,2}\s*(#.*)?$")
_KEY = re.compile(r"^\s*([A-Za-z0-9_\-]+(?:\.[A-Za-z0-9_\-]+)*)\s*=\s*(.*)$")


def message_of(error: Mapping[str, Any]) -> str:
    """Return the message of one of pydantic's errors, which has its context, in the reader's language."""
    kind, given = error["type"], error.get("ctx", {})
    values = {
        "limit": next((given[name] for name in ("gt", "ge", "lt", "le", "max_length") if name in given), ""),
        "known": str(given.get("expected", "")).replace(" or ", ", "),
        "pattern": given.get("pattern", ""),
    }
    # By type, or by the beginning of several.
    sentences = {
        "missing": _("is missing"),
        "extra_forbidden": _("is not known here"),
        "string_type": _("must be a text"),
        "int": _("must be a whole number"),
        "float": _("must be a number"),
        "finite": _("must be a number"),
        "bool": _("must be true or false"),
        "tuple": _("must be a list"),
        "list": _("must be a list"),
        "dict": _("must be a table"),
        "model": _("must be a table"),
        "date": _("must be a date such as 2024-03-21"),
        "time": _("must be a time of day such as 01:00"),
        "datetime": _("must be a date and time such as 2027-01-04T09:00:00+09:00"),
        "greater_than": _("must be more than %(limit)s"),
        "greater_than_equal": _("must be at least %(limit)s"),
        "less_than": _("must be less than %(limit)s"),
        "less_than_equal": _("must be at most %(limit)s"),
        "literal_error": _("must be one of: %(known)s"),
        "string_too_long": _("must have at most %(limit)s characters"),
        "too_long": _("must have at most %(limit)s values"),
        "string_pattern_mismatch": _("must match the pattern %(pattern)s"),
        "string_too_short": _("must not be empty"),
        "too_short": _("must not be empty"),
    }
    if values["pattern"] == r"\S":
        kind = "too_short"
    sentence = sentences.get(kind) or sentences.get(kind.partition("_")[0])
    return sentence % values if sentence else str(error["msg"].removeprefix("Value error, "))


@dataclass(frozen=True)
class Fault:
    """One fault: `place` is a dotted path with file and line where known, `message` what is wrong there, both in the
    language of their reader. path: of the value.
    """

    place: str
    message: str
    path: Path = ()

    def __str__(self) -> str:
        return labelled(self.place, self.message)


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
    return text or _("(the whole)")


def near(lines: Mapping[Path, str], path: Path) -> str:
    """Return the place of the longest known beginning of a path, "" for none."""
    return next((lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in lines), "")


def fault_at(path: Path, message: str, lines: Mapping[Path, str]) -> Fault:
    """Return a fault with its path and, where it is known, its line."""
    where = near(lines, path)
    return Fault(noted(dotted(path), where) if where else dotted(path), message, path)


def lines_of(text: str, file: str = "") -> dict[Path, str]:
    """Return path → "line 3" or "FILE, line 3" of the tables, keys and rows of a TOML text, for the present reader.

    Rows are found in the common ways of writing: one value a line, or one inline table a line. In a text of another
    form the nearest enclosing place is found.
    """
    found: dict[Path, str] = {}
    table: Path = ()
    rows: Path | None = None
    counts: dict[Path, int] = {}
    words = _("%(file)s, line %(number)d") if file else _("line %(number)d")
    for number, line in enumerate(text.splitlines(), start=1):
        bare, where = line.strip(), words % {"file": file, "number": number}
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
