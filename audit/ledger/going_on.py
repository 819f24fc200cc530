"""After a restore: the sealer goes on only where two persons said so, and says in the ledger what was lost.

The sealer writes its refusal into the ledger; `environments/actions/ledger/go_on.py` records the consent of two
persons to exactly that refusal; the sealer then begins anew with another key, which an event names.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from hashlib import sha256
from itertools import islice
from typing import Any

from audit.actor import Actor
from audit.capture import set_context
from audit.ledger.checkpoint import BATCH, GENESIS, Sealer, Unsealable, grown, write_private
from audit.ledger.note import BadNote, notes_of, parse, read
from audit.ledger.proof import Frontier

REFUSAL = "audit:refuse_seal"
SEALER = Actor(account_id=None, name="sealer", kind="worker", channel="worker")


def remembered(sealer: Sealer, cursor: Any) -> str:
    """Return the note that stands against the ledger: the sealer's last, else (its memory lost) the ledger's last."""
    if sealer.note:
        return sealer.note
    cursor.execute("SELECT note FROM audit_checkpoint ORDER BY number DESC LIMIT 1")
    last = cursor.fetchone()
    return str(last[0]) if last else ""


def note_digest(note: str) -> str:
    """Return the SHA-256 of a note in hex; what two persons consent to."""
    return sha256(note.encode()).hexdigest()


def record_refusal(sealer: Sealer, connection: Any, why: str) -> None:
    """Write into the ledger, once for each note, that the sealer refuses, and what it remembers."""
    with connection.cursor() as cursor:
        note = remembered(sealer, cursor)
        cursor.execute("SELECT bytes FROM audit_event WHERE action = %s ORDER BY at DESC LIMIT 1", [REFUSAL])
        last = cursor.fetchone()
        if last is not None and json.loads(bytes(last[0]))["after"].get("digest") == note_digest(note):
            return
        claim = parse(note) if note else None
        details = {
            "why": why,
            "note": note,
            "digest": note_digest(note),
            "size": claim.size if claim else 0,
            "root": claim.root.hex() if claim else "",
        }
        cursor.execute("BEGIN")
        try:
            set_context(SEALER, action=REFUSAL, connection=connection)
            cursor.execute(
                "SELECT ringi_append('refusal', %s, '', NULL, %s::jsonb, '', 'refused')",
                [REFUSAL, json.dumps(details, ensure_ascii=False)],
            )
        finally:
            cursor.execute("COMMIT")


def go_on(sealer: Sealer, connection: Any) -> bool:
    """Begin anew if two persons consented to lose what the sealer remembers; tell whether it was done.

    The whole chain in the ledger is recomputed, and each checkpoint in it compared; a ledger that contradicts
    itself is not gone on with. What was remembered is kept in a folder `before-…` beside the new files. Raises
    `Unsealable`.
    """
    with connection.cursor() as cursor:
        note = remembered(sealer, cursor)
        cursor.execute(
            "SELECT id, reason FROM audit_continuation WHERE digest = %s AND confirmed_at IS NOT NULL"
            " AND confirmed_by <> proposed_by ORDER BY id DESC LIMIT 1",
            [note_digest(note)],
        )
        consent = cursor.fetchone()
        if consent is None:
            return False
        tree, chain, agreed = _own_checkpoints_agree(cursor)
        fresh = sealer.folder / "key.next"
        if not fresh.exists():
            sealer.make_key(fresh, sealer.origin)
        details = {
            "continuation": consent[0],
            "agreed": agreed,
            "lost": parse(note).size if note else 0,
            "lost_note": note,
        }
        cursor.execute(
            "SELECT ringi_renew_key(%s, %s, %s::jsonb, %s)",
            [str(sealer.public), str(sealer.key_in(fresh)[1]), json.dumps(details, ensure_ascii=False), consent[1]],
        )
        _put_aside(sealer, agreed)
        fresh.replace(sealer.folder / "key")
        sealer.open_key()
        tree, chain = grown(cursor, tree, chain)
        sealer.sign_and_publish(cursor, tree, chain)
    return True


def _own_checkpoints_agree(cursor: Any) -> tuple[Frontier, bytes, int]:
    """Recompute the ledger and compare it with the checkpoints in it; return tree, chain and the last that agreed."""
    tree, chain = grown(cursor, Frontier(), GENESIS)
    cursor.execute("SELECT note FROM audit_checkpoint ORDER BY number")
    claims = [parse(note) for (note,) in cursor.fetchall()]
    leaves, begun = leaves_of(cursor), Frontier()
    for claim in claims:
        for leaf in islice(leaves, claim.size - begun.size):
            begun.add(leaf)
        if begun.size != claim.size or begun.root() != claim.root:
            raise Unsealable(
                f"the ledger contradicts its own checkpoint of {claim.size} events; it was altered, not restored"
            )
    return tree, chain, begun.size


def leaves_of(cursor: Any, behind: int = 0) -> Iterator[bytes]:
    """Yield the leaves of the ledger behind a number, read in parts."""
    while True:
        cursor.execute(
            "SELECT number, leaf FROM audit_link WHERE number > %s ORDER BY number LIMIT %s", [behind, BATCH]
        )
        rows = cursor.fetchall()
        yield from (bytes(leaf) for _number, leaf in rows)
        if len(rows) < BATCH:
            return
        behind = rows[-1][0]


def _put_aside(sealer: Sealer, agreed: int) -> None:
    """Keep a copy of key, memory and checkpoints of before; leave the checkpoints that still hold."""
    folder = sealer.folder
    kept = folder / f"before-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(2)}"
    kept.mkdir(mode=0o700)
    for name in ("state.json", "checkpoints.txt", "key"):
        if (folder / name).exists():
            write_private(kept / name, (folder / name).read_text(encoding="utf-8"))
    holding = []
    for note in notes_of(folder / "checkpoints.txt"):
        try:
            if read(note, sealer.keys).size <= agreed:
                holding.append(note)
        except BadNote:
            continue
    write_private(folder / "checkpoints.txt", "".join(holding))
