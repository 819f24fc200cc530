"""The population of changes in a period, told by the ledger and checked against the register; and samples of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any

from django.db import connection

from audit import as_of
from audit.models import Checkpoint, Head
from releases.evidence_pack.collected import plain
from releases.models import Release

STATEMENT = "application/vnd.ringi.population.v1+json"
SAMPLE = 25
_NUMBER = re.compile(r"^(FY\d{4})-(\d+)$")

# A change is numbered when its content is fixed; the first time counts.
_FIXED = """
SELECT f.object, f.at, l.number FROM (
    SELECT DISTINCT ON (e.object) e.object, e.at, e.id FROM audit_event e
    WHERE e.action = 'release:fix_content' AND e.kind = 'action' AND e.outcome = 'done' ORDER BY e.object, e.at, e.id
) AS f JOIN audit_link l ON l.event_id = f.id ORDER BY f.at
"""


@dataclass(frozen=True)
class Change:
    """One change: its number, its release (None when the row is gone), when it was numbered, and by which event."""

    number: str
    label: str
    release: Release | None
    at: datetime
    event: int


@dataclass
class Population:
    """The changes of a period in the order of their numbers.

    missing: numbers between the first and the last that no change bears; gone: changes that the ledger knows and the
    register does not; unexplained: numbers that the register has and the ledger does not know.
    """

    since: datetime
    until: datetime
    changes: list[Change] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Tell whether the numbers have no gap and ledger and register agree."""
        return not (self.missing or self.gone or self.unexplained)

    def statement(self) -> dict[str, Any]:
        """Return what is signed: the count, the ends, a digest over the numbers, and the checkpoint that covers them."""
        numbers = [change.number for change in self.changes]
        last = max((change.event for change in self.changes), default=0)
        checkpoint = Checkpoint.objects.filter(number__gte=last).order_by("number").first() if last else None
        return {
            "v": 1,
            "kind": "population",
            "since": plain(self.since),
            "until": plain(self.until),
            "count": len(numbers),
            "first": numbers[0] if numbers else None,
            "last": numbers[-1] if numbers else None,
            "missing": self.missing,
            "gone": self.gone,
            "unexplained": self.unexplained,
            "digest": sha256("".join(f"{number}\n" for number in numbers).encode()).hexdigest(),
            "checkpoint": checkpoint.note if checkpoint is not None else None,
        }


def _place(number: str) -> tuple[str, int]:
    found = _NUMBER.match(number)
    return (found[1], int(found[2])) if found is not None else (number, 0)


def population(since: datetime, until: datetime) -> Population:
    """Return the changes that were numbered in a period (since inclusive, until exclusive)."""
    made = Population(since, until)
    with connection.cursor() as cursor:
        cursor.execute(_FIXED)
        ever = cursor.fetchall()
    fixed = [row for row in ever if row[1] < until]
    releases = Release.objects.select_related("application").in_bulk(
        [int(label.partition(":")[2]) for label, *_ in fixed]
    )
    before: dict[str, int] = {}
    for label, at, event in fixed:
        release = releases.get(int(label.partition(":")[2]))
        number = release.number if release is not None else _number_of(label)
        if release is None and at >= since:
            made.gone.append(number or label)
        year, place = _place(number or "")
        if at < since:
            before[year] = max(before.get(year, 0), place)
        else:
            made.changes.append(Change(number or label, label, release, at, event))
    made.changes.sort(key=lambda change: _place(change.number))
    _gaps(made, before)
    # A change planned in the period may have been fixed after it: then it is of a later one, and explained.
    known = {label for label, *_ in ever}
    numbered = Release.objects.filter(number__isnull=False, created_at__lt=until).exclude(state="draft")
    for release in numbered.only("pk", "number", "created_at"):
        if f"releases.Release:{release.pk}" not in known and release.created_at >= since:
            made.unexplained.append(str(release.number))
    return made


def _number_of(label: str) -> str | None:
    """Return the number that a row had which is gone."""
    numbers = [state.values.get("number") for state in as_of.life_of(label).states]
    return next((number for number in reversed(numbers) if number), None)


def _gaps(made: Population, before: dict[str, int]) -> None:
    places: dict[str, set[int]] = {}
    for change in made.changes:
        year, place = _place(change.number)
        places.setdefault(year, set()).add(place)
    for year, there in sorted(places.items()):
        made.missing += [f"{year}-{n:04d}" for n in range(before.get(year, 0) + 1, max(there)) if n not in there]


def default_seed() -> str:
    """Return a seed that nobody chose: the root of the last checkpoint, or the chain while there is none."""
    checkpoint = Checkpoint.objects.order_by("-number").first()
    if checkpoint is not None:
        return bytes(checkpoint.root).hex()[:16]
    head = Head.objects.first()
    return bytes(head.chain).hex()[:16] if head is not None else "0"


def sample(changes: Sequence[Change], seed: str, size: int = SAMPLE) -> list[Change]:
    """Draw `size` changes: those whose SHA-256 of `seed`, a newline and the number comes first, in that order.

    Anyone can draw the same sample again with a list of numbers, the seed and a hash.
    """
    return sorted(changes, key=lambda change: sha256(f"{seed}\n{change.number}".encode()).hexdigest())[:size]
