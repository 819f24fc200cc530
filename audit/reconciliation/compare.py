"""One object's history rows against its events: each row must be a copy of a state that an event made.

A row is explained by an event of its type, near it in time, that left the same audited columns and names the same
person and reason. A save that changed no audited column makes a row and no row event; it is explained by an operation
of the same person for the same reason on the object, if it repeats the state that the ledger has.
"""

import json
import unicodedata
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from hashlib import sha256
from typing import Any

from django.apps import apps
from django.db import models

from audit.audited_tables import AUDITED_TABLES, AuditedTable
from audit.personal import ERASURES, TABLES, Kept, commitments

# A snapshot is written in the transaction of its event, but with the clock of the process that saved.
NEAR = timedelta(minutes=5)
END = datetime.max.replace(tzinfo=UTC)
PART = 500
TYPES = {"inserted": "+", "updated": "~", "deleted": "-"}
MOST_EXACT = 2**53 - 1

_EVENTS = """
SELECT e.id, e.at, coalesce(l.number, 0), e.kind, e.outcome, e.actor, e.operation, e.reason, e.bytes
FROM audit_event e LEFT JOIN audit_ledgerentry l ON l.event_id = e.id
WHERE e.object = %s AND e.kind IN ('row', 'operation') AND (e.at, e.id) > (%s, %s) ORDER BY e.at, e.id LIMIT %s
"""


@dataclass(frozen=True)
class ComparedTable:
    """An audited model that keeps history rows."""

    audited: AuditedTable
    model: type[models.Model]
    history: type[models.Model]

    @property
    def label(self) -> str:
        """Return `app.Model`."""
        return self.audited.model

    @property
    def table(self) -> str:
        """Return the quoted table of the history rows."""
        return f'"{self.history._meta.db_table}"'

    @property
    def key(self) -> str:
        """Return the quoted column that holds the object's primary key."""
        return f'"{self.model._meta.pk.column}"'

    @cached_property
    def columns(self) -> dict[str, str]:
        """Return column → `time`, `bytes` or `plain`, of what both keep and neither masks."""
        kept = {field.column for field in self.history._meta.concrete_fields}
        left_out = self.audited.unaudited | self.audited.secret
        return {
            str(field.column): "time"
            if isinstance(field, models.DateTimeField)
            else "bytes"
            if isinstance(field, models.BinaryField)
            else "plain"
            for field in self.model._meta.concrete_fields
            if field.column in kept and field.column not in left_out
        }


def compared_tables() -> list[ComparedTable]:
    """Return the audited models with history rows, in the order of their labels."""
    found = []
    for audited in AUDITED_TABLES:
        app, name, *relation = audited.model.split(".")
        model = apps.get_model(app, name)
        manager = None if relation else getattr(model, "history", None)
        if manager is not None:
            found.append(ComparedTable(audited, model, manager.model))
    return sorted(found, key=lambda one: one.label)


@dataclass
class Happened:
    """One event of an object. number: 0 while it is pending. values: the audited columns behind it (before it, of a
    deletion); none for an operation.
    """

    at: datetime
    number: int
    type: str
    actor: str
    operation: str
    reason: str
    values: dict[str, Any]
    matched: bool = False

    @property
    def account(self) -> str:
        """Return the account that acted, as text; empty for a process."""
        kind, *rest = self.actor.split(":", 2)
        return rest[0] if kind in ("person", "service") and len(rest) == 2 else ""


@dataclass(frozen=True)
class Row:
    """One history row; values: its audited columns as the ledger would write them. erased: its object was erased
    since.
    """

    id: int
    at: datetime
    type: str
    account: str
    reason: str
    values: dict[str, Any]
    erased: bool = False

    def repeats(self, values: dict[str, Any]) -> bool:
        """Tell whether the row equals what the ledger knows; a column younger than the events is not known. Erased
        personal columns are empty, whatever they were.
        """
        return all(self._is(self.values[name], value) for name, value in values.items() if name in self.values)

    def _is(self, present: Any, value: Any) -> bool:
        if not isinstance(present, Kept):
            return bool(present == value)
        return not present.value if self.erased else bool(present.written(value) == value)

    def names(self, event: Happened) -> bool:
        """Tell whether row and event name the same person and reason."""
        return (self.account, self.reason) == (event.account, event.reason)


@dataclass(frozen=True)
class Unexplained:
    """A history row that no event explains. why: `no_object`, `no_event` or `other_doer` (of the event of that number).

    Or a row of an audited table (`row` is 0) that is not what its events say, the last of them of that number: `gone`,
    `left`, `without_event`, or `differing` in these columns.
    """

    object: str
    row: int
    at: str
    account: str
    why: str
    event: int = 0
    columns: str = ""


