"""Differences between two configurations or two sets of settings, for display; secrets only as same or
different.
"""

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from environments.models import ConfigurationVersion
from environments.secrets import decrypt

_PLAIN = re.compile(r"[\w-]+")
Mark = Literal["same", "changed", "added", "removed"]


@dataclass(frozen=True)
class Row:
    """One key. left, right: the value shown, None where there is none; `secret`: no value is shown on either side."""

    key: str
    mark: Mark
    secret: bool
    left: str | None
    right: str | None


def difference(left: ConfigurationVersion | None, right: ConfigurationVersion | None) -> list[Row]:
    """Return a row for each key of either, in order. A value that is secret on one side is shown on neither."""
    return [_row(key, left, right) for key in sorted({*_keys(left), *_keys(right)})]


def _keys(version: ConfigurationVersion | None) -> set[str]:
    return set() if version is None else {*version.values, *version.encrypted}


def _row(key: str, left: ConfigurationVersion | None, right: ConfigurationVersion | None) -> Row:
    before, after = _value(left, key), _value(right, key)
    mark: Mark = "same" if before == after else "changed"
    if before is None or after is None:
        mark = "added" if before is None else "removed"
    secret = any(version is not None and key in version.encrypted for version in (left, right))
    hidden = ("•••" if before is not None else None, "•••" if after is not None else None)
    return Row(key, mark, secret, *(hidden if secret else (before, after)))


def _value(version: ConfigurationVersion | None, key: str) -> str | None:
    if version is None:
        return None
    if key in version.encrypted:
        return decrypt(version.encrypted[key], version.aad(key))
    value = version.values.get(key)
    return None if value is None else str(value)


def leaves(value: Any, above: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Return path → value of settings in parts; a list is one value, and so is a part without any."""
    if isinstance(value, Mapping) and (value or not above):
        parts = (leaves(part, (*above, str(name))) for name, part in value.items())
        return {path: leaf for part in parts for path, leaf in part.items()}
    return {above: value}


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return (dotted name, text before, text after) of each setting that differs; "—" where there is none.

    A command is the line that a shell would take for its words, and a name with a dot stands in quotation marks. Where
    two values would read the same, both are JSON.
    """
    left, right = leaves(before), leaves(after)
    # An empty part that has values on the other side is shown by these.
    filled = {path[:length] for path in {**left, **right} for length in range(1, len(path))}
    left, right = (
        {path: leaf for path, leaf in side.items() if path not in filled or leaf != {}} for side in (left, right)
    )
    found = []
    for path in dict.fromkeys([*left, *right]):
        sides = [_json(side[path]) if path in side else "" for side in (left, right)]
        if sides[0] != sides[1]:
            before_text, after_text = (_text(side[path]) if path in side else "—" for side in (left, right))
            if before_text == after_text:
                before_text, after_text = sides
            name = ".".join(part if part and _PLAIN.fullmatch(part) else _json(part) for part in path)
            found.append((name, before_text, after_text))
    return found


def _text(value: Any) -> str:
    if value and isinstance(value, list) and all(isinstance(word, str) for word in value):
        text = shlex.join(value)
    elif isinstance(value, str):
        text = value
    else:
        return _json(value)
    lines = text.split("\n")
    plain = all(line.isprintable() and "  " not in line and line == line.strip() for line in lines)
    return text if plain and text.strip(" —\n") and " → " not in text else _json(value)


def _json(value: Any) -> str:
    """Return JSON in which each character shows that is not printed, that turns others round, or that a page drops."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True).replace("  ", " \\u0020")
    return "".join(one if one.isprintable() else json.dumps(one)[1:-1] for one in text)
