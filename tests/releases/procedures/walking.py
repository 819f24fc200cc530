"""Every part of a procedure with its place."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel

from releases.procedures import parts
from releases.procedures.document import Procedure
from releases.procedures.places import Path, dotted


def origins(procedure: Procedure) -> set[tuple[str, str]]:
    """Return (place, origin) of every part."""
    return {(dotted(path), part.origin) for path, part in _parts((), procedure)}


def _parts(path: Path, value: object) -> Iterator[tuple[Path, parts.Part]]:
    if isinstance(value, parts.Part):
        yield path, value
    if isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _parts((*path, name), getattr(value, name))
    elif isinstance(value, tuple):
        for index, inner in enumerate(value):
            yield from _parts((*path, index), inner)
