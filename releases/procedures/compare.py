"""The rows in which two procedures differ, each named by its place: one entry a row, the marks of its origin apart."""

from collections.abc import Iterator, Mapping
from typing import Any

from environments.language import listed
from releases.procedures.origin import MARKS, name_of

Place = tuple[str, ...]
Rows = dict[Place, dict[Place, str]]


def flat(value: Any, row: Place = (), field: Place = ()) -> Iterator[tuple[Place, Place, str]]:
    """Yield (row, field, text) of every value; a row of a list is named by its key, else by its number."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from flat(inner, row, (*field, str(name)))
    elif isinstance(value, list) and any(isinstance(inner, dict) for inner in value):
        for number, inner in enumerate(value):
            yield from flat(inner, (*row, *field, name_of(inner, number)))
    elif value is not None:
        yield row, field, listed(map(_text, value)) if isinstance(value, list) else _text(value)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def changed(left: Mapping[str, Any], right: Mapping[str, Any]) -> dict[Place, tuple[str, str]]:
    """Return place → the texts of both sides, "" where one has none, from two JSON forms.

    A row that one side lacks, or of which several values differ, is one entry with the names of its values. The marks
    of origin in rows of both sides come last.
    """
    one, two = _rows(left), _rows(right)
    found: dict[Place, tuple[str, str]] = {}
    marks: dict[Place, tuple[str, str]] = {}
    for row in {**one, **two}:
        before, after = one.get(row, {}), two.get(row, {})
        fields = [field for field in {**before, **after} if before.get(field, "") != after.get(field, "")]
        own = [field for field in fields if field[-1] not in MARKS]
        if not row:
            for field in fields:
                (found if field in own else marks)[field] = before.get(field, ""), after.get(field, "")
        elif len(own) == 1:
            found[(*row, *own[0])] = before.get(own[0], ""), after.get(own[0], "")
        elif own:
            found[row] = _said(before, own), _said(after, own)
        for field in fields if row and before and after else ():
            if field[-1] in MARKS:
                marks[(*row, *field)] = before.get(field, ""), after.get(field, "")
    return found | marks


def _rows(content: Mapping[str, Any]) -> Rows:
    found: Rows = {}
    for row, field, text in flat(dict(content)):
        found.setdefault(row, {})[field] = text
    return found


def _said(values: Mapping[Place, str], fields: list[Place]) -> str:
    """Return the values of some fields with their names; those without a value are left out."""
    return "; ".join(f"{'.'.join(field)}: {values[field]}" for field in fields if values.get(field))
