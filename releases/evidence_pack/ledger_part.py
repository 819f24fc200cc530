"""The events of one change with their inclusion proofs, under the first checkpoint that covers the last of them."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import rfc8785
from django.db import connection

from audit.ledger.tree import Tree
from audit.models import Checkpoint
from releases.evidence_pack.scope import evidence_of, of_release
from releases.models import Release

BATCH = 200

# Events about a change, and all others of the acts that touched it; a pack taken along names it in the details and has no object.
_NUMBERS = """
SELECT l.number FROM audit_event e JOIN audit_link l ON l.event_id = e.id
WHERE e.object = ANY (%s) OR e.act IN
    (SELECT t.act FROM audit_event t WHERE t.object = ANY (%s) AND t.act IS NOT NULL)
ORDER BY l.number
"""
_EVENTS = """
SELECT l.number, e.bytes, l.leaf FROM audit_link l JOIN audit_event e ON e.id = l.event_id
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
        """Return the numbers that the sealer has not signed for yet."""
        return [number for number in self.numbers if number > self.size]


def part_of(release: Release) -> LedgerPart:
    """Find the events of a change and their checkpoint."""
    labels = of_release(release.pk) + [
        f"releases.Evidence:{pk}" for pk in evidence_of(release).values_list("pk", flat=True)
    ]
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


def rows(part: LedgerPart) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield (number, bytes, leaf) of each event, a few hundred at a time."""
    for begin in range(0, len(part.numbers), BATCH):
        with connection.cursor() as cursor:
            cursor.execute(_EVENTS, [part.numbers[begin : begin + BATCH]])
            found = cursor.fetchall()
        for number, event, leaf in found:
            yield number, bytes(event), bytes(leaf)


def lines(part: LedgerPart, tree: Tree) -> Iterator[bytes]:
    """Yield each event as a line of JSON; an event without checkpoint has the path null."""
    for number, event, leaf in rows(part):
        path: list[str] | None = None
        if number <= part.size:
            path = [node.hex() for node in tree.inclusion(number - 1, part.size)]
        line: dict[str, Any] = {
            "number": number,
            "event": base64.b64encode(event).decode(),
            "leaf": leaf.hex(),
            "path": path,
        }
        yield rfc8785.dumps(line) + b"\n"
