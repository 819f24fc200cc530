"""A stretch of the ledger checked by itself: bytes, leaves, chain and columns; its tree is built from what it returns.

Stretches are checked in order here, or side by side by other processes that look at the same snapshot.
"""

import json
import os
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from itertools import batched
from multiprocessing import get_context
from operator import itemgetter
from typing import Any

import orjson
import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from audit.offline.ringi_verify import KEYS, KINDS, RENEWAL, concerns_passkey, once

# Column of audit_event, key of the bytes.
PROJECTIONS = ("id", "kind", "operation_id", "ts", "actor", "channel", "operation", "object", "outcome", "reason", "tx")
GENESIS = bytes(32)
SIZE = 10_000
MOST = 8
_projected = itemgetter(*PROJECTIONS)
_operation = itemgetter("operation")

LINKED = """
SELECT l.number, l.leaf, l.chain, e.bytes, e.id::text, e.kind, e.operation_id::text,
       to_char(e.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
       e.actor, e.channel, e.operation, e.object, e.outcome, e.reason, e.tx
FROM audit_ledgerentry l LEFT JOIN audit_event e ON e.id = l.event_id
WHERE l.number >= %s AND l.number <= %s ORDER BY l.number
"""


@dataclass(frozen=True)
class Finding:
    """The first thing that is wrong, and the number of the event where it shows."""

    number: int
    what: str


Row = tuple[Any, ...]
Accepted = Collection[Finding]


class Broken(Exception):
    """Verification met something wrong."""

    def __init__(self, number: int, what: str) -> None:
        self.finding = Finding(number, what)
        super().__init__(number, what)  # another process makes it again from these

    def __str__(self) -> str:
        return self.finding.what


@dataclass
class Part:
    """The verified part of a stretch. leaves: from `first` on; chain: the value after them; keyed: (number, contents)
    of the events that name, end or use a key; fault: what is wrong with the event after the last leaf; accepted: what
    is wrong before it.
    """

    first: int
    chain: bytes
    leaves: list[bytes] = field(default_factory=list)
    keyed: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    fault: Finding | None = None
    accepted: list[Finding] = field(default_factory=list)


def _contents(number: int, event: bytes, columns: tuple[Any, ...]) -> dict[str, Any]:
    try:
        contents = orjson.loads(event)
        # Of a key that stands twice the parser takes the last. Nearly all events are written as it would write them.
        if orjson.dumps(contents, option=orjson.OPT_SORT_KEYS) != event:
            json.loads(event, object_pairs_hook=once)
    except (ValueError, TypeError, RecursionError):  # TypeError: nested deeper than it writes
        raise Broken(number, "the bytes of the event are not JSON")
    # The parser passes over white space around the object.
    if event[:1] != b"{" or event[-1:] != b"}" or contents.keys() != KEYS:
        raise Broken(number, "the event has not the fields of an event")
    if repr(contents["v"]) != "2":
        raise Broken(number, "the event is not of version 2")
    if contents["kind"] not in KINDS:
        raise Broken(number, "the event is of no kind that there is")
    if _projected(contents) != columns:
        name = next(n for n, column in zip(PROJECTIONS, columns, strict=True) if contents[n] != column)
        raise Broken(number, f"column {'at' if name == 'ts' else name} is not what the bytes say")
    return contents  # type: ignore[no-any-return]


def leaf_of(event: bytes) -> bytes:
    """Return the leaf of an event's bytes."""
    return sha256(b"\x00" + event).digest()


def contents_of(number: int, leaf: bytes, event: bytes | None, columns: tuple[Any, ...]) -> dict[str, Any]:
    """Return an event parsed. columns: PROJECTIONS as LINKED reads them. Raises Broken where bytes, leaf and columns of
    the event do not say the same.
    """
    if event is None:
        raise Broken(number, "the event of the link is missing")
    if leaf_of(event) != leaf:
        raise Broken(number, "the bytes of the event do not hash to the leaf of the link")
    return _contents(number, event, columns)


