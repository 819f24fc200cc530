"""The sealer: signs the ledger's growth, remembers what it signed, and refuses what contradicts its memory.

`manage.py sealer` runs it. Its folder lies outside the database and belongs to its own account: `key`, `key.pub`
(all its public keys, oldest first), `state.json` and `checkpoints.txt`.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.ledger.note import RENEWAL, Checkpoint, PublicKey, append_note, sign
from audit.ledger.proof import Frontier, leaf_hash

GENESIS = bytes(32)
BATCH = 5000


class Unsealable(Exception):
    """The ledger contradicts what the sealer remembers to have signed; the message says where."""


def write_private(file: Path, text: str) -> None:
    """Replace a private file in one step, safe against a crash."""
    fresh = file.with_name(file.name + ".new")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    fresh.replace(file)


def grown(cursor: Any, begun: Frontier, chain: bytes) -> tuple[Frontier, bytes]:
    """Recompute the chain from the events behind `begun` on; return tree and chain value at the end.

    Raises `Unsealable` at the first link that does not fit its event and the chain.
    """
    frontier = Frontier(begun.size, begun.roots)
    while True:
        cursor.execute(
            "SELECT l.number, l.leaf, l.chain, e.bytes FROM audit_link l LEFT JOIN audit_event e"
            " ON e.id = l.event_id WHERE l.number > %s ORDER BY l.number LIMIT %s",
            [frontier.size, BATCH],
        )
        rows = cursor.fetchall()
        for number, leaf, linked, event in rows:
            leaf = bytes(leaf)
            chain = sha256(b"\x01" + chain + leaf).digest()
            if number != frontier.size + 1 or event is None:
                raise Unsealable(f"number {frontier.size + 1} is missing")
            if leaf_hash(bytes(event)) != leaf or chain != bytes(linked):
                raise Unsealable(f"number {number} does not fit the chain")
            frontier.add(leaf)
        if len(rows) < BATCH:
            return frontier, chain


@dataclass(frozen=True)
class Said:
    """The last statement as a whole: what another thread may read while the sealer goes on."""

    note: str
    frontier: Frontier
    keys: tuple[PublicKey, ...]


class Sealer:
    """Signs the ledger's growth with the key of its folder."""

    def __init__(self, folder: Path, origin: str = "ringi.example/ledger") -> None:
        """Open the folder, made with a key when there is none; `origin` begins the name of a new ledger."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder = folder
        file = folder / "key"
        if not file.exists():
            if (folder / "state.json").exists():
                raise Unsealable("the sealer's key is missing, but it has signed before: put the key back")
            self.make_key(file, f"{origin}/{secrets.token_hex(4)}")
        self.open_key()
        self.frontier, self.chain, self.note = Frontier(), GENESIS, ""
        state = folder / "state.json"
        self.remembers = state.exists()
        if self.remembers:
            kept = json.loads(state.read_text(encoding="utf-8"))
            self.frontier = Frontier(kept["size"], map(bytes.fromhex, kept["frontier"]))
            self.chain, self.note = bytes.fromhex(kept["chain"]), kept["note"]
        self.said = Said(self.note, self.frontier, tuple(self.keys))

    @staticmethod
    def make_key(file: Path, origin: str) -> None:
        """Write a new private key: the name of the ledger, and 32 random bytes in base64."""
        write_private(file, f"{origin}\n{base64.b64encode(secrets.token_bytes(32)).decode()}\n")

    @staticmethod
    def key_in(file: Path) -> tuple[Ed25519PrivateKey, PublicKey]:
        """Read a key file; return the private and the public key."""
        origin, seed = file.read_text(encoding="utf-8").split()
        private = Ed25519PrivateKey.from_private_bytes(base64.b64decode(seed))
        return private, PublicKey(origin, private.public_key().public_bytes_raw())

    def open_key(self) -> None:
        """Use the key of the folder from now on, and list it in key.pub."""
        self.private, self.public = self.key_in(self.folder / "key")
        self.origin, listed = self.public.name, self.folder / "key.pub"
        known = PublicKey.all_of(listed.read_text(encoding="utf-8")) if listed.exists() else []
        self.keys = [*(key for key in known if key != self.public), self.public]
        write_private(listed, "".join(f"{key}\n" for key in self.keys))

    def seal(self, connection: Any) -> Checkpoint | None:
        """Sign what was linked since the last time and publish it; None when there is nothing new.

        Raises `Unsealable` when the ledger is shorter than, or not an extension of, what was signed before.
        """
        with connection.cursor() as cursor:
            self._compare(cursor)
            self._publish(cursor)  # what a crash kept from being published
            frontier, chain = grown(cursor, self.frontier, self.chain)
            if frontier.size == self.frontier.size:
                return None
            return self.sign_and_publish(cursor, frontier, chain)

    def sign_and_publish(self, cursor: Any, frontier: Frontier, chain: bytes) -> Checkpoint:
        """Sign this tree, remember it, and publish the note."""
        checkpoint = Checkpoint(self.origin, frontier.size, frontier.root())
        self.frontier, self.chain = frontier, chain
        self.note = sign(checkpoint, self.private)
        kept = {
            "size": frontier.size,
            "frontier": [root.hex() for root in frontier.roots],
            "chain": chain.hex(),
            "note": self.note,
        }
        # Remembered before it is published: never two different statements about one size.
        write_private(self.folder / "state.json", json.dumps(kept))
        self.remembers = True
        self.said = Said(self.note, frontier, tuple(self.keys))
        self._publish(cursor)
        return checkpoint

    def renew_key(self, connection: Any, reason: str) -> PublicKey:
        """Make a new key, have the old one seal the event that names it, and sign with the new one from then on.

        Whoever believes the old key can so believe the new one. Called again after a crash it goes on where it
        was. Raises `Unsealable` as `seal` does.
        """
        fresh = self.folder / "key.next"
        if not fresh.exists():
            self.make_key(fresh, self.origin)
        _private, key = self.key_in(fresh)
        with connection.cursor() as cursor:
            cursor.execute("SELECT bytes FROM audit_event WHERE action = %s ORDER BY at DESC LIMIT 1", [RENEWAL])
            last = cursor.fetchone()
            if last is None or json.loads(bytes(last[0]))["after"].get("key") != str(key):
                cursor.execute("SELECT ringi_renew_key(%s, %s, '{}', %s)", [str(self.public), str(key), reason])
        self.seal(connection)
        fresh.replace(self.folder / "key")
        self.open_key()
        return key

    def _compare(self, cursor: Any) -> None:
        size = self.frontier.size
        cursor.execute("SELECT number, chain FROM audit_head WHERE id = 1")
        head = cursor.fetchone()
        if head is None or head[0] < size:
            raise Unsealable(
                f"the ledger has {head[0] if head else 0} events, but {size} were signed before:"
                f" events from number {head[0] + 1 if head else 1} on are missing"
            )
        cursor.execute("SELECT number, note FROM audit_checkpoint ORDER BY number DESC LIMIT 1")
        last = cursor.fetchone()
        if last is not None and not self.remembers:
            raise Unsealable("the ledger bears checkpoints that this sealer does not remember: put its state.json back")
        if last is not None and (last[0] > size or (last[0] == size and last[1] != self.note)):
            raise Unsealable(f"the last checkpoint in the ledger, of {last[0]} events, is not the one signed here")
        if size:
            cursor.execute("SELECT chain FROM audit_link WHERE number = %s", [size])
            link = cursor.fetchone()
            if link is None or bytes(link[0]) != self.chain:
                raise Unsealable(
                    f"the first {size} events are not those that were signed before: number {size} differs"
                )

    def _publish(self, cursor: Any) -> None:
        if not self.note:
            return
        append_note(self.folder / "checkpoints.txt", self.note)
        cursor.execute("SELECT EXISTS (SELECT FROM audit_checkpoint WHERE number = %s)", [self.frontier.size])
        if not cursor.fetchone()[0]:
            cursor.execute("SELECT ringi_seal(%s, %s, %s)", [self.frontier.size, self.frontier.root(), self.note])
