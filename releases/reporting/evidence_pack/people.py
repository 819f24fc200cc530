"""The people of a change as they were then: today's name, department or title may differ."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from django.db.models import ForeignKey, Model

from audit import as_of
from audit.as_of import Life
from environments.access_as_of import AccessAsOf
from environments.models import Account


def as_they_were(rows: Iterable[Model], then: AccessAsOf) -> dict[tuple[Model, str], datetime]:
    """Replace each account that rows refer to by its state when they came to refer to it; return these times.

    An account without such an event in the ledger stays as it is now. All events of the rows are read at once.
    """
    since: dict[tuple[Model, str], datetime] = {}
    found = [(row, column) for row in rows for column in row._meta.concrete_fields if _refers(row, column)]
    lives = as_of.lives_of_rows({_label(row) for row, _column in found})
    for row, column in found:
        pk = getattr(row, column.attname)
        moment = _since(lives.get(_label(row)), column.attname, pk)
        if moment is not None and (account := then.account(pk, moment)) is not None:
            setattr(row, column.name, account)
            since[row, column.name] = moment
    return since


def joined(label: str, rows: Iterable[Any], then: AccessAsOf) -> Iterator[tuple[Account, datetime | None]]:
    """Yield (account as it was, since when) of each row of a many-to-many table (`app.Model.field`); None: unknown."""
    members = list(rows)
    lives = as_of.lives_of_rows({f"{label}:{row.pk}" for row in members})
    for row in members:
        life = lives.get(f"{label}:{row.pk}")
        moment = life.states[0].at if life is not None else None
        past = then.account(row.account_id, moment) if moment is not None else None
        yield past or row.account, moment


def _refers(row: Model, column: Any) -> bool:
    is_person = isinstance(column, ForeignKey) and column.related_model is Account
    return is_person and getattr(row, column.attname) is not None


def _label(row: Model) -> str:
    return f"{row._meta.label}:{row.pk}"


def _since(life: Life | None, column: str, value: Any) -> datetime | None:
    """Return since when a column has had its value; None where the ledger has another value."""
    moment = None
    for state in reversed(life.states if life is not None else []):
        if state.values.get(column) != value:
            break
        moment = state.at
    return moment
