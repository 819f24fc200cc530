"""Plain values of a procedure document, read so that a malformed row hides no other fault."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from django.utils.translation import gettext as _

from environments import language
from releases.procedures.places import Path

Found = Iterator[tuple[Path, str]]
Raw = Mapping[str, Any]


def rows_of(raw: Raw, place: str) -> list[tuple[Path, Raw]]:
    """Return path → row of the list at a dotted place; of what is no list, nothing."""
    path: Path = tuple(place.split("."))
    here: Any = raw
    for part in path:
        here = here.get(part) if isinstance(here, Mapping) else None
    rows = here if isinstance(here, list | tuple) else ()
    return [((*path, index), row) for index, row in enumerate(rows) if isinstance(row, Mapping)]


def keys_of(raw: Raw, place: str) -> set[str]:
    """Return the keys of the rows of a list."""
    return {row["key"] for _path, row in rows_of(raw, place) if isinstance(row.get("key"), str)}


def whole_of(row: Raw, name: str) -> int | None:
    """Return a whole number of a row, None for anything else."""
    value = row.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def list_of(row: Raw, name: str) -> list[Any]:
    """Return a list of a row, [] for anything else."""
    value = row.get(name)
    return list(value) if isinstance(value, list | tuple) else []


def unknown(path: Path, row: Raw, name: str, known: Collection[str], what: str) -> Found:
    """Yield the fault of a value that is not known."""
    value = row.get(name)
    if isinstance(value, str) and value not in known:
        yield (*path, name), names_unknown(what, value, known)


def all_unknown(path: Path, names: Any, known: Collection[str], what: str) -> Found:
    """Yield the fault of each name that is not known."""
    for index, name in enumerate(names if isinstance(names, list | tuple) else ()):
        if isinstance(name, str) and name not in known:
            yield (*path, index), names_unknown(what, name, known)


def names_unknown(what: str, value: str, known: Iterable[str]) -> str:
    """Return the sentence for a value that is not known. what: one of the words here."""
    sentences = {
        "channel": _("names %(value)r, an unknown channel; known: %(known)s"),
        "check type": _("names %(value)r, an unknown check type; known: %(known)s"),
        "document": _("names %(value)r, an unknown document; known: %(known)s"),
        "environment": _("names %(value)r, an unknown environment; known: %(known)s"),
        "event": _("names %(value)r, an unknown event, of which no one would be notified; known: %(known)s"),
        "gate type": _("names %(value)r, an unknown gate type; known: %(known)s"),
        "level of access": _("names %(value)r, an unknown level of access; known: %(known)s"),
        "metric": _("names %(value)r, an unknown metric; known: %(known)s"),
        "milestone": _("names %(value)r, an unknown milestone; known: %(known)s"),
        "recipient group": _("names %(value)r, an unknown group; known: %(known)s"),
        "role": _("names %(value)r, an unknown role; known: %(known)s"),
        "role of people": _("names %(value)r, an unknown role of people; known: %(known)s"),
        "role or team role": _("names %(value)r, an unknown role or team role; known: %(known)s"),
        "row": _("names %(value)r, an unknown row of this list, which nothing would read; known: %(known)s"),
        "signer": _("names %(value)r, an unknown role of people that may sign; known: %(known)s"),
        "state": _("names %(value)r, an unknown state of a document; known: %(known)s"),
        "step type": _("names %(value)r, an unknown step type; known: %(known)s"),
        "target or group": _("names %(value)r, an unknown target or group; known: %(known)s"),
        "test environment": _("names %(value)r, an unknown test environment; known: %(known)s"),
        "threshold": _("names %(value)r, an unknown threshold; known: %(known)s"),
        "type of test": _("names %(value)r, an unknown type of test; known: %(known)s"),
    }
    return sentences[what] % {"value": value, "known": listed(known)}


def repeated(rows: list[tuple[Path, Raw]], names: tuple[str, ...]) -> Found:
    """Yield the fault of each row whose values a row before it has."""
    seen: dict[tuple[Any, ...], Path] = {}
    for path, row in rows:
        values = tuple(row.get(name) for name in names)
        if not all(isinstance(value, str | int) for value in values):
            continue
        if values in seen:
            yield (*path, names[0]), _("%(value)s is written twice") % {"value": " / ".join(map(str, values))}
        seen[values] = path


def listed(names: Iterable[str]) -> str:
    """Return names as a fault lists them."""
    return language.listed(sorted(names))


def asked(raw: Raw, kind: str, place: Raw) -> bool:
    """Tell whether a gate of a type is asked in an environment for every release."""
    return any(
        row.get("type") == kind
        and row.get("when") is None
        and (place.get("tier") in list_of(row, "tiers") or place.get("key") in list_of(row, "environments"))
        for _path, row in rows_of(raw, "gates")
    )
