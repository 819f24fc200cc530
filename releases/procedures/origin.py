"""The origin of a value: a value that differs from the written procedure is marked as a default of this installation.

The mark is set automatically when a version is stored.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from releases.procedures.document import Procedure

MARKS = ("origin", "default_fields")


def marked(content: Procedure, before: Procedure) -> Procedure:
    """Return `content` with the mark "default" on every value that differs from the version before it.

    A version that lists a new edition of the written procedure in its history, or has another written procedure's name,
    is returned unchanged: its author says what that edition holds.
    """
    if content.name.ja != before.name.ja or _editions(content) - _editions(before) or not _editions(before):
        return content
    found = content.model_dump(mode="json")
    _mark(found, before.model_dump(mode="json"))
    return Procedure.model_validate(found)


def unmarked(value: Any) -> Any:
    """Return a value as JSON without any mark."""
    if isinstance(value, list):
        return [unmarked(part) for part in value]
    if not isinstance(value, dict):
        return value
    return {name: unmarked(part) for name, part in value.items() if name not in MARKS}


def name_of(part: Any, number: int) -> str:
    """Return what identifies a part in a list, for people and for comparisons; else its number."""
    if not isinstance(part, Mapping):
        return str(number)
    if "key" in part:
        return str(part["key"])
    if "subject" in part:
        names: Sequence[str] = ("subject", "tier", "environment", "stage", "role")
    elif "type" in part:
        names = ("type", "test_environment")
    elif "level" in part:
        names = ("role", "environment")
    else:
        names = ("event", "version", "environment", "type", "role")
    return " · ".join(str(part[name]) for name in names if name in part) or str(number)


def _editions(content: Procedure) -> set[str]:
    return {row.version for row in content.history if row.origin == "written"}


def _mark(value: Any, before: Any) -> None:
    """Set the marks in place, from the outside in."""
    if isinstance(value, list):
        rows = {name_of(row, number): row for number, row in enumerate(before if isinstance(before, list) else [])}
        for number, row in enumerate(value):
            _mark(row, rows.get(name_of(row, number)))
        return
    if not isinstance(value, dict):
        return
    known = before if isinstance(before, dict) else {}
    if value.get("origin") == "":
        value["origin"] = "default"
    if value.get("origin") == "written":
        if known.get("origin") != "written":
            value |= {"origin": "default", "default_fields": []}
        else:
            own = [name for name in value if name not in MARKS and not _holds_parts(value[name])]
            changed = {name for name in own if value[name] != known.get(name)}
            kept = set(known["default_fields"]) & set(own)
            value["default_fields"] = [
                *value["default_fields"],
                *sorted((changed | kept) - set(value["default_fields"])),
            ]
    for name, inner in value.items():
        if _holds_parts(inner):
            _mark(inner, known.get(name))


def _holds_parts(value: Any) -> bool:
    """Tell whether a value is made of parts with marks of their own."""
    if isinstance(value, dict):
        return "origin" in value or any(_holds_parts(inner) for inner in value.values())
    return isinstance(value, list) and any(_holds_parts(inner) for inner in value)
