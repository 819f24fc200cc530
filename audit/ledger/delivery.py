"""Carries checkpoints out: by mail to auditors, by HTTP to witnesses, at the addresses that administrators entered.

`DeliveryThread` does it beside the signing, so that no address holds a signature up. The state of the deliveries is in
the ledger signer's folder, `delivered.json`. A witness is spoken to as C2SP tlog-witness says
(https://c2sp.org/tlog-witness): `POST …/add-checkpoint` with the size it knows, the consistency proof from there, and
the note; its cosignature is kept in `cosignatures.txt`.
"""

import base64
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from typing import Any, Protocol

import httpx
from django.conf import settings
from django.core.mail import EmailMessage
from django.db import close_old_connections, connection as own_connection

from audit.capture import set_context
from audit.ledger.checkpoint import LedgerSigner
from audit.ledger.note import MOST_DIGITS, append_note
from audit.ledger.proof import Frontier, consistency_since
from audit.ledger.resumption import LEDGER_SIGNER, leaves_of
from audit.private_files import write_private

TIMEOUT = 5.0
LONGEST_SECONDS = 10.0
LONGEST_MAIL_SECONDS = 60.0  # mail servers delay unknown senders; a shorter limit would repeat the mail again and again
END_SECONDS = 2.0
LONGEST_ANSWER = 65536
MAIL_SECONDS = 86400.0  # one mail a day is enough to hold a day; a witness gets every note
RETRY_SECONDS = 60.0
DELIVERY = "audit:deliver"


class NotDelivered(Exception):
    """An address did not take the note; the message says what it answered."""


class Delivery:
    """The state of the deliveries to each address, and when the next try is due; seconds of `clock`."""

    def __init__(self, signer: LedgerSigner, clock: Callable[[], float] = time.time) -> None:
        """signer: whose folder keeps the memory."""
        self.signer, self.clock, self.said = signer, clock, signer.said
        self._calls = Calls()
        self.file = signer.folder / "delivered.json"
        self.kept: dict[str, dict[str, Any]] = (
            json.loads(self.file.read_text(encoding="utf-8")) if self.file.exists() else {}
        )

    def carry(self, connection: Any) -> list[str]:
        """Bring the last note to each address that is due; return what failed."""
        return list(self.carrying(connection))

    def carrying(self, connection: Any) -> Iterator[str]:
        """Do what `carry` does, and yield each failure as it happens. Nothing is written in a transaction.

        An address that begins to fail, or takes notes again, is an event; one that goes on failing is none.
        """
        self.said = self.signer.said
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT id, kind, address FROM audit_checkpointdelivery WHERE removed_at IS NULL"
                " ORDER BY kind = 'mail', id"
            )
            addresses = cursor.fetchall()
        for pk, kind, address in addresses:
            kept = self.kept.setdefault(str(pk), {"size": 0, "frontier": [], "due": 0.0, "failing": False})
            if self.said.frontier.size == kept["size"] or self.clock() < kept["due"]:
                continue
            try:
                (self._mail if kind == "mail" else self._post)(connection, address, kept)
            except (NotDelivered, httpx.HTTPError, httpx.InvalidURL, OSError) as fault:
                said = str(fault) or type(fault).__name__
                self._turned(connection, pk, kept, failing=True, said=said)
                kept["due"] = self.clock() + RETRY_SECONDS
                yield f"{address}: {said}"
            else:
                kept["due"] = self.clock() + (MAIL_SECONDS if kind == "mail" else 0.0)
                self._turned(connection, pk, kept, failing=False, said="")
            write_private(self.file, json.dumps(self.kept))

    def _turned(self, connection: Any, pk: int, kept: dict[str, Any], *, failing: bool, said: str) -> None:
        if kept["failing"] == failing:
            return
        about, outcome = f"audit.CheckpointDelivery:{pk}", "failed" if failing else "done"
        write_access(connection, DELIVERY, about, {"address": pk, "said": said[:300]}, outcome)
        kept["failing"] = failing

    def _mail(self, _connection: Any, address: str, kept: dict[str, Any]) -> None:
        if not settings.MAIL_HOST:
            raise NotDelivered("this installation has no mail server")
        domain = address.rpartition("@")[2].lower()
        if settings.MAIL_DOMAINS and domain not in settings.MAIL_DOMAINS:
            raise NotDelivered(f"mail may not go to {domain}")
        note, size = self.said.note, self.said.frontier.size
        body = f"{note}\nKeys:\n{''.join(f'{key}{chr(10)}' for key in self.said.keys)}"
        mail = EmailMessage(f"[Ringi] checkpoint of {size} events", body, to=[address])
        self._calls.in_time(address, mail.send, LONGEST_MAIL_SECONDS)
        kept["size"] = size

    def _post(self, connection: Any, address: str, kept: dict[str, Any]) -> None:
        """Give the note to a witness; one that knows another size is asked for it, and gets the proof from there."""
        status, text = self._add(connection, address, kept["size"], kept["frontier"])
        if status == 409 and re.fullmatch(rf"[0-9]{{1,{MOST_DIGITS}}}", text.strip()):
            known = int(text)
            if known > self.said.frontier.size:
                raise NotDelivered(f"it knows a checkpoint of {known} events, which this ledger does not have")
            status, text = self._add(connection, address, known, self._frontier_at(connection, known))
        if status != 200:
            raise NotDelivered(f"{status} {text.strip()[:200]}")
        self._keep_cosignature(text)
        kept["size"] = self.said.frontier.size
        kept["frontier"] = [root.hex() for root in self.said.frontier.roots]

    def _add(self, connection: Any, address: str, size: int, roots: list[str]) -> tuple[int, str]:
        """Return status and text of the answer. Raises NotDelivered for one that takes too long or is too long."""
        proof: list[bytes] = []
        if 0 < size < self.said.frontier.size:
            with connection.cursor() as cursor:
                old = Frontier(size, map(bytes.fromhex, roots))
                proof = consistency_since(old, leaves_of(cursor, size), self.said.frontier.size)
        lines = [f"old {size}", *(base64.b64encode(node).decode() for node in proof), "", self.said.note]
        call = partial(post, f"{address.rstrip('/')}/add-checkpoint", "\n".join(lines).encode())
        status, answer = self._calls.in_time(address, call, LONGEST_SECONDS)
        return status, answer.decode("utf-8", "replace")

    @staticmethod
    def _frontier_at(connection: Any, size: int) -> list[str]:
        """Read the subtrees of the first `size` events from the database."""
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
            append_note(self.signer.folder / "cosignatures.txt", self.said.note + lines)


