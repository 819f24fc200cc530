"""Writes a procedure as TOML, in the files of the default one; reading them gives the same procedure."""

import tomllib
from typing import Any

import tomli_w

from releases.procedures.document import Procedure, Section
from releases.procedures.load import DEFAULT, texts
from releases.procedures.shared import without_shared

REST = "1-01-introduction.toml"


def as_files(procedure: Procedure) -> dict[str, str]:
    """Return file name → TOML of a procedure, each section in the file in which the default procedure has it."""
    place = {section: name for name, text in texts(DEFAULT).items() for section in tomllib.loads(text)}
    found: dict[str, dict[str, Any]] = {}
    for section, value in _sections(procedure).items():
        found.setdefault(place.get(section, REST), {})[section] = value
    return {name: tomli_w.dumps(found[name], multiline_strings=True) for name in sorted(found)}


def further_from(procedure: Procedure) -> Procedure:
    """Return a further procedure with the values of another one, for an author to change: its key and its values."""
    return procedure.model_copy(update={"key": "further", "version": "1.0.0", "history": (), "applications": ()})


def _sections(document: Section) -> dict[str, Any]:
    values = document.model_dump(mode="python", exclude_defaults=True)
    if isinstance(document, Procedure) and document.key:
        values = without_shared(values)
    return {section: _in_order(value) for section, value in values.items()}


def _in_order(value: Any) -> Any:
    """Return a value with the key of each part first and its origin last, as people write them."""
    if isinstance(value, tuple | list):
        return [_in_order(one) for one in value]
    if not isinstance(value, dict):
        return value
    last = ("origin", "default_fields")
    names = sorted(value, key=lambda name: (name in last, name != "key"))
    return {name: _in_order(value[name]) for name in names}


def as_text(document: Section) -> str:
    """Return a procedure or a deployment process as one TOML text, as a page takes it."""
    return tomli_w.dumps(_sections(document), multiline_strings=True)
