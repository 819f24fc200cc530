"""Attaching related rows: each is read once and set on all rows that point at it, instead of joined to each."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db import models
from django.db.models import prefetch_related_objects

from audit.one_look import looking, once_a_look
from environments.models import Account


def related(row: models.Model, name: str, *joined: str) -> Sequence[Any]:
    """Return the rows that belong to a row by a relation: on a page what it has read of them already, in an operation
    what is there now. joined: what their own foreign keys point at, read with them.
    """
    if not looking():
        return _present(row, name, *joined)
    prefetch_related_objects([row], name, *(f"{name}__{one}" for one in joined))
    return tuple(getattr(row, name).all())


@once_a_look
def _present(row: models.Model, name: str, *joined: str) -> Sequence[Any]:
    return tuple(getattr(row, name).select_related(*(joined or (None,))).filter())


def attach_related(known: Mapping[Any, models.Model], rows: Iterable[models.Model], names: str) -> None:
    """Let rows point at what is known by its key, through these foreign keys (blanks between); others stay as they
    are.
    """
    for row in rows:
        for name in names.split():
            field: Any = row._meta.get_field(name)
            key = getattr(row, field.attname)
            if key in known:
                field.set_cached_value(row, known[key])


def attach_accounts(*asked: tuple[Iterable[models.Model], str]) -> None:
    """Give rows the accounts that they point at through these foreign keys (blanks between), all read in one query."""
    groups = [(list(rows), names) for rows, names in asked]
    keys = {
        getattr(row, str(row._meta.get_field(name).attname))  # type: ignore[union-attr]
        for rows, names in groups
        for row in rows
        for name in names.split()
    }
    known = Account.objects.in_bulk(keys - {None})
    for rows, names in groups:
        attach_related(known, rows, names)
