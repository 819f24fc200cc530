"""Verification of the ledger in the database: bytes, links, head, columns and checkpoints against each other.

Called by `manage.py audit_verify`; the same promises are checked offline by audit/offline/ringi_verify.py.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from audit.ledger.checkpoint import Memory
from audit.ledger.note import BadNote, Checkpoint, PublicKey, Signers, as_keys, parse
from audit.ledger.parts import Accepted, Broken, Finding, Part, chain_before, in_order, processes_for, side_by_side
from audit.ledger.proof import Frontier
from audit.offline import ringi_verify
from audit.offline.ringi_verify import Passkeys

__all__ = ["BROKEN", "HOLDS", "UNKNOWN", "Finding", "Report", "verify"]
HOLDS, BROKEN, UNKNOWN = 0, 1, 2


@dataclass
class Report:
    """The result of a verification. `unknown` says why it is inconclusive; `finding` is the first fault; `signed`
    events lie under a checkpoint that agreed; `pending` events have no number yet; `memory` is what a later
    verification may go on behind; `accepted` are those that did not end it.
    """

    first: int = 1
    last: int = 0
    events: int = 0
    checkpoints: int = 0
    signed: int = 0
    pending: int = 0
    chain: str = ""
    root: str = ""
    finding: Finding | None = None
    unknown: str = ""
    memory: Memory | None = field(default=None, compare=False)
    accepted: list[Finding] = field(default_factory=list)

    @property
    def exit_status(self) -> int:
        """0 holds, 1 broken, 2 inconclusive."""
        return BROKEN if self.finding else UNKNOWN if self.unknown else HOLDS


@dataclass(frozen=True)
class Claim:
    """The claim of a checkpoint, or the fault of one in the database. `outside`: it was kept elsewhere."""

    checkpoint: Checkpoint
    note: str
    outside: bool
    fault: str = ""


Claims = dict[int, list[Claim]]


def _claims(cursor: Any, outside: Iterable[str]) -> Claims:
    """Collect the claims of checkpoints by size; raise `BadNote` for a malformed one from outside."""
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


def _check_claims(
    report: Report, claims: Claims, signers: Signers, frontier: Frontier, agreed: dict[bool, int]
) -> None:
    """Compare what is claimed of this size. `agreed`: the last size that agreed, of notes from outside and of
    others.
    """
    for claim in claims[frontier.size]:
        if claim.fault:
            raise Broken(frontier.size, f"the checkpoint of {frontier.size} events: {claim.fault}")
        if not _check_signature(report, claim, signers):
            continue
        if claim.checkpoint.root != frontier.root():
            # After a restore the ledger's own checkpoints agree with it also behind what was lost.
            start = agreed[True] if claim.outside else max(agreed.values())
            raise Broken(
                start + 1,
                f"events {start + 1} to {frontier.size} are not those that the checkpoint of"
                f" {frontier.size} events was signed for",
            )
        agreed[claim.outside] = frontier.size
        signers.last = (frontier.size, claim.checkpoint.root)
        report.checkpoints += 1
        report.signed = frontier.size
        reached = Frontier(frontier.size, frontier.roots)
        report.memory = Memory(reached, b"", claim.note, tuple(map(str, signers.keys)))


def _passkeys(cursor: Any, first: int) -> Passkeys:
    """Return the passkeys, identities at a provider and keys of providers that there were before an event."""
    known = Passkeys()
    cursor.execute(
        "SELECT l.number, e.bytes FROM audit_ledgerentry l JOIN audit_event e ON e.id = l.event_id WHERE "
        "l.number < %s AND"
        " (e.operation = %s OR (e.outcome = 'deleted' AND e.object LIKE %s) OR"
        " (e.kind = 'row' AND (e.object LIKE %s OR e.object LIKE %s))) ORDER BY l.number",
        [
            first,
            ringi_verify.ADD_PASSKEY,
            *(f"{table}%" for table in (ringi_verify.PASSKEY, ringi_verify.IDENTITY, ringi_verify.PROVIDER_KEY)),
        ],
    )
    for number, raw in cursor.fetchall():
        with suppress(ringi_verify.Broken):  # it was found when its number was verified
            known.hear(number, json.loads(raw))
    return known


def _heard(passkeys: Passkeys, number: int, contents: dict[str, Any], accepted: Accepted) -> list[Finding]:
    """Return the fault that a signature has and that two people have accepted; raise Broken for any other one."""
    try:
        passkeys.hear(number, contents)
    except ringi_verify.Broken as broken:
        finding = Finding(number, broken.what)
        if finding in accepted:
            return [finding]
        raise Broken(number, broken.what) from broken
    return []


def _check_signature(report: Report, claim: Claim, signers: Signers) -> bool:
    """Tell whether a claim counts; one from outside without a believed signature does not."""
    if not signers.keys:
        return True
    try:
        if signers.believe(claim.note):
            return True
        fault = f"the note bears no signature of {signers.keys[0].name}"
    except BadNote as bad:
        if claim.outside:
            raise
        fault = str(bad)
    if not claim.outside:
        raise Broken(claim.checkpoint.size, f"the checkpoint of {claim.checkpoint.size} events: {fault}")
    report.unknown = f"a checkpoint from outside the database: {fault}"
    return False


def _walk(
    report: Report,
    claims: Claims,
    signers: Signers,
    passkeys: Passkeys,
    parts: Iterable[Part],
    frontier: Frontier | None,
    progress: Callable[[int], None] | None,
    accepted: Accepted,
) -> None:
    """Build the tree over the leaves in order, and compare it with what is claimed of each size.

    frontier: the tree before the first event; None where it is not known, so that nothing can be compared.
    """
    agreed = {True: frontier.size if frontier else 0, False: 0}
    for part in parts:
        keyed = dict(part.keyed)
        for number, leaf in enumerate(part.leaves, part.first):
            if number in keyed:
                report.accepted += _heard(passkeys, number, keyed[number], accepted)
            if frontier is not None:
                if number in keyed:
                    signers.hear(number, keyed[number])
                frontier.add(leaf)
                if number in claims:
                    _check_claims(report, claims, signers, frontier, agreed)
            report.last = number
            report.events += 1
        report.chain = part.chain.hex()
        report.accepted += part.accepted
        if part.fault is not None:
            raise Broken(part.fault.number, part.fault.what)
        if progress is not None:
            progress(report.last)
    if signers.unsigned:
        raise Broken(signers.unsigned[0], "it names another key of the signer, without the signature of the one before")
    report.root = frontier.root().hex() if frontier is not None else ""


def _parts(
    connection: Any, cursor: Any, start: tuple[int, bytes], last: int | None, processes: int | None, accepted: Accepted
) -> Iterable[Part]:
    first, chain = start
    cursor.execute("SELECT max(number) FROM audit_ledgerentry WHERE number <= %s", [2**62 if last is None else last])
    end = cursor.fetchone()[0] or 0
    if processes is None:
        processes = processes_for(end + 1 - first)
    if processes > 1:
        return side_by_side(connection, first, end, processes)
    return in_order(connection, first, chain, end, accepted)


def _check_end(cursor: Any, report: Report, claims: Claims, signers: Signers) -> None:
    """Compare the end of the chain with head and furthest checkpoint, and events with links one to one."""
    size = report.last
    for beyond in sorted((claimed for claimed in claims if claimed > size), reverse=True):
        if any(not claim.outside or _check_signature(report, claim, signers) for claim in claims[beyond]):
            raise Broken(size + 1, f"the link is missing: a checkpoint covers {beyond} events")
    cursor.execute("SELECT number, chain FROM audit_ledgerhead WHERE id = 1")
    head = cursor.fetchone()
    if head is None:
        raise Broken(size, "the head is missing")
    if head[0] != size:
        raise Broken(min(head[0], size) + 1, f"the head says {head[0]} events, the last link is {size}")
    if head[1].hex() != report.chain:
        raise Broken(size, "the chain value of the head is not that of the last link")
    cursor.execute(
        "SELECT e.id::text FROM audit_event e WHERE NOT EXISTS"
        " (SELECT FROM audit_ledgerentry l WHERE l.event_id = e.id)"
        " AND NOT EXISTS (SELECT FROM audit_pending p WHERE p.event_id = e.id) ORDER BY e.at LIMIT 1"
    )
    if unlinked := cursor.fetchone():
        raise Broken(size + 1, f"event {unlinked[0]} is not in the chain")
    cursor.execute(
        "SELECT p.event_id::text, e.id IS NULL FROM audit_pending p LEFT JOIN audit_event e ON e.id = p.event_id"
        " LEFT JOIN audit_ledgerentry l ON l.event_id = p.event_id WHERE e.id IS NULL OR l.number IS NOT NULL"
        " ORDER BY p.position LIMIT 1"
    )
    if false := cursor.fetchone():
        raise Broken(size + 1, f"event {false[0]} is pending, but it is {'missing' if false[1] else 'in the chain'}")
    cursor.execute("SELECT count(*) FROM audit_pending")
    (report.pending,) = cursor.fetchone()
    cursor.execute("SELECT max(number) FROM audit_ledgerentry GROUP BY event_id HAVING count(*) > 1 ORDER BY 1 LIMIT 1")
    if doubled := cursor.fetchone():
        raise Broken(doubled[0], "the event of the link is linked twice")


def verify(
    connection: Any,
    *,
    first: int = 1,
    last: int | None = None,
    notes: Iterable[str] = (),
    key: PublicKey | Iterable[PublicKey] | None = None,
    begun: Memory | None = None,
    progress: Callable[[int], None] | None = None,
    processes: int | None = None,
    accepted: Accepted = (),
) -> Report:
    """Verify the ledger in one snapshot and report the first fault.

    connection: of psycopg, in no transaction. first, last: a range of numbers; only a range from 1 is compared with
    checkpoints, only the whole with head and count. notes: checkpoints kept outside the database. key: the ledger
    signer's, one or more; keys that the ledger names below a checkpoint by a believed key are believed as well. begun:
    what was verified before, behind which it goes on instead of `first`. processes: how many check a long ledger; when
    None, as `processes_for` says. accepted: faults of single events that do not end it, where one process checks.
    Raises `BadNote` when an outside note is malformed or not signed by a believed key, psycopg's errors otherwise.
    Without a compared checkpoint, as in a range that begins later, the result is inconclusive.
    """
    tree = Frontier() if begun is None else Frontier(begun.frontier.size, begun.frontier.roots)
    frontier = tree if begun is not None or first == 1 else None
    if begun is not None:
        first, key = tree.size + 1, dict.fromkeys([*as_keys(key), *map(PublicKey.parse, begun.keys)])
    report = Report(first=first, last=first - 1, signed=tree.size)
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        claims, signers = _claims(cursor, notes), Signers(key, (tree.size, tree.root()))
        try:
            chain = chain_before(cursor, first)
            if begun is not None and chain != begun.chain:
                raise Broken(first - 1, "the chain value is not the one that was verified before")
            report.chain = chain.hex()
            parts = _parts(connection, cursor, (first, chain), last, processes, accepted)
            passkeys = _passkeys(cursor, first)
            _walk(report, claims, signers, passkeys, parts, frontier, progress, accepted)
            if last is None:
                _check_end(cursor, report, claims if frontier is not None else {}, signers)
            elif report.last != last:
                raise Broken(report.last + 1, "the link is missing")
        except Broken as broken:
            report.finding = broken.finding
        if report.memory is not None:
            report.memory = replace(report.memory, chain=chain_before(cursor, report.signed + 1))
    if report.finding is not None:
        report.memory = None
    elif report.unknown:
        return report
    elif passkeys.unread:
        report.unknown = f"event {passkeys.unread[0]} was signed with a passkey of a kind that cannot be read"
    elif not report.signed:
        report.unknown = f"no checkpoint was compared with events {first} to {report.last}, which fit each other"
    elif not signers.keys:
        report.unknown = (
            "it holds as far as can be seen, but no public key was given from outside the database, so that the"
            " signatures of the checkpoints were not checked"
        )
    return report
