"""Events of the ledger from one number to another as JSON Lines, with what proves them without the rest.

Lines: `{"ringi": "part", "v": 1, "key", "first", "last", "chain", "tree"}` first, where `chain` is the value and `tree`
the full subtrees of the events before; `{"before": note, "path"}` and `{"after": note, "path"}`, a checkpoint from each
side with its consistency proof, the latter with the `token` of a time stamp where there is one; `{"number", "event",
"path"}` per earlier event about a passkey, an identity or a provider's key. Then as in a whole export. Of the
checkpoints between it has the last one of each day, those that are time-stamped, and the last one before each new key.
"""

import base64
import json
from collections.abc import Iterator
from typing import Any

from audit.export import BATCH, VERSION, line
from audit.ledger.parts import GENESIS, Broken, leaf_of
from audit.ledger.proof import node_hash
from audit.ledger.tree import Tree
from audit.offline import ringi_verify
from audit.offline.ringi_verify import ADD_PASSKEY, IDENTITY, PASSKEY, PROVIDER_KEY, RENEWAL, STAMP, stamp_of

_NOTES = """
SELECT number, note FROM audit_checkpoint WHERE number BETWEEN %(first)s AND %(last)s AND (number = ANY (%(stamped)s)
  OR number IN (SELECT max(number) FROM audit_checkpoint WHERE number BETWEEN %(first)s AND %(last)s
    GROUP BY (at AT TIME ZONE 'UTC')::date)
  OR number IN (SELECT (SELECT max(c.number) FROM audit_checkpoint c WHERE c.number < l.number) FROM audit_event e
    JOIN audit_ledgerentry l ON l.event_id = e.id WHERE e.operation = %(renewal)s)) ORDER BY number
"""
_EARLIER = """
SELECT l.number, e.bytes FROM audit_event e JOIN audit_ledgerentry l ON l.event_id = e.id WHERE l.number < %s AND (
  e.operation = %s OR e.kind = 'row' AND (e.object >= %s AND e.object < %s AND e.outcome = 'deleted'
  OR e.object >= %s AND e.object < %s OR e.object >= %s AND e.object < %s)) ORDER BY l.number
"""
_STAMPS = """
SELECT l.number, e.bytes FROM audit_event e JOIN audit_ledgerentry l ON l.event_id = e.id
WHERE e.operation = %s AND e.outcome = 'done' AND l.number >= %s ORDER BY l.number
"""
_EVENTS = """
SELECT l.number, e.bytes, l.leaf, l.chain FROM audit_ledgerentry l LEFT JOIN audit_event e ON e.id = l.event_id
WHERE l.number BETWEEN %s AND %s ORDER BY l.number
"""


def stamps(cursor: Any, first: int) -> Iterator[ringi_verify.Stamp]:
    """Yield the time stamps in the events from a number on."""
    cursor.execute(_STAMPS, [STAMP, first])
    for number, raw in cursor.fetchall():
        try:
            stamp = stamp_of(number, json.loads(bytes(raw)))
        except ringi_verify.Broken:
            continue
        if stamp is not None:
            yield stamp


def covering(cursor: Any, last: int) -> int:
    """Return the size of the checkpoint that proves the events up to a number: the first one that is time-stamped, else
    the first one; 0 where no checkpoint covers them yet.
    """
    stamped = next((stamp.size for stamp in stamps(cursor, last) if stamp.size >= last), 0)
    cursor.execute("SELECT min(number) FROM audit_checkpoint WHERE number = %s", [stamped])
    if (found := cursor.fetchone()[0]) is None:
        cursor.execute("SELECT min(number) FROM audit_checkpoint WHERE number >= %s", [last])
        (found,) = cursor.fetchone()
    return int(found or 0)


