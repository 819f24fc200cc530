"""The whole ledger as JSON Lines, streamed in constant memory; what audit/offline/ringi_verify.py reads.

Lines: `{"ringi": "export", …}` first; `{"number", "event", "leaf", "chain"}` per event (base64, hex, hex);
`{"checkpoint": note}` right behind the last event it covers; `{"head": {"number", "chain"}}` at the end.
"""

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

from audit.ledger.note import KeyRing, PublicKey

VERSION = 1
BATCH = 5000


# The bytes of an event's line beside its number and the base64 of the event (4 for each 3 begun), and those for null.
_AROUND = len('{"number":,"event":"","leaf":"","chain":""}\n') + 64 + 64
_LENGTH = f"""
SELECT coalesce(sum({_AROUND} + length(l.number::text)
    + CASE WHEN e.id IS NULL THEN 2 ELSE 4 * ((octet_length(e.bytes) + 2) / 3) END), 0)
FROM audit_ledgerentry l LEFT JOIN audit_event e ON e.id = l.event_id
"""


def lines(
    connection: Any, key: PublicKey | KeyRing | None = None, *, on_start: Callable[[int, int], None] | None = None
) -> Iterator[str]:
    """Yield the lines of an export of one snapshot, each with its newline.

    connection: of psycopg, in no transaction; it is busy until the last line was taken. key: put into the
    first line for convenience; an auditor should have it from elsewhere. on_start: called before the first line
    with the number of events and the export's length in bytes, so that a download can show its progress.
    """
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        cursor.execute("SELECT number, chain FROM audit_ledgerhead WHERE id = 1")
        number, chain = cursor.fetchone()
        first = line({"ringi": "export", "v": VERSION, "key": "" if key is None else str(key)})
        last = line({"head": {"number": number, "chain": bytes(chain).hex()}})
        if on_start is not None:
            on_start(number, len(first) + len(last) + _length(cursor))
        yield first
        with (
            connection.cursor(name="ringi_export", binary=True) as rows,
            connection.cursor(name="ringi_export_checkpoints", binary=True) as notes,
        ):
            rows.itersize = notes.itersize = BATCH
            notes.execute("SELECT number, note FROM audit_checkpoint ORDER BY number")
            rows.execute(
                "SELECT l.number, e.bytes, l.leaf, l.chain FROM audit_ledgerentry l"
                " LEFT JOIN audit_event e ON e.id = l.event_id ORDER BY l.number"
            )
            note = notes.fetchone()
            for place, event, leaf, linked in rows:
                # A link without event stays visible as a fault of the export.
                encoded = None if event is None else base64.b64encode(event).decode()
                yield line({"number": place, "event": encoded, "leaf": leaf.hex(), "chain": linked.hex()})
                while note is not None and note[0] <= place:
                    yield line({"checkpoint": note[1]})
                    note = notes.fetchone()
            while note is not None:
                yield line({"checkpoint": note[1]})
                note = notes.fetchone()
        yield last


def _length(cursor: Any) -> int:
    """Return the length in bytes of all lines between the first and the last."""
    cursor.execute(_LENGTH)
    length = int(cursor.fetchone()[0])
    cursor.execute("SELECT note FROM audit_checkpoint")
    return length + sum(len(line({"checkpoint": note}).encode()) for (note,) in cursor)


def line(record: dict[str, Any]) -> str:
    """Return a record as a line of JSON."""
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n"
