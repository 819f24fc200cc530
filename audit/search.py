"""Search of events: the timeline's filters, newest first, in pages that take the same time however many there are.

Pages are keyset pages: the id of the last event looked at is where the next page begins. Filters that no index
serves (words, address) look at SCAN events at most, and the page says how far it came.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from audit.models import Event, LedgerEntry, PendingEvent
from audit.search_patterns import divided, literals, pattern

SCAN = 200_000
SELDOM = ("refusal", "access")  # types with an index of their own; the first is every refusal


@dataclass(frozen=True)
class Wanted:
    """The filters of a search; an empty field filters nothing.

    account_id: a person or service account under any name it had; actor: the exact label; model: `app.Model`, all its
    objects; objects: labels, or an SQL query of labels with its parameters, and with them the whole operations that
    touched one; since (inclusive), until (exclusive): database time; words: in any writing and case, each must be
    there; readable: (model, SQL query of labels, its values): of that model, words are looked for only under these
    labels.
    """

    account_id: int | None = None
    actor: str = ""
    object_label: str = ""
    model: str = ""
    objects: Sequence[str] | None = None
    within: tuple[tuple[str, tuple[Any, ...]], ...] = ()
    operation: str = ""
    outcome: str = ""
    kind: str = ""
    channel: str = ""
    operation_id: uuid.UUID | None = None
    since: datetime | None = None
    until: datetime | None = None
    words: str = ""
    address: str = ""
    readable: tuple[tuple[str, str, tuple[Any, ...]], ...] = ()


@dataclass(frozen=True)
class Page:
    """Events newest first, each with its link. older: the event to go on before; None when nothing is older.

    looked_to: the time back to which was looked, when the page ended there before it was full.
    """

    events: list[Event]
    older: uuid.UUID | None = None
    looked_to: datetime | None = None


def first_id(moment: datetime) -> uuid.UUID:
    """Return the smallest id of an event written at `moment` or later: ids begin with the time (RFC 9562)."""
    micros = round(moment.timestamp() * 1_000_000)
    millis, rest = divmod(micros, 1000)
    return uuid.UUID(int=(millis << 80) | (0x7 << 76) | ((rest * 4096 // 1000) << 64))


def _where(wanted: Wanted) -> tuple[list[str], list[Any]]:
    parts: list[str] = []
    values: list[Any] = []

    def ask(part: str, *given: Any) -> None:
        parts.append(part)
        values.extend(given)

    for column in ("actor", "operation", "outcome", "kind", "channel", "operation_id"):
        if value := getattr(wanted, column):
            ask(f"e.{column} = %s", value)
    if wanted.object_label:
        ask("e.object = %s", wanted.object_label)
    if wanted.model:
        # "C" collation: everything from `a.B:` up to `a.B;` begins with `a.B:`.
        ask("e.object >= %s AND e.object < %s", f"{wanted.model}:", f"{wanted.model};")
    if wanted.objects is not None:
        labels = list(wanted.objects)
        ask(
            "(e.object = ANY (%s) OR e.operation_id IN"
            " (SELECT t.operation_id FROM audit_event t WHERE t.object = ANY (%s) AND t.operation_id IS NOT NULL))",
            labels,
            labels,
        )
    for query, given in wanted.within:
        ask(f"e.object IN ({query})", *given)
    if wanted.outcome == "refused":
        ask("e.kind = 'refusal'")  # what the index of rare types serves
    if wanted.since is not None:
        ask("e.at >= %s AND e.id >= %s", wanted.since, first_id(wanted.since))
    if wanted.until is not None:
        ask("e.at < %s AND e.id < %s", wanted.until, first_id(wanted.until))
    return parts, values


def _labels_of(account_id: int) -> tuple[str, list[Any]]:
    """Return SQL for the labels under which an account acted, found by skipping along the index."""
    begins = [f"{kind}:{account_id}" for kind in ("person", "service")]
    query = """
        (WITH RECURSIVE label (actor) AS (
            (SELECT a.actor FROM audit_event a WHERE a.actor > %s AND a.actor < %s ORDER BY a.actor LIMIT 1)
            UNION ALL
            SELECT (SELECT a.actor FROM audit_event a WHERE a.actor > label.actor AND a.actor < %s
                    ORDER BY a.actor LIMIT 1) FROM label WHERE label.actor IS NOT NULL)
        SELECT actor FROM label WHERE actor IS NOT NULL)"""
    values: list[Any] = []
    for begin in begins:
        values += [f"{begin}:", f"{begin};", f"{begin};"]
    return f"({query} UNION ALL {query})", values


def _order(wanted: Wanted) -> str:
    """Return the order that an index has; ids begin with the same time, so that both orders are one."""
    indexed = wanted.actor or wanted.account_id or wanted.object_label or wanted.operation or wanted.operation_id
    seldom = wanted.kind in SELDOM or wanted.outcome == "refused"
    return "e.at DESC, e.id DESC" if indexed or seldom else "e.id DESC"


def _selected(
    wanted: Wanted, before: uuid.UUID | None, limit: int, *, columns: str = "*", skip: int = 0
) -> tuple[str, list[Any]]:
    """Return SQL for the events of a page, and its values."""
    parts, values = _where(wanted)
    if before is not None:
        parts.append("(e.at, e.id) < (SELECT m.at, m.id FROM audit_event m WHERE m.id = %s) AND e.id < %s")
        values += [before, before]
    order = _order(wanted)
    slow, slow_values = _slow(wanted)
    bound = SCAN if slow else limit
    rest = f"ORDER BY {order} LIMIT {bound}" + (f" OFFSET {skip}" if skip else "")
    if wanted.account_id is not None:
        labels, label_values = _labels_of(wanted.account_id)
        condition = " AND ".join(["e.actor = label.actor", *parts])
        near = (
            f"SELECT e.{columns} FROM {labels} AS label, LATERAL (SELECT e.* FROM audit_event e WHERE {condition}"
            f" ORDER BY {order} LIMIT {bound + skip}) AS e {rest}"
        )
        values = label_values + values
    else:
        condition = " AND ".join(parts) or "true"
        near = f"SELECT e.{columns} FROM audit_event e WHERE {condition} {rest}"
    if slow:
        near = f"SELECT e.* FROM ({near}) AS e WHERE {slow} ORDER BY {order} LIMIT {limit}"
    return near, values + slow_values


def _slow(wanted: Wanted) -> tuple[str, list[Any]]:
    parts: list[str] = []
    values: list[Any] = []
    for word in divided(wanted.words):
        if ways := literals(word):
            parts.append("(" + " OR ".join(["position(convert_to(%s, 'UTF8') IN e.bytes) > 0"] * len(ways)) + ")")
            values += ways
        else:
            parts.append("convert_from(e.bytes, 'UTF8') ~* %s")
            values.append(pattern(word))
    for model, query, given in wanted.readable if parts else ():
        parts.append(f"(e.object < %s OR e.object >= %s OR e.object IN ({query}))")
        values += [f"{model}:", f"{model};", *given]
    if wanted.address:
        # Canonical JSON: the address stands in the bytes in this one way.
        parts.append("position(convert_to(%s, 'UTF8') IN e.bytes) > 0")
        values.append(f'"request":{{"address":"{wanted.address}",')
    return " AND ".join(parts), values


def look(wanted: Wanted, limit: int = 50, before: uuid.UUID | None = None) -> Page:
    """Return one page of the events that fit all filters."""
    near, values = _selected(wanted, before, limit + 1)
    names = [str(field.column) for field in Event._meta.concrete_fields]
    columns = ", ".join(f"p.{name}" for name in names)
    events = []
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {columns}, l.number, l.leaf, l.chain, w.position, w.tx FROM ({near}) AS p"
            " LEFT JOIN audit_ledgerentry l ON l.event_id = p.id LEFT JOIN audit_pending w ON w.event_id = p.id"
            " ORDER BY p.at DESC, p.id DESC",
            values,
        )
        for row in cursor.fetchall():
            event = Event.from_db("default", names, row[: len(names)])
            number, leaf, chain, position, tx = row[len(names) :]
            link = LedgerEntry(number=number, leaf=leaf, chain=chain, event=event) if number is not None else None
            waiting = PendingEvent(position=position, tx=tx, event=event) if position is not None else None
            event._state.fields_cache |= {"ledger_entry": link, "pending": waiting}
            events.append(event)
        if len(events) > limit:
            return Page(events[:limit], older=events[limit - 1].pk)
        last = _last_looked_at(cursor, wanted, before) if _slow(wanted)[0] else None
    return Page(events, *last) if last is not None else Page(events)


def _last_looked_at(cursor: Any, wanted: Wanted, before: uuid.UUID | None) -> tuple[uuid.UUID, datetime] | None:
    """Return id and time of the last of SCAN events looked at; None when there were no more."""
    plain = Wanted(**{**{f: getattr(wanted, f) for f in wanted.__dataclass_fields__}, "words": "", "address": ""})
    last, values = _selected(plain, before, 1, columns="id", skip=SCAN - 1)
    cursor.execute(f"SELECT e.id, e.at FROM audit_event e WHERE e.id = ({last})", values)
    found: tuple[uuid.UUID, datetime] | None = cursor.fetchone()
    return found


def count(wanted: Wanted) -> int:
    """Return how many events fit, counted one by one; only asked for by hand, for it reads all of them."""
    parts, values = _where(wanted)
    if wanted.account_id is not None:
        labels, label_values = _labels_of(wanted.account_id)
        parts.append(f"e.actor IN (SELECT label.actor FROM {labels} AS label)")
        values += label_values
    slow, slow_values = _slow(wanted)
    condition = " AND ".join([*parts, *([slow] if slow else [])]) or "true"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM audit_event e WHERE {condition}", values + slow_values)
        return int(cursor.fetchone()[0])


def operations(
    actions: Sequence[str],
    since: datetime,
    until: datetime,
    within: tuple[str, tuple[Any, ...]] | None = None,
    limit: int | None = None,
) -> list[Event]:
    """Return the operations (and attempts) of these keys in a period, newest first, `limit` at most.

    within: an SQL query of labels and its values; only operations that are about one of them, or changed one.
    """
    condition, values = (
        "e.operation = ANY (%s) AND e.kind <> 'row' AND e.at >= %s AND e.at < %s",
        [list(actions), since, until],
    )
    if within is not None:
        query, given = within
        condition += (
            f" AND (e.object IN ({query}) OR EXISTS (SELECT FROM audit_event t WHERE t.operation_id = e.operation_id"
            f" AND t.kind = 'row' AND t.object IN ({query})))"
        )
        values += [*given, *given]
    found = Event.objects.raw(
        f"SELECT e.* FROM audit_event e WHERE {condition} ORDER BY e.at DESC, e.id DESC LIMIT %s", [*values, limit]
    )
    events = list(found)
    for name, model in (("ledger_entry", LedgerEntry), ("pending", PendingEvent)):
        found_ = {one.event_id: one for one in model._default_manager.filter(event__in=[e.pk for e in events])}
        for event in events:
            event._state.fields_cache[name] = found_.get(event.pk)
    return events
