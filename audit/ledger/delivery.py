"""Carries checkpoints out: by mail to auditors, by HTTP to witnesses, at the addresses that administrators entered.

The sealer calls it after each round. What was carried where is kept in its folder, `delivered.json`. A witness is
spoken to as C2SP tlog-witness says (https://c2sp.org/tlog-witness): `POST …/add-checkpoint` with the size it knows, the
consistency proof from there, and the note; its cosignature is kept in `cosignatures.txt`.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from django.conf import settings
from django.core.mail import EmailMessage

from audit.capture import set_context
from audit.ledger.checkpoint import Sealer, write_private
from audit.ledger.going_on import SEALER, leaves_of
from audit.ledger.proof import Frontier, consistency_since

TIMEOUT = 5.0
LONGEST_SECONDS = 10.0
LONGEST_ANSWER = 65536
MAIL_SECONDS = 86400.0  # one mail a day is enough to hold a day; a witness gets every note
RETRY_SECONDS = 60.0
DELIVERY = "audit:deliver"


class NotDelivered(Exception):
    """An address did not take the note; the message says what it answered."""


class Delivery:
    """What was carried to each address, and when the next try is due; seconds of `clock`."""

    def __init__(self, sealer: Sealer, clock: Callable[[], float] = time.time) -> None:
        """sealer: whose folder keeps the memory."""
        self.sealer, self.clock = sealer, clock
        self._held: dict[str, threading.Thread] = {}
        self.file = sealer.folder / "delivered.json"
        self.kept: dict[str, dict[str, Any]] = (
            json.loads(self.file.read_text(encoding="utf-8")) if self.file.exists() else {}
        )

    def carry(self, connection: Any) -> list[str]:
        """Bring the last note to each address that is due; return what failed. Nothing is written in a transaction.

        An address that begins to fail, or takes notes again, is an event; one that goes on failing is none.
        """
        failed = []
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT id, kind, address FROM audit_checkpointaddress WHERE withdrawn_at IS NULL ORDER BY id"
            )
            addresses = cursor.fetchall()
        for pk, kind, address in addresses:
            kept = self.kept.setdefault(str(pk), {"size": 0, "frontier": [], "due": 0.0, "failing": False})
            if self.sealer.frontier.size == kept["size"] or self.clock() < kept["due"]:
                continue
            try:
                (self._mail if kind == "mail" else self._post)(connection, address, kept)
            except (NotDelivered, httpx.HTTPError, httpx.InvalidURL, OSError) as fault:
                said = str(fault) or type(fault).__name__
                failed.append(f"{address}: {said}")
                self._turned(connection, pk, kept, failing=True, said=said)
                kept["due"] = self.clock() + RETRY_SECONDS
            else:
                kept["due"] = self.clock() + (MAIL_SECONDS if kind == "mail" else 0.0)
                self._turned(connection, pk, kept, failing=False, said="")
            write_private(self.file, json.dumps(self.kept))
        return failed

    def _turned(self, connection: Any, pk: int, kept: dict[str, Any], *, failing: bool, said: str) -> None:
        if kept["failing"] == failing:
            return
        details = json.dumps({"address": pk, "said": said[:300]}, ensure_ascii=False)
        with connection.cursor() as cursor:
            cursor.execute("BEGIN")
            try:
                set_context(SEALER, action=DELIVERY, connection=connection)
                cursor.execute(
                    "SELECT ringi_append('access', %s, %s, NULL, %s::jsonb, '', %s)",
                    [DELIVERY, f"audit.CheckpointAddress:{pk}", details, "failed" if failing else "done"],
                )
            finally:
                cursor.execute("COMMIT")
        kept["failing"] = failing

    def _mail(self, _connection: Any, address: str, kept: dict[str, Any]) -> None:
        if not settings.MAIL_HOST:
            raise NotDelivered("this installation has no mail server")
        domain = address.rpartition("@")[2].lower()
        if settings.MAIL_DOMAINS and domain not in settings.MAIL_DOMAINS:
            raise NotDelivered(f"mail may not go to {domain}")
        note, size = self.sealer.note, self.sealer.frontier.size
        body = f"{note}\nKeys:\n{''.join(f'{key}{chr(10)}' for key in self.sealer.keys)}"
        EmailMessage(f"[Ringi] checkpoint of {size} events", body, to=[address]).send()
        kept["size"] = size

    def _post(self, connection: Any, address: str, kept: dict[str, Any]) -> None:
        """Give the note to a witness; one that knows another size is asked for it, and gets the proof from there."""
        status, text = self._add(connection, address, kept["size"], kept["frontier"])
        if status == 409 and text.strip().isdecimal():
            known = int(text)
            if known > self.sealer.frontier.size:
                raise NotDelivered(f"it knows a checkpoint of {known} events, which this ledger does not have")
            status, text = self._add(connection, address, known, self._frontier_at(connection, known))
        if status != 200:
            raise NotDelivered(f"{status} {text.strip()[:200]}")
        self._keep_cosignature(text)
        kept["size"] = self.sealer.frontier.size
        kept["frontier"] = [root.hex() for root in self.sealer.frontier.roots]

    def _add(self, connection: Any, address: str, size: int, roots: list[str]) -> tuple[int, str]:
        """Return status and text of the answer. Raises NotDelivered for one that takes too long or is too long."""
        proof: list[bytes] = []
        if 0 < size < self.sealer.frontier.size:
            with connection.cursor() as cursor:
                old = Frontier(size, map(bytes.fromhex, roots))
                proof = consistency_since(old, leaves_of(cursor, size), self.sealer.frontier.size)
        lines = [f"old {size}", *(base64.b64encode(node).decode() for node in proof), "", self.sealer.note]
        return self._told(address, "\n".join(lines).encode())

    def _told(self, address: str, content: bytes) -> tuple[int, str]:
        """Post in a thread: whoever answers in drips, in the headers already, would hold up the sealer for ever."""
        if (held := self._held.get(address)) is not None and held.is_alive():
            raise NotDelivered("it has not ended its answer to an earlier call")
        found: list[tuple[int, str] | Exception] = []
        thread = threading.Thread(target=_post, args=(address, content, found), name="witness", daemon=True)
        thread.start()
        thread.join(LONGEST_SECONDS)
        if thread.is_alive():
            self._held[address] = thread
            raise NotDelivered(f"it did not answer within {LONGEST_SECONDS:g} s")
        (answer,) = found
        if isinstance(answer, Exception):
            raise answer
        return answer

    @staticmethod
    def _frontier_at(connection: Any, size: int) -> list[str]:
        """Return the subtrees of the first `size` events, read anew."""
        frontier = Frontier()
        with connection.cursor() as cursor:
            for leaf in leaves_of(cursor):
                if frontier.size == size:
                    break
                frontier.add(leaf)
        return [root.hex() for root in frontier.roots]

    def _keep_cosignature(self, lines: str) -> None:
        """Append the note with the witness's lines to cosignatures.txt."""
        if all(line.startswith("— ") for line in lines.splitlines()) and lines.endswith("\n"):
            file: Path = self.sealer.folder / "cosignatures.txt"
            with file.open("a", encoding="utf-8") as out:
                out.write(self.sealer.note + lines)


def _post(address: str, content: bytes, found: list[tuple[int, str] | Exception]) -> None:
    """Put what was answered, or the fault, into `found`; an answer is read as far as one can be long."""
    try:
        url = f"{address.rstrip('/')}/add-checkpoint"
        with httpx.stream("POST", url, content=content, timeout=TIMEOUT) as answer:
            read = bytearray()
            for chunk in answer.iter_bytes():
                read += chunk
                if len(read) > LONGEST_ANSWER:
                    raise NotDelivered(f"its answer is longer than {LONGEST_ANSWER} bytes")
            found.append((answer.status_code, read.decode("utf-8", "replace")))
    except Exception as fault:  # noqa: BLE001  raised where it is waited for
        found.append(fault)
