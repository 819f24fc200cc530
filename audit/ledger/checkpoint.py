"""The ledger signer: signs the ledger's growth, remembers what it signed, and refuses what contradicts its memory.

`manage.py ledger_signer` runs it. Its folder lies outside the database and belongs to its own account: `key`, `key.pub`
(all its public keys, oldest first), `state.json` and `checkpoints.txt`. The key itself may lie in a token
(audit/ledger/signing_key.py).
"""

import json
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from django.db import IntegrityError

from audit.ledger import signing_key
from audit.ledger.link import link_pending
from audit.ledger.note import Checkpoint, PublicKey, append_note, renewal, sign
from audit.ledger.parts import GENESIS, LINKED, checked
from audit.ledger.proof import Frontier
from audit.ledger.signing_key import SigningKey
from audit.offline.ringi_verify import RENEWAL
from audit.private_files import make_folder, write_private

BATCH = 5000


class SigningRefused(Exception):
    """The ledger contradicts what the ledger signer remembers to have signed; the message says where."""


def grown(cursor: Any, begun: Frontier, chain: bytes) -> tuple[Frontier, bytes, list[tuple[int, dict[str, Any]]]]:
    """Check the events behind `begun` as a verifier does; return tree and chain value at the end, and number and
    contents of those that name a key. Raises `SigningRefused` at the first that does not fit.
    """
    frontier = Frontier(begun.size, begun.roots)
    keyed: list[tuple[int, dict[str, Any]]] = []
    while True:
        cursor.execute(LINKED, [frontier.size + 1, frontier.size + BATCH])
        part = checked(frontier.size + 1, chain, cursor.fetchall())
        for leaf in part.leaves:
            frontier.add(leaf)
        if part.fault is not None:
            raise SigningRefused(f"number {part.fault.number}: {part.fault.what}")
        chain = part.chain
        keyed += part.keyed
        if len(part.leaves) < BATCH:
            return frontier, chain, keyed


@dataclass(frozen=True)
class Memory:
    """The tree and the chain value of all events under a note, the note, and the written keys that were believed
    then.
    """

    frontier: Frontier
    chain: bytes
    note: str
    keys: tuple[str, ...] = ()

    @classmethod
    def read(cls, file: Path) -> "Memory":
        """Read what `write` wrote. Raises OSError, ValueError, KeyError."""
        kept = json.loads(file.read_text(encoding="utf-8"))
        frontier = Frontier(kept["size"], map(bytes.fromhex, kept["frontier"]))
        return cls(frontier, bytes.fromhex(kept["chain"]), kept["note"], tuple(kept.get("keys", ())))

    def write(self, file: Path) -> None:
        """Replace the file in one step."""
        roots = [root.hex() for root in self.frontier.roots]
        kept = {"size": self.frontier.size, "frontier": roots, "chain": self.chain.hex(), "note": self.note}
        write_private(file, json.dumps(kept | {"keys": self.keys}))