class Calls:
    """Calls to servers, each ended by a limit in seconds."""

    def __init__(self) -> None:
        self._held: dict[str, threading.Thread] = {}

    def in_time[T](self, address: str, call: Callable[[], T], seconds: float) -> T:
        """Call in a thread: a server that answers in drips, even in its headers, would hold up the others for ever."""
        if (held := self._held.get(address)) is not None and held.is_alive():
            raise NotDelivered("it has not ended its answer to an earlier call")
        found: Future[T] = Future()
        thread = threading.Thread(target=_resolve, args=(found, call), name="delivery", daemon=True)
        thread.start()
        thread.join(seconds)
        if thread.is_alive():
            self._held[address] = thread
            raise NotDelivered(f"it did not answer within {seconds:g} s")
        return found.result()


def write_access(connection: Any, operation: str, about: str, details: dict[str, Any], outcome: str) -> None:
    """Write an event of the ledger signer, of the kind `access`, in a transaction of its own."""
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        try:
            set_context(LEDGER_SIGNER, operation=operation, connection=connection)
            cursor.execute(
                "SELECT ringi_append('access', %s, %s, NULL, %s::jsonb, '', %s)",
                [operation, about, json.dumps(details, ensure_ascii=False), outcome],
            )
        finally:
            cursor.execute("COMMIT")


def _resolve[T](found: Future[T], call: Callable[[], T]) -> None:
    """Put what a call gives, or its fault, where it is waited for."""
    try:
        found.set_result(call())
    except Exception as fault:  # noqa: BLE001  raised where it is waited for
        found.set_exception(fault)


def post(address: str, content: bytes, content_type: str = "") -> tuple[int, bytes]:
    """Return status and bytes of the answer, read as far as one can be long."""
    headers = {"Content-Type": content_type} if content_type else {}
    with httpx.stream("POST", address, content=content, headers=headers, timeout=TIMEOUT) as answer:
        read = bytearray()
        for chunk in answer.iter_bytes():
            read += chunk
            if len(read) > LONGEST_ANSWER:
                raise NotDelivered(f"its answer is longer than {LONGEST_ANSWER} bytes")
        return answer.status_code, bytes(read)


class Carrier(Protocol):
    """What brings checkpoints to others, and yields a line about each address that failed."""

    def carrying(self, connection: Any) -> Iterator[str]: ...


class DeliveryThread:
    """Deliveries in a thread with a connection of its own, from the beginning to the end of a `with`."""

    def __init__(self, delivery: Carrier, every: float, report: Callable[[str], object]) -> None:
        """every: seconds between two deliveries. report: takes a line about each address that failed."""
        self.delivery, self.every, self.report = delivery, every, report
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="deliveries", daemon=True)

    def __enter__(self) -> "DeliveryThread":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # A hanging delivery ends with the process; a note not recorded as delivered is delivered again.
        self._ended.set()
        self._thread.join(END_SECONDS)

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                close_old_connections()
                for fault in self.delivery.carrying(own_connection):
                    self.report(f"ledger_signer: a checkpoint was not taken by {fault}")
            except Exception as fault:  # noqa: BLE001  the next delivery tries again; nothing here ends the signing
                self.report(f"ledger_signer: checkpoints were not carried: {fault}")
                own_connection.close()
            self._ended.wait(self.every)
        own_connection.close()
