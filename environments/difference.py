"""Differences between two configurations or two sets of settings, for display; secrets only as same or
different.
"""

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from django.utils.translation import gettext as _

from environments.models import ConfigurationVersion
from environments.secrets import decrypt

HIDDEN = "•••"
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
    secret = [version is not None and key in version.encrypted for version in (left, right)]
    mark: Mark = "same" if before == after and secret[0] == secret[1] else "changed"
    if before is None or after is None:
        mark = "added" if before is None else "removed"
    texts = [before, after]
    if any(secret):
        hidden = [HIDDEN if own else _("%(hidden)s, not secret") % {"hidden": HIDDEN} for own in secret]
        texts = [None if text is None else shown for text, shown in zip(texts, hidden, strict=True)]
    return Row(key, mark, any(secret), *texts)


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
        sides = [json_of(side[path]) if path in side else "" for side in (left, right)]
        if sides[0] != sides[1]:
            before_text, after_text = (text_of(side[path]) if path in side else "—" for side in (left, right))
            if before_text.split() == after_text.split():
                before_text, after_text = sides
            name = ".".join(part if part and _PLAIN.fullmatch(part) else json_of(part) for part in path)
            found.append((name, before_text, after_text))
    return found


def text_of(value: Any) -> str:
    """Return a value as people read it: a command as its line, and JSON where a plain text could mislead."""
    if value and isinstance(value, list) and all(isinstance(word, str) for word in value):
        text = shlex.join(value)
    elif isinstance(value, str):
        text = value
    else:
        return json_of(value)
    lines = text.split("\n")
    plain = all(line.isprintable() and "  " not in line and line == line.strip() for line in lines)
    return text if plain and text.strip(" —\n") and " → " not in text else json_of(value)


def json_of(value: Any) -> str:
    """Return JSON in which each character shows that is not printed, that turns others round, or that a page drops."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True).replace("  ", " \\u0020")
    return "".join(one if one.isprintable() else json.dumps(one)[1:-1] for one in text)