def as_written(value: Any, kind: str = "plain") -> Any:
    """Return a value of PostgreSQL's JSON (numbers with a fraction as text) as an event holds it."""
    if value is None or isinstance(value, bool):
        return value
    if kind == "time":
        return datetime.fromisoformat(value).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if kind == "bytes":
        return "sha256:" + sha256(bytes.fromhex(value[2:])).hexdigest()
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value)
    if isinstance(value, dict):
        return {as_written(key): as_written(part) for key, part in value.items()}
    if isinstance(value, list):
        return [as_written(part) for part in value]
    return value if abs(value) <= MOST_EXACT else str(value)


def events_of(cursor: Any, compared_tables: ComparedTable, object_label: str) -> Iterator[Happened]:
    """Yield the row events and operations of one object, oldest first, PART at a time."""
    values: dict[str, Any] = {}
    place: tuple[Any, Any] = ("-infinity", "00000000-0000-0000-0000-000000000000")
    while True:
        cursor.execute(_EVENTS, [object_label, *place, PART])
        rows = cursor.fetchall()
        for event, at, number, kind, outcome, actor, operation, reason, raw in rows:
            place = (at, event)
            if kind != "row":
                yield Happened(at, number, "", actor, operation, reason, {}, matched=True)
                continue
            contents = json.loads(bytes(raw))
            changed = contents["after"] or contents["before"] or {}
            kept = {name: value for name, value in changed.items() if name in compared_tables.columns}
            values = kept if outcome == "inserted" else values | kept
            yield Happened(at, number, TYPES[outcome], actor, operation, reason, values)
        if len(rows) < PART:
            return


def rows_of(cursor: Any, compared_tables: ComparedTable, key: str) -> Iterator[Row]:
    """Yield the history rows of one object, oldest first, PART at a time."""
    place: tuple[Any, Any] = ("-infinity", 0)
    label, made, erased = compared_tables.label, {}, None
    if label in TABLES:
        made = {number: kept for _key, number, kept, _row in commitments(cursor, label, [key], history=True)}
        cursor.execute(
            "SELECT max(at) FROM audit_event WHERE object = %s AND kind IN ('row', 'operation')"
            " AND operation = ANY (%s)",
            [f"{label}:{key}", [*ERASURES]],
        )
        (erased,) = cursor.fetchone()
    while True:
        cursor.execute(
            f"SELECT h.history_id, h.history_date, h.history_type, coalesce(h.history_user_id::text, ''),"
            f" coalesce(h.history_change_reason, ''), to_jsonb(h)::text FROM {compared_tables.table} h"
            f" WHERE h.{compared_tables.key} = %s AND (h.history_date, h.history_id) > (%s, %s)"
            " ORDER BY h.history_date, h.history_id LIMIT %s",
            [key, *place, PART],
        )
        rows = cursor.fetchall()
        for number, at, kind, account, reason, text in rows:
            place = (at, number)
            read = json.loads(text, parse_float=str)
            values = {name: as_written(read[name], kind_) for name, kind_ in compared_tables.columns.items()}
            values |= {name: Kept(values[name], one) for name, one in made.get(number, {}).items() if name in values}
            older = erased is not None and at <= erased
            yield Row(number, at, kind, account, unicodedata.normalize("NFC", reason), values, older)
        if len(rows) < PART:
            return


class Compared:
    """The comparison of one object; it holds the events within NEAR of the row that is looked at."""

    def __init__(self, object_label: str, events: Iterable[Happened]) -> None:
        self.object, self.events = object_label, iter(events)
        self.next: Happened | None = next(self.events, None)
        self.window: deque[Happened] = deque()
        self.before: Happened | None = None
        self.looked_at = 0

    def _pass(self, since: datetime, until: datetime) -> Iterator[Happened]:
        """Hold the events from `since` to `until`; yield the row events before them that no history row shows."""
        while self.next is not None and self.next.at <= until:
            self.window.append(self.next)
            self.looked_at += 1
            yield from self._leave(since)
            self.next = next(self.events, None)
        yield from self._leave(since)

    def _leave(self, before: datetime) -> Iterator[Happened]:
        while self.window and self.window[0].at < before:
            left = self.window.popleft()
            self.before = left if left.type else self.before
            if not left.matched:
                yield left

    def take(self, row: Row) -> Iterator[Happened | Unexplained]:
        """Find the event of one row, rows given oldest first; yield what is found out by it."""
        yield from self._pass(row.at - NEAR, row.at + NEAR)
        if fault := self._fault(row):
            yield Unexplained(self.object, row.id, row.at.astimezone(UTC).isoformat(), row.account, *fault)

    def _fault(self, row: Row) -> tuple[str, int] | None:
        same = [event for event in self.window if event.type == row.type and row.repeats(event.values)]
        for event in same:
            if not event.matched and row.names(event):
                event.matched = True
                return None
        states = [event for event in (self.before, *self.window) if event is not None and event.type]
        repeated = row.type == "~" and any(row.repeats(event.values) for event in states)
        if repeated and any(row.names(event) for event in self.window):
            return None
        return ("other_doer", same[0].number) if same else ("no_event", 0)

    def over(self) -> Iterator[Happened]:
        """Yield the events that no history row shows, when there are no more rows."""
        yield from self._pass(END, END)
