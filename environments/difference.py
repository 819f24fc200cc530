"""Differences between two configurations or two sets of settings, for display; secrets only as same or
different.
"""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from environments.models import ConfigurationVersion
from environments.secrets import decrypt

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


def flat(value: Any, above: str = "") -> dict[str, str]:
    """Return dotted name → text of settings in parts; a command as the line that a shell would take for its words."""
    if isinstance(value, Mapping):
        parts = (flat(part, f"{above}.{name}" if above else str(name)) for name, part in value.items())
        return {key: text for part in parts for key, text in part.items()}
    if not value and isinstance(value, list | str | None):
        return {}
    if isinstance(value, list) and all(isinstance(word, str) for word in value):
        return {above: shlex.join(value)}
    return {above: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)}


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return (dotted name, text before, text after) of each setting that differs; "—" where there is none."""
    left, right = (
        {key.removeprefix("settings."): text for key, text in flat(side).items()} for side in (before, after)
    )
    return [
        (key, left.get(key) or "—", right.get(key) or "—")
        for key in dict.fromkeys([*left, *right])
        if left.get(key) != right.get(key)
    ]