def lines(connection: Any, first: int, last: int, *, key: Any = None, after: int | None = None) -> Iterator[str]:
    """Yield the lines of a part, each with its newline.

    connection: of psycopg, in a transaction that looks at one snapshot. key: as of an export. after: size of the
    checkpoint behind it, else `covering`. Raises Broken where leaf and chain do not follow from the events.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT chain FROM audit_ledgerentry WHERE number = %s", [first - 1])
        chain = bytes((cursor.fetchone() or [GENESIS])[0])
        tree, size = Tree(connection), covering(cursor, last) if after is None else after
        roots = [root.hex() for root in tree.frontier(first - 1).roots]
        title = {"ringi": "part", "v": VERSION, "key": "" if key is None else str(key)}
        yield line({**title, "first": first, "last": last, "chain": chain.hex(), "tree": roots})
        stamped = list(stamps(cursor, first))
        within = [stamp.size for stamp in stamped if stamp.number <= last]
        yield from _before(cursor, tree, first, within)
        yield from _after(cursor, tree, last, size, stamped)
        yield from _earlier(cursor, tree, first)
        places = {"first": first, "last": last, "stamped": within, "renewal": RENEWAL}
        cursor.execute(_NOTES, places)
        notes = cursor.fetchall()[::-1]
    with connection.cursor(name="ringi_export_part", binary=True) as rows:
        rows.itersize = BATCH
        rows.execute(_EVENTS, [first, last])
        number = first - 1
        for place, event, leaf, linked in rows:
            number, chain = number + 1, node_hash(chain, leaf)
            if place != number or event is None or leaf_of(event) != leaf or chain != linked:
                raise Broken(number, "the link is missing, or does not follow from its event and the one before")
            encoded = base64.b64encode(event).decode()
            yield line({"number": place, "event": encoded, "leaf": leaf.hex(), "chain": linked.hex()})
            while notes and notes[-1][0] <= place:
                yield line({"checkpoint": notes.pop()[1]})
    if number != last:
        raise Broken(number + 1, "the link is missing")
    yield line({"head": {"number": last, "chain": chain.hex()}})


def _note(cursor: Any, size: int) -> str:
    cursor.execute("SELECT note FROM audit_checkpoint WHERE number = %s", [size])
    return str((cursor.fetchone() or [""])[0])


def _before(cursor: Any, tree: Tree, first: int, stamped: list[int]) -> Iterator[str]:
    """Yield the last checkpoint before the part, and those before it that a stamp in the part is of."""
    cursor.execute("SELECT max(number) FROM audit_checkpoint WHERE number < %s", [first])
    last = cursor.fetchone()[0]
    for size in sorted({size for size in (last, *stamped) if size and size < first}):
        if note := _note(cursor, size):
            yield line({"before": note, "path": [node.hex() for node in tree.consistency(size, first - 1)]})


def _after(cursor: Any, tree: Tree, last: int, size: int, stamped: list[ringi_verify.Stamp]) -> Iterator[str]:
    """Yield the checkpoint behind the part, with its time stamp where it has one."""
    if not (note := _note(cursor, size)):
        return
    found = {"after": note, "path": [node.hex() for node in tree.consistency(last, size)]}
    token = next((stamp.token for stamp in stamped if stamp.size == size and stamp.number > last), None)
    yield line(found if token is None else {**found, "token": base64.b64encode(token).decode()})


def _earlier(cursor: Any, tree: Tree, first: int) -> Iterator[str]:
    """Yield each earlier event about a passkey, an identity at a provider, or a key of one, with its path."""
    ranges = [bound for prefix in (PASSKEY, IDENTITY, PROVIDER_KEY) for bound in (prefix, prefix[:-1] + ";")]
    cursor.execute(_EARLIER, [first, ADD_PASSKEY, *ranges])
    for number, raw in cursor.fetchall():
        path = [node.hex() for node in tree.inclusion(number - 1, first - 1)]
        yield line({"number": number, "event": base64.b64encode(bytes(raw)).decode(), "path": path})