def _check(part: Part, rows: Iterable[Row], last: int | None, accepted: Accepted) -> None:
    chain, expected = part.chain, part.first
    for row in rows:
        number, leaf, linked, event = row[:4]
        if number != expected:
            raise Broken(expected, "the link is missing")
        chain = sha256(b"\x01" + chain + leaf).digest()
        try:
            contents = contents_of(number, leaf, event, row[4:])
            if _operation(contents) == RENEWAL or concerns_passkey(contents):
                part.keyed.append((number, contents))
        except Broken as broken:
            # The leaf is what was signed: what comes after a fault that two people have accepted is verified as ever.
            if broken.finding not in accepted:
                raise
            part.accepted.append(broken.finding)
        if chain != linked:
            raise Broken(number, "the chain value is not that of the event before and this leaf")
        part.leaves.append(leaf)
        part.chain = chain
        expected += 1
    if last is not None and expected <= last:
        raise Broken(expected, "the link is missing")


def checked(first: int, chain: bytes, rows: Iterable[Row], last: int | None = None, accepted: Accepted = ()) -> Part:
    """Check the rows of LINKED from `first` on. chain: the value before them. last: the number that they end with.
    accepted: faults of single events that do not end it.
    """
    part = Part(first, chain)
    try:
        _check(part, rows, last, accepted)
    except Broken as broken:
        part.fault = broken.finding
    return part


def chain_before(cursor: Any, first: int) -> bytes:
    """Return the chain value before a number. Raises Broken when the link before it is missing."""
    if first == 1:
        return GENESIS
    cursor.execute("SELECT chain FROM audit_ledgerentry WHERE number = %s", [first - 1])
    before = cursor.fetchone()
    if before is None:
        raise Broken(first - 1, "the link is missing")
    return bytes(before[0])


def in_order(connection: Any, first: int, chain: bytes, last: int, accepted: Accepted = ()) -> Iterator[Part]:
    """Check what there is of a range, stretch by stretch, in this process; ends with the first that is at fault. chain:
    the value before `first`.
    """
    with connection.cursor(name="ringi_verify", binary=True) as cursor:
        cursor.itersize = SIZE
        cursor.execute(LINKED, [first, last])
        for rows in batched(cursor, SIZE):
            part = checked(first, chain, rows, accepted=accepted)
            yield part
            if part.fault is not None:
                return
            first, chain = first + len(rows), part.chain


def side_by_side(connection: Any, first: int, last: int, processes: int) -> Iterator[Part]:
    """Check a range that is said to be there to its end, stretch by stretch in order, by as many processes.

    connection: in a transaction of which the snapshot can be given to others (at least REPEATABLE READ).
    """
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")  # it waits for the others
        cursor.execute("SELECT pg_export_snapshot()")
        (snapshot,) = cursor.fetchone()
    address = make_conninfo("", **connection.info.get_parameters(), password=connection.info.password)
    spawn = get_context("spawn")
    with ProcessPoolExecutor(processes, spawn, initializer=_look, initargs=(address, snapshot)) as pool:
        waiting: deque[Future[Part]] = deque()
        starts = iter(range(first, last + 1, SIZE))
        try:
            while True:
                while len(waiting) < 2 * processes and (start := next(starts, None)) is not None:
                    waiting.append(pool.submit(_part, start, min(start + SIZE - 1, last)))
                if not waiting:
                    return
                part = waiting.popleft().result()
                yield part
                if part.fault is not None:
                    return
        finally:
            for future in waiting:
                future.cancel()


def processes_for(count: int) -> int:
    """Return how many processes check `count` events: one for each core that this one may use, MOST at most, for each
    takes a session of the database; and this one alone where starting them takes longer.
    """
    return min(len(os.sched_getaffinity(0)), MOST, count // (5 * SIZE))


_given: list[str] = []


def _look(address: str, snapshot: str) -> None:
    _given[:] = address, snapshot


@cache
def _session(address: str, snapshot: str) -> psycopg.Connection[Any]:
    """Look at the ledger as the session does that gave its snapshot."""
    connection = psycopg.connect(address)
    connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
    connection.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(snapshot))
    # Without statistics of a table that has grown since, it would be read whole for each stretch.
    for plan in ("seqscan", "bitmapscan", "hashjoin", "mergejoin"):
        connection.execute(f"SET enable_{plan} = off")
    return connection


def _part(first: int, last: int) -> Part:
    with _session(*_given).cursor(binary=True) as cursor:
        # Where the link before is missing, the stretch before is broken, and that fault is reported first.
        return checked(first, chain_before(cursor, first), cursor.execute(LINKED, [first, last]), last)
