"""The values in which two procedures differ, each named by its place."""

from collections.abc import Iterator, Mapping
from typing import Any

from environments.language import listed
from releases.procedures.origin import name_of

Place = tuple[str, ...]


def flat(value: Any, path: Place = ()) -> Iterator[tuple[Place, str]]:
    """Yield (place, text) of every value; a part in a list is named by its key, else by its number."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from flat(inner, (*path, str(name)))
    elif isinstance(value, list) and any(isinstance(inner, dict) for inner in value):
        for number, inner in enumerate(value):
            yield from flat(inner, (*path, name_of(inner, number)))
    else:
        yield path, listed(map(str, value)) if isinstance(value, list) else str(value)


def changed(left: Mapping[str, Any], right: Mapping[str, Any]) -> dict[Place, tuple[str, str]]:
    """Return place → the texts of both sides, "" where one has none, of the values that differ; from two JSON forms."""
    one, two = dict(flat(dict(left))), dict(flat(dict(right)))
    places = [place for place in {**one, **two} if one.get(place) != two.get(place)]
    return {place: (one.get(place, ""), two.get(place, "")) for place in places}
