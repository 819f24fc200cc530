"""Verification of the ledger in the database: bytes, links, head, columns and checkpoints against each other.

Called by `manage.py audit_verify`; the same promises are checked offline by audit/offline/ringi_verify.py.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from operator import itemgetter
from typing import Any

from audit.ledger.checkpoint import GENESIS
from audit.ledger.note import BadNote, Checkpoint, PublicKey, Signers, parse
from audit.ledger.proof import Frontier

HOLDS, BROKEN, UNKNOWN = 0, 1, 2
KEYS = frozenset(
    ("act", "action", "actor", "after", "before", "channel", "id", "kind")
    + ("object", "on_behalf", "outcome", "reason", "request", "ts", "tx", "v")
)
# Column of audit_event, key of the bytes.
PROJECTIONS = ("id", "kind", "act", "ts", "actor", "channel", "action", "object", "outcome", "reason", "tx")
BATCH = 10000
_projected = itemgetter(*PROJECTIONS)
# Of json.loads without what canonical bytes need not: guessing an encoding, and passing over white space.
_read = json.JSONDecoder().raw_decode

_LINKED = """
SELECT l.number, l.leaf, l.chain, e.bytes, e.id::text, e.kind, e.act::text,
       to_char(e.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
       e.actor, e.channel, e.action, e.object, e.outcome, e.reason, e.tx
FROM audit_link l LEFT JOIN audit_event e ON e.id = l.event_id
WHERE l.number >= %s AND l.number <= %s ORDER BY l.number
"""


@dataclass(frozen=True)
class Finding:
    """The first thing that is wrong, and the number of the event where it shows."""

    number: int
    what: str


class Broken(Exception):
    """Verification met something wrong."""

    def __init__(self, number: int, what: str) -> None:
        self.finding = Finding(number, what)
        super().__init__(what)


@dataclass
class Report:
    """What was verified. `unknown` says what could not be told; `finding` is the first fault."""

    first: int = 1
    last: int = 0
    events: int = 0
    checkpoints: int = 0
    chain: str = ""
    root: str = ""
    finding: Finding | None = None
    unknown: str = ""

    @property
    def exit_status(self) -> int:
        """0 holds, 1 broken, 2 can't tell."""
        return BROKEN if self.finding else UNKNOWN if self.unknown else HOLDS


@dataclass(frozen=True)
class Claim:
    """What a checkpoint says, or the fault of one that stands in the database. `outside`: it was kept elsewhere."""

    checkpoint: Checkpoint
    note: str
    outside: bool
    fault: str = ""


Claims = dict[int, list[Claim]]


def _claims(cursor: Any, outside: Iterable[str]) -> Claims:
    """Collect what checkpoints say, by size; raise `BadNote` for a malformed one from outside."""
    claims: Claims = defaultdict(list)
    for note in outside:
        checkpoint = parse(note)
        claims[checkpoint.size].append(Claim(checkpoint, note, outside=True))
    cursor.execute("SELECT number, root, note FROM audit_checkpoint ORDER BY number")
    for number, root, note in cursor.fetchall():
        fault, checkpoint = "", Checkpoint("", number, bytes(root))
        try:
            found = parse(note)
            if found != Checkpoint(found.origin, number, bytes(root)):
                fault = "its columns do not match its note"
        except BadNote as bad:
            fault = str(bad)
        claims[number].append(Claim(checkpoint, note, outside=False, fault=fault))
    return claims


def _check_event(number: int, event: bytes, columns: tuple[Any, ...]) -> dict[str, Any]:
    try:
        text = event.decode()
        contents, end = _read(text)
    except ValueError:
        raise Broken(number, "the bytes of the event are not JSON")
    if end != len(text):
        raise Broken(number, "the bytes of the event are not JSON")
    if not isinstance(contents, dict) or contents.keys() != KEYS:
        raise Broken(number, "the event has not the fields of an event")
    if _projected(contents) != columns:
        name = next(n for n, column in zip(PROJECTIONS, columns, strict=True) if contents[n] != column)
        raise Broken(number, f"column {'at' if name == 'ts' else name} is not what the bytes say")
    return contents


def _check_claims(
    report: Report, claims: Claims, signers: Signers, frontier: Frontier, agreed: dict[bool, int]
) -> None:
    """Compare what is claimed of this size. `agreed`: the last size that agreed, of notes from outside and of others."""
    for claim in claims[frontier.size]:
        if claim.fault:
            raise Broken(frontier.size, f"the checkpoint of {frontier.size} events: {claim.fault}")
        _check_signature(claim, signers)
        if claim.checkpoint.root != frontier.root():
            # After a restore the ledger's own checkpoints agree with it also behind what was lost.
            start = agreed[True] if claim.outside else max(agreed.values())
            raise Broken(
                start + 1,
                f"events {start + 1} to {frontier.size} are not those that the checkpoint of"
                f" {frontier.size} events was signed for",
            )
        agreed[claim.outside] = frontier.size
        report.checkpoints += 1


def _check_signature(claim: Claim, signers: Signers) -> None:
    if not signers.keys:
        return
    try:
        if not signers.believe(claim.note):
            raise BadNote(f"the note bears no signature of {signers.keys[0].name}")
    except BadNote as fault:
        if claim.outside:
            raise
        raise Broken(claim.checkpoint.size, f"the checkpoint of {claim.checkpoint.size} events: {fault}")


def _walk(
    cursor: Any,
    report: Report,
    claims: Claims,
    signers: Signers,
    rows: Iterable[tuple[Any, ...]],
    progress: Callable[[int], None] | None,
) -> bytes:
    """Recompute leaf, chain and tree over the links in order; return the last chain value."""
    chain, expected, frontier = GENESIS, report.first, Frontier()
    agreed = {True: 0, False: 0}
    if report.first > 1:
        cursor.execute("SELECT chain FROM audit_link WHERE number = %s", [report.first - 1])
        before = cursor.fetchone()
        if before is None:
            raise Broken(report.first - 1, "the link is missing")
        chain = bytes(before[0])
    whole = report.first == 1
    for number, leaf, linked, event, *columns in rows:
        if number != expected:
            raise Broken(expected, "the link is missing")
        if event is None:
            raise Broken(number, "the event of the link is missing")
        if sha256(b"\x00" + event).digest() != leaf:
            raise Broken(number, "the bytes of the event do not hash to the leaf of the link")
        chain = sha256(b"\x01" + chain + leaf).digest()
        if chain != linked:
            raise Broken(number, "the chain value is not that of the event before and this leaf")
        signers.hear(number, _check_event(number, event, tuple(columns)))
        if whole:
            frontier.add(leaf)
            if number in claims:
                _check_claims(report, claims, signers, frontier, agreed)
        report.last = number
        report.events += 1
        expected += 1
        if progress is not None and number % BATCH == 0:
            progress(number)
    report.chain = chain.hex()
    report.root = frontier.root().hex() if whole else ""
    return chain


def _check_end(cursor: Any, report: Report, claims: Claims, signers: Signers, chain: bytes) -> None:
    """Compare the end of the chain with head and furthest checkpoint, and events with links one to one."""
    size = report.last
    furthest = max(claims, default=0)
    if furthest > size:
        for claim in claims[furthest]:
            if claim.outside:
                _check_signature(claim, signers)
        raise Broken(size + 1, f"the link is missing: a checkpoint covers {furthest} events")
    cursor.execute("SELECT number, chain FROM audit_head WHERE id = 1")
    head = cursor.fetchone()
    if head is None:
        raise Broken(size, "the head is missing")
    if head[0] != size:
        raise Broken(min(head[0], size) + 1, f"the head says {head[0]} events, the last link is {size}")
    if bytes(head[1]) != chain:
        raise Broken(size, "the chain value of the head is not that of the last link")
    cursor.execute(
        "SELECT e.id::text FROM audit_event e WHERE NOT EXISTS"
        " (SELECT FROM audit_link l WHERE l.event_id = e.id) ORDER BY e.at LIMIT 1"
    )
    if unlinked := cursor.fetchone():
        raise Broken(size + 1, f"event {unlinked[0]} is not in the chain")
    cursor.execute("SELECT max(number) FROM audit_link GROUP BY event_id HAVING count(*) > 1 ORDER BY 1 LIMIT 1")
    if doubled := cursor.fetchone():
        raise Broken(doubled[0], "the event of the link is linked twice")


def verify(
    connection: Any,
    *,
    first: int = 1,
    last: int | None = None,
    notes: Iterable[str] = (),
    key: PublicKey | Iterable[PublicKey] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Report:
    """Verify the ledger in one snapshot and report the first fault.

    connection: of psycopg, in no transaction. first, last: a range of numbers; only a range from 1 is
    compared with checkpoints, only the whole with head and count. notes: checkpoints kept outside the
    database. key: the sealer's, one or more; keys that the ledger names below a checkpoint by a believed key are
    believed as well. Raises `BadNote` when an outside note is malformed or not signed by a believed key, psycopg's
    errors otherwise.
    """
    report = Report(first=first, last=first - 1)
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        claims, signers = _claims(cursor, notes), Signers(key)
        try:
            with connection.cursor(name="ringi_verify", binary=True) as rows:
                rows.itersize = BATCH
                rows.execute(_LINKED, [first, 2**62 if last is None else last])
                chain = _walk(cursor, report, claims, signers, rows, progress)
            if last is None:
                _check_end(cursor, report, claims if first == 1 else {}, signers, chain)
            elif report.last != last:
                raise Broken(report.last + 1, "the link is missing")
        except Broken as broken:
            report.finding = broken.finding
    if report.checkpoints and not signers.keys:
        report.unknown = "the signatures of the checkpoints were not checked: no public key"
    return report
