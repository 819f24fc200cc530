"""Past states of audited rows, folded from their events: inserted, updated column by column, deleted.

A row counts as changed from the time at which its event was written. Columns that are not audited are not known. A
personal value is read from where it still stands; one that does not is its commitment (audit.personal).
"""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from typing import Any

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.db import connection, models
from django.utils.translation import get_language

from audit import personal

MOST, PART = 500, 500

_EVENTS = """
SELECT e.object, e.at, coalesce(l.number, 0), e.outcome, e.actor, e.operation, e.reason, e.bytes
FROM audit_event e LEFT JOIN audit_ledgerentry l ON l.event_id = e.id LEFT JOIN audit_pending p ON p.event_id = e.id
WHERE e.kind = 'row' AND {where} ORDER BY l.number, p.position
"""


@dataclass(frozen=True)
class Past:
    """One row as it stood. number, at, actor, operation, operation_id, reason: of its last event, which has number 0
    while it is pending.

    complete: its insertion is in the ledger; else only the columns changed since are known. gone: it was deleted.
    """

    object: str
    values: dict[str, Any]
    number: int
    at: datetime
    actor: str
    operation: str
    operation_id: str | None
    reason: str
    complete: bool
    gone: bool

    @property
    def pk(self) -> str:
        """Return the primary key as the ledger writes it."""
        return self.object.partition(":")[2]


@dataclass
class Life:
    """All states of one row in the order of the chain, which holds also where the clock stepped back."""

    states: list[Past] = field(default_factory=list)

    def at(self, moment: datetime) -> Past | None:
        """Return the state at a moment; None before the row was there, and after it was deleted."""
        past = next((state for state in reversed(self.states) if state.at <= moment), None)
        return None if past is None or past.gone else past


def _read(where: str, values: list[Any]) -> Iterator[tuple[Any, ...]]:
    with connection.chunked_cursor() as cursor:
        cursor.execute(_EVENTS.format(where=where), values)
        while rows := cursor.fetchmany(PART):
            yield from rows


def _folded(before: Past | None, row: tuple[Any, ...]) -> Past:
    label, at, number, outcome, actor, operation, reason, raw = row
    contents = json.loads(bytes(raw))
    made = outcome == "inserted"
    values = {} if made or before is None else dict(before.values)
    values |= contents["after"] or contents["before"] or {}
    complete = made or (before is not None and before.complete)
    return Past(
        label, values, number, at, actor, operation, contents["operation_id"], reason, complete, outcome == "deleted"
    )


def _lives(where: str, values: list[Any], until: datetime | None = None) -> dict[str, Life]:
    if until is not None:
        where, values = where + " AND e.at <= %s", [*values, until]
    lives: dict[str, Life] = {}
    for row in _read(where, values):
        states = lives.setdefault(row[0], Life()).states
        states.append(_folded(states[-1] if states else None, row))
    known = personal.standing(lives)
    for label, life in lives.items() if known else ():
        life.states = [replace(one, values=personal.revealed(label, one.values, known)) for one in life.states]
    return lives


def life_of(object_label: str, until: datetime | None = None) -> Life:
    """Return the states of one row (`app.Model:pk`) up to a moment (inclusive), or all."""
    return _lives("e.object = %s", [object_label], until).get(object_label, Life())


def lives_of_rows(labels: Collection[str]) -> dict[str, Life]:
    """Return label → states of the rows with these labels (`app.Model:pk`), in one query."""
    return _lives("e.object = ANY (%s)", [list(labels)])


def last_of_rows(labels: Collection[str]) -> dict[str, Past]:
    """Return label → last state of the rows with these labels, personal values as they are recorded; PART events are
    held at a time.
    """
    last: dict[str, Past] = {}
    for row in _read("e.object = ANY (%s)", [list(labels)]):
        last[row[0]] = _folded(last.get(row[0]), row)
    return last


def lives_of(model_label: str, until: datetime | None = None) -> dict[str, Life]:
    """Return pk → states of every row that a model (`app.Model`) ever had; for tables of thousands of events."""
    lives = _lives("e.object >= %s AND e.object < %s", [f"{model_label}:", f"{model_label};"], until)
    return {label.partition(":")[2]: life for label, life in lives.items()}


def labels_at(model_label: str, moment: datetime, limit: int = MOST) -> list[str]:
    """Return the labels of a model's rows that were there at a moment, the last changed first, `limit` at most."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT s.object FROM (SELECT DISTINCT ON (e.object) e.object, e.at, e.outcome FROM audit_event e"
            " WHERE e.kind = 'row' AND e.object >= %s AND e.object < %s AND e.at <= %s"
            " ORDER BY e.object, e.at DESC, e.id DESC) AS s WHERE s.outcome <> 'deleted' ORDER BY s.at DESC LIMIT %s",
            [f"{model_label}:", f"{model_label};", moment, limit],
        )
        return [label for (label,) in cursor.fetchall()]


def instance[M: models.Model](model: type[M], past: Past) -> M:
    """Return an unsaved instance with a past row's values; columns that are not known, or no longer, keep their
    default.
    """
    known = {}
    for column in model._meta.concrete_fields:
        if column.column in past.values and not personal.committed(past.values[column.column]):
            known[column.attname] = column.to_python(past.values[column.column])
    return model(**known)


def moment_of(text: Any) -> datetime | None:
    """Return a time as events write it; None for none."""
    return datetime.fromisoformat(text) if text else None


def column_names(model_label: str) -> Mapping[str, str]:
    """Return column → its name for people, of a model or of a many-to-many table."""
    return _column_names(model_label, get_language())


@lru_cache(maxsize=1024)
def _column_names(model_label: str, language: str | None) -> Mapping[str, str]:
    app, name, relation = [*model_label.split("."), "", ""][:3]
    try:
        model = apps.get_model(app, name)
        if relation:
            model = model._meta.get_field(relation).remote_field.through  # type: ignore[union-attr]
    except (LookupError, FieldDoesNotExist):
        return {}
    return {f.column: str(f.verbose_name) for f in model._meta.concrete_fields}
