"""The ledger's resumption after a restore: the database is never enough proof, since its owner can write all of it.

The signer writes its refusal into the ledger; `environments/operations/ledger/resume.py` records that two persons agree
to exactly that. The administrator of the signer's host then sees what would be given up, and accepts it there:
`manage.py ledger_signer --resume`. The signer starts again with another key, which an event names and no old key signs.
"""

import json
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from getpass import getuser
from hashlib import sha256
from socket import gethostname
from typing import Any

from audit.actor import Actor
from audit.capture import set_context
from audit.ledger import signing_key
from audit.ledger.checkpoint import BATCH, LedgerSigner, SigningRefused, grown
from audit.ledger.link import link_pending
from audit.ledger.note import BadNote, Checkpoint, notes_of, parse, read
from audit.ledger.parts import GENESIS
from audit.ledger.proof import Frontier
from audit.private_files import write_private
from audit.refusals import OperationRefused

REFUSAL = "audit:refuse_signing"
LEDGER_SIGNER = Actor(account_id=None, name="ledger_signer", kind="worker", channel="worker")


def remembered(signer: LedgerSigner, cursor: Any) -> str:
    """Return the note that stands against the ledger: the ledger signer's last, else (its memory lost) the ledger's
    last.
    """
    if signer.note:
        return signer.note
    cursor.execute("SELECT note FROM audit_checkpoint ORDER BY number DESC LIMIT 1")
    last = cursor.fetchone()
    return str(last[0]) if last else ""


def note_digest(note: str) -> str:
    """Return the SHA-256 of a note in hex; two persons approve this digest."""
    return sha256(note.encode()).hexdigest()


def write_refusal(signer: LedgerSigner, connection: Any, why: str) -> None:
    """Write into the ledger, once for each note, that the ledger signer refuses, and what it remembers."""
    with connection.cursor() as cursor:
        note = remembered(signer, cursor)
        cursor.execute("SELECT bytes FROM audit_event WHERE operation = %s ORDER BY at DESC LIMIT 1", [REFUSAL])
        last = cursor.fetchone()
        if last is not None and json.loads(bytes(last[0]))["after"].get("digest") == note_digest(note):
            return
        claim = parse(note) if note else None
        details = {
            "kind": OperationRefused.kind,
            "reasons": [why],
            "finding": why,
            "note": note,
            "digest": note_digest(note),
            "size": claim.size if claim else 0,
            "root": claim.root.hex() if claim else "",
        }
        cursor.execute("BEGIN")
        try:
            set_context(LEDGER_SIGNER, operation=REFUSAL, connection=connection)
            cursor.execute(
                "SELECT ringi_append('refusal', %s, '', NULL, %s::jsonb, '', 'refused')",
                [REFUSAL, json.dumps(details, ensure_ascii=False)],
            )
        finally:
            cursor.execute("COMMIT")


@dataclass(frozen=True)
class Offer:
    """An offer of the signer: the state that it would accept in place of what it signed. `note`: its last one, of
    `lost` events; `agreed`: so many of the first events are still those that its keys signed; `size` and `root`: of the
    ledger when it was looked at; `agreement`: id, reason, and who requested and confirmed it at which time; None before
    two persons did.
    """

    note: str
    agreed: int
    size: int
    root: bytes
    agreement: tuple[Any, ...] | None

    @property
    def lost(self) -> int:
        """Return how many events the last note covers."""
        return parse(self.note).size if self.note else 0

    @property
    def code(self) -> str:
        """Return the words by which exactly this is accepted: the size, and a part of the digest of all."""
        facts = [note_digest(self.note), self.agreed, self.root.hex(), *map(str, self.agreement or ())]
        return f"{self.size}-{sha256(json.dumps(facts).encode()).hexdigest()[:16]}"


