"""The rows in which two procedures differ, each named by its place: one entry a row, the marks of its origin apart.

An approver decides by these entries, so two contents that differ always have one.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from django.utils.translation import gettext as _

from environments.difference import json_of, text_of
from environments.language import listed
from releases.procedures.origin import MARKS, name_of

Place = tuple[str, ...]
_WORD = re.compile(r"[\w:.-]+")


@dataclass
class _Content:
    """Values by row and field, and the names of the rows of each list in their order."""

    rows: dict[Place, dict[Place, Any]] = field(default_factory=dict)
    orders: dict[Place, list[str]] = field(default_factory=dict)


def changed(left: Mapping[str, Any], right: Mapping[str, Any]) -> dict[Place, tuple[str, str]]:
    """Return place → the texts of both sides, "" where one has none, from two JSON forms.

    A row that one side lacks, or of which several values differ, is one entry with the names of its values. Where two
    texts would read the same, both are JSON. Rows in another order, or added before others, are an entry of their list.
    The marks of origin in rows of both sides come last.
    """
    one, two = _Content(), _Content()
    _read(left, (), (), one)
    _read(right, (), (), two)
    found: dict[Place, tuple[str, str]] = {}
    marks: dict[Place, tuple[str, str]] = {}
    for row in {**one.rows, **two.rows}:
        before, after = one.rows.get(row, {}), two.rows.get(row, {})
        fields = [name for name in {**before, **after} if _differ(before, after, name)]
        own = [name for name in fields if not _is_mark(name)]
        if not row:
            for name in fields:
                (found if name in own else marks)[name] = _texts(before, after, [name])
        elif own:
            found[(*row, *own[0]) if len(own) == 1 else row] = _texts(before, after, own)
        for name in fields if row and before and after else ():
            if name not in own:
                marks[(*row, *name)] = _texts(before, after, [name])
    for place in one.orders.keys() & two.orders.keys():
        if _moved(one.orders[place], two.orders[place]):
            texts = (" → ".join(side.orders[place]) for side in (one, two))
            found[(*place, _("order"))] = next(texts), next(texts)
    return found | marks


def _read(value: Any, row: Place, name: Place, into: _Content) -> None:
    """Sort values by row and field; a row of a list is named by its key, else by its number."""
    if isinstance(value, Mapping) and (value or not name):
        for key, inner in value.items():
            _read(inner, row, (*name, str(key)), into)
    elif isinstance(value, list) and any(isinstance(inner, Mapping) for inner in value):
        names: list[str] = into.orders.setdefault((*row, *name), [])
        for number, inner in enumerate(value):
            own = name_of(inner, number)
            # Two rows may have one name: each is named by its place among them.
            repeated = (f"{own} ({place})" for place in count(2))
            names.append(own if own not in names else next(one for one in repeated if one not in names))
            _read(inner, (*row, *name, names[-1]), (), into)
    else:
        into.rows.setdefault(row, {})[name] = value


def _is_mark(name: Place) -> bool:
    """Tell whether a field is a mark of origin; a parameter may have the same name."""
    return bool(name) and name[-1] in MARKS and "parameters" not in name


def _differ(before: Mapping[Place, Any], after: Mapping[Place, Any], name: Place) -> bool:
    """Tell whether a value differs; one that is left out is None."""
    return json_of(before.get(name)) != json_of(after.get(name))


def _moved(before: list[str], after: list[str]) -> bool:
    """Tell whether rows of a list follow others than before; an end that is cut or added says that by itself."""
    kept, added = [name for name in before if name in after], [name for name in after if name not in before]
    return after != [*kept, *added]


def _texts(before: Mapping[Place, Any], after: Mapping[Place, Any], names: list[Place]) -> tuple[str, str]:
    """Return what both sides say of some fields: their names with the values, or the value of one."""
    texts = _said(before, names, _text), _said(after, names, _text)
    if texts[0].split() == texts[1].split():
        texts = _said(before, names, json_of), _said(after, names, json_of)
    return texts


def _said(values: Mapping[Place, Any], names: list[Place], form: Callable[[Any], str]) -> str:
    texts = [(".".join(name), form(values.get(name))) for name in names]
    return texts[0][1] if len(names) == 1 else "; ".join(f"{name}: {text}" for name, text in texts if text)


def _text(value: Any) -> str:
    if value is None or value == "":
        return ""
    words = isinstance(value, list) and value and all(isinstance(one, str) and _WORD.fullmatch(one) for one in value)
    return listed(value) if words else text_of(value)
