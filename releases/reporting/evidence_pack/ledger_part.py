"""The events of one change with their inclusion proofs, under the first checkpoint that covers the last of them."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import batched

import rfc8785
from django.db import connection

from audit.ledger.tree import Tree
from audit.models import Checkpoint

BATCH = 200

# Events about a change, and all others of the operations that touched it; the download of a pack names it in the
# details and has no object.
_NUMBERS = """
SELECT l.number FROM audit_event e JOIN audit_ledgerentry l ON l.event_id = e.id
WHERE e.object = ANY (%s) OR e.operation_id IN
    (SELECT t.operation_id FROM audit_event t WHERE t.object = ANY (%s) AND t.operation_id IS NOT NULL)
ORDER BY l.number
"""
_EVENTS = """
SELECT l.number, e.bytes, l.leaf FROM audit_ledgerentry l JOIN audit_event e ON e.id = l.event_id
WHERE l.number = ANY (%s) ORDER BY l.number
"""


@dataclass(frozen=True)
class LedgerPart:
    """The numbers of a change's events, and the checkpoint that they are proven under; None while none covers any."""

    numbers: list[int]
    size: int
    note: str
    root: str

    @property
    def unproven(self) -> list[int]:
        """Return the numbers that the ledger signer has not signed yet."""
        return [number for number in self.numbers if number > self.size]


def part_of(labels: list[str]) -> LedgerPart:
    """Find the events of a change, given the labels of all rows that it ever had, and their checkpoint."""
    with connection.cursor() as cursor:
        cursor.execute(_NUMBERS, [labels, labels])
        numbers = [number for (number,) in cursor.fetchall()]
    last = max(numbers, default=0)
    found = Checkpoint.objects.filter(number__gte=last).order_by("number").first()
    if found is None:
        found = Checkpoint.objects.order_by("-number").first()
    if found is None:
        return LedgerPart(numbers, 0, "", "")
    return LedgerPart(numbers, found.number, found.note, bytes(found.root).hex())


def lines(part: LedgerPart, tree: Tree) -> Iterator[bytes]:
    """Yield each event as a line of JSON, a few hundred read at a time; an event without checkpoint has the
    path null.
    """
    for some in batched(part.numbers, BATCH, strict=False):
        with connection.cursor() as cursor:
            cursor.execute(_EVENTS, [list(some)])
            found = cursor.fetchall()
        for number, event, leaf in found:
            proven = number <= part.size
            path = [node.hex() for node in tree.inclusion(number - 1, part.size)] if proven else None
            line = {"number": number, "event": base64.b64encode(event).decode(), "leaf": leaf.hex(), "path": path}
            yield rfc8785.dumps(line) + b"\n"