def offered(signer: LedgerSigner, connection: Any, size: int = 0) -> Offer:
    """Return what could be accepted: the ledger as it is, or its first `size` events.

    The whole chain is recomputed, and each checkpoint in the ledger compared. Raises `SigningRefused` where it
    contradicts itself: it was altered, not restored.
    """
    link_pending(connection)
    with connection.cursor() as cursor:
        note = remembered(signer, cursor)
        cursor.execute(
            "SELECT id, reason, requested_by, requested_at, confirmed_by, confirmed_at FROM audit_ledgerresumption"
            " WHERE digest = %s AND confirmed_at IS NOT NULL AND confirmed_by <> requested_by ORDER BY id DESC LIMIT 1",
            [note_digest(note)],
        )
        agreement = cursor.fetchone()
        tree, _chain, _keyed = grown(cursor, Frontier(), GENESIS)
        cursor.execute("SELECT note FROM audit_checkpoint ORDER BY number")
        inside = [row[0] for row in cursor.fetchall()]
        own = {claim.size: claim.root for claim in map(parse, inside)}
        signed = {claim.size: claim.root for claim in _signed_here(signer, inside)}
        begun, agreed, root, wanted = Frontier(), 0, b"", size or tree.size
        for leaf in leaves_of(cursor):
            begun.add(leaf)
            if begun.size in own or begun.size in signed or begun.size == wanted:
                now = begun.root()
                agreed = begun.size if signed.get(begun.size) == now else agreed
                root = now if begun.size == wanted else root
                if own.get(begun.size) == now:
                    del own[begun.size]
    if own:
        raise SigningRefused(
            f"the ledger contradicts its own checkpoint of {min(own)} events; it was altered, not restored"
        )
    return Offer(note, agreed, wanted, root, agreement)


def _signed_here(signer: LedgerSigner, inside: list[str]) -> Iterator[Checkpoint]:
    """Yield what the keys of this folder signed, as the folder and the ledger have it."""
    for note in [*notes_of(signer.folder / "checkpoints.txt"), *inside]:
        try:
            yield read(note, signer.keys)
        except BadNote:
            continue


def resume(signer: LedgerSigner, connection: Any, code: str) -> None:
    """Start again with another key, and name in the ledger what is lost. code: of the `Offer` that was shown.

    What was remembered, and what was accepted by whom, is kept in a folder `before-…` beside the new files. Raises
    `SigningRefused` where two persons have not agreed, or where the code is of something else.
    """
    size = code.partition("-")[0]
    offer = offered(signer, connection, int(size) if size.isdecimal() else 0)
    if offer.agreement is None:
        raise SigningRefused("two persons have not agreed to this in Ringi")
    if offer.code != code:
        raise SigningRefused(f"{code} is not the code of what this folder and the ledger hold now; look again")
    details = {
        "continuation": offer.agreement[0],
        "agreed": offer.agreed,
        "lost": offer.lost,
        "lost_note": offer.note,
        "accepted": code,
        "accepted_by": f"{getuser()}@{gethostname()}",
    }
    written, fresh = json.dumps(details, ensure_ascii=False), signer.folder / "key.next"
    if not fresh.exists():
        signing_key.make(fresh, signer.origin)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT ringi_renew_key(%s, %s, %s::jsonb, %s)",
            [str(signer.public), str(signer.key_in(fresh)[1]), written, offer.agreement[1]],
        )
        _put_aside(signer, offer.agreed, written)
        fresh.replace(signer.folder / "key")
        signer.open_key()
        link_pending(connection)
        tree, chain, _keyed = grown(cursor, Frontier(), GENESIS)
        signer.sign_and_publish(cursor, tree, chain)


def leaves_of(cursor: Any, behind: int = 0) -> Iterator[bytes]:
    """Yield the leaves of the ledger behind a number, read in parts."""
    while True:
        cursor.execute(
            "SELECT number, leaf FROM audit_ledgerentry WHERE number > %s ORDER BY number LIMIT %s", [behind, BATCH]
        )
        rows = cursor.fetchall()
        yield from (bytes(leaf) for _number, leaf in rows)
        if len(rows) < BATCH:
            return
        behind = rows[-1][0]


def _put_aside(signer: LedgerSigner, agreed: int, accepted: str) -> None:
    """Keep what was accepted, and a copy of the previous key, memory and checkpoints; leave the checkpoints that still
    hold.
    """
    folder = signer.folder
    kept = folder / f"before-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(2)}"
    kept.mkdir(mode=0o700)
    write_private(kept / "accepted.json", accepted)
    for name in ("state.json", "checkpoints.txt", "key"):
        if (folder / name).exists():
            write_private(kept / name, (folder / name).read_text(encoding="utf-8"))
    holding = []
    for note in notes_of(folder / "checkpoints.txt"):
        try:
            if read(note, signer.keys).size <= agreed:
                holding.append(note)
        except BadNote:
            continue
    write_private(folder / "checkpoints.txt", "".join(holding))
