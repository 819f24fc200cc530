"""What a document may leave out because the code decides what each row of it does: then the shipped rows count."""

import tomllib
from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

DEFAULT = Path(__file__).with_name("default")
# Sections that count as shipped where they, or single values of them, are left out.
SECTIONS = (
    "document_states",
    "follow_ups",
    "levels",
    "reminders",
    "retention",
    "rollback",
    "team_roles",
    "thresholds",
    "versions",
)


def completed(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plain values of a document with the shipped ones for what it leaves out of SECTIONS."""
    found = dict(raw)
    for section, shipped in _shipped().items():
        given = found.get(section)
        if section not in found:
            found[section] = deepcopy(shipped)
        elif isinstance(given, Mapping) and isinstance(shipped, dict):
            found[section] = {**deepcopy(shipped), **given}
    return found


@cache
def _shipped() -> dict[str, Any]:
    chapters: dict[str, Any] = {}
    for file in sorted(DEFAULT.glob("*.toml")):
        chapters |= tomllib.loads(file.read_text("utf-8"))
    # The author's words for a length of time belong to the numbers of the shipped procedure.
    chapters["rollback"].pop("monitoring_duration")
    return {section: _without_origin(chapters[section]) for section in SECTIONS}


def _without_origin(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_origin(row) for row in value]
    if isinstance(value, dict):
        return {k: _without_origin(inner) for k, inner in value.items() if k not in ("origin", "default_fields")}
    return value