class LedgerSigner:
    """Signs the ledger's growth with the key of its folder."""

    def __init__(self, folder: Path, origin: str = "ringi.example/ledger") -> None:
        """Open the folder, made with a key when there is none; `origin` begins the name of a new ledger."""
        make_folder(folder)
        self.folder = folder
        file = folder / "key"
        if not file.exists():
            if (folder / "state.json").exists():
                raise SigningRefused("the ledger signer's key is missing, but it has signed before: put the key back")
            signing_key.make(file, f"{origin}/{secrets.token_hex(4)}")
        self.open_key()
        state = folder / "state.json"
        self.remembers = state.exists()
        kept = Memory.read(state) if self.remembers else Memory(Frontier(), GENESIS, "")
        self._say(kept.frontier, kept.chain, kept.note)

    def _say(self, frontier: Frontier, chain: bytes, note: str) -> None:
        """Keep this as the last statement; another thread may read `said` meanwhile."""
        self.frontier, self.chain, self.note = frontier, chain, note
        self.said = Memory(frontier, chain, note, tuple(map(str, self.keys)))

    @staticmethod
    def key_in(file: Path) -> tuple[SigningKey, PublicKey]:
        """Read a key file; return the private and the public key. Raises OSError, ValueError, TokenFault."""
        origin, private = signing_key.read(file)
        return private, PublicKey(origin, private.public_key().public_bytes_raw())

    def open_key(self) -> None:
        """Use the key of the folder from now on, and list it in key.pub."""
        self.private, self.public = self.key_in(self.folder / "key")
        self.origin, listed = self.public.name, self.folder / "key.pub"
        known = PublicKey.all_of(listed.read_text(encoding="utf-8")) if listed.exists() else []
        self.keys = [*(key for key in known if key != self.public), self.public]
        write_private(listed, "".join(f"{key}\n" for key in self.keys))

    def sign(self, connection: Any) -> Checkpoint | None:
        """Sign what was linked since the last time and publish it; None when there is nothing new.

        What is pending is linked first. Raises `SigningRefused` when the ledger is shorter than, or not an extension
        of, what was signed before, and where somebody else names a key.
        """
        try:
            link_pending(connection)
        except (IntegrityError, psycopg.IntegrityError) as fault:
            raise SigningRefused(f"what is pending cannot be linked: {fault}") from fault
        with connection.cursor() as cursor:
            self._compare(cursor)
            self._publish(cursor)  # what a crash kept from being published
            frontier, chain, keyed = grown(cursor, self.frontier, self.chain)
            for number, event in keyed:
                if (event["operation"], event["kind"]) == (RENEWAL, "operation") and not self._made(event):
                    raise SigningRefused(f"number {number} names another key, and this signer did not make it")
            if frontier.size == self.frontier.size:
                return None
            return self.sign_and_publish(cursor, frontier, chain)

    def sign_and_publish(self, cursor: Any, frontier: Frontier, chain: bytes) -> Checkpoint:
        """Sign this tree, remember it, and publish the note."""
        checkpoint = self._claim(frontier)
        self._say(frontier, chain, sign(checkpoint, self.private))
        # Remembered before it is published: never two different statements about one size.
        self.said.write(self.folder / "state.json")
        self.remembers = True
        self._publish(cursor)
        return checkpoint

    def renew_key(self, connection: Any, reason: str) -> PublicKey:
        """Make a new key, sign it with the old one, name it in the ledger, and sign with the new one from then on.

        A verifier that believes the old key can so believe the new one. A call after a crash goes on where it was.
        Raises `SigningRefused` as `sign` does.
        """
        fresh = self.folder / "key.next"
        if not fresh.exists():
            signing_key.make(fresh, self.origin)
        _private, key = self.key_in(fresh)
        self.sign(connection)
        with connection.cursor() as cursor:
            cursor.execute("SELECT bytes FROM audit_event WHERE operation = %s ORDER BY at DESC LIMIT 1", [RENEWAL])
            last = cursor.fetchone()
            if last is None or json.loads(bytes(last[0]))["after"].get("key") != str(key):
                details = json.dumps({"note": sign(self._claim(self.frontier), self.private, key)})
                cursor.execute(
                    "SELECT ringi_renew_key(%s, %s, %s::jsonb, %s)", [str(self.public), str(key), details, reason]
                )
        self.sign(connection)
        fresh.replace(self.folder / "key")
        self.open_key()
        return key

    def _made(self, event: dict[str, Any]) -> bool:
        """Tell whether an event behind the last note names a key of this folder, signed together with that note."""
        fresh = self.folder / "key.next"
        own = [*self.keys, self.key_in(fresh)[1]] if fresh.exists() else self.keys
        named = renewal(event, self.keys)
        return named is not None and named[0] == self._claim(self.frontier) and named[1] in own

    def _claim(self, tree: Frontier) -> Checkpoint:
        return Checkpoint(self.origin, tree.size, tree.root())

    def _compare(self, cursor: Any) -> None:
        size = self.frontier.size
        cursor.execute("SELECT number, chain FROM audit_ledgerhead WHERE id = 1")
        head = cursor.fetchone()
        if head is None or head[0] < size:
            raise SigningRefused(
                f"the ledger has {head[0] if head else 0} events, but {size} were signed before:"
                f" events from number {head[0] + 1 if head else 1} on are missing"
            )
        cursor.execute("SELECT number, note FROM audit_checkpoint ORDER BY number DESC LIMIT 1")
        last = cursor.fetchone()
        if last is not None and not self.remembers:
            raise SigningRefused(
                "the ledger bears checkpoints that this ledger signer does not remember: put its state.json back"
            )
        if last is not None and (last[0] > size or (last[0] == size and last[1] != self.note)):
            raise SigningRefused(f"the last checkpoint in the ledger, of {last[0]} events, is not the one signed here")
        if size:
            cursor.execute("SELECT chain FROM audit_ledgerentry WHERE number = %s", [size])
            link = cursor.fetchone()
            if link is None or bytes(link[0]) != self.chain:
                raise SigningRefused(
                    f"the first {size} events are not those that were signed before: number {size} differs"
                )

    def _publish(self, cursor: Any) -> None:
        if not self.note:
            return
        append_note(self.folder / "checkpoints.txt", self.note)
        cursor.execute("SELECT EXISTS (SELECT FROM audit_checkpoint WHERE number = %s)", [self.frontier.size])
        if not cursor.fetchone()[0]:
            cursor.execute(
                "SELECT ringi_add_checkpoint(%s, %s, %s)", [self.frontier.size, self.frontier.root(), self.note]
            )
