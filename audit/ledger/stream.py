"""Sends the events of the chain to a system of the organisation's own (SIEM), in their order and each at least once.

By syslog (RFC 5424), over TLS or TCP with octet counting (RFC 5425, RFC 6587), or by HTTP as JSON lines. The position
is in a file beside the process: the last number and its leaf, by which a later process finds that a ledger is another
one.
"""

import json
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx

from audit.private_files import make_folder, write_private

BATCH = 2000
PATIENCE = 10.0
# Seconds for which a connection must still stand before what was written to it counts as sent.
STANDS = 1.0
FACILITY = 13  # log audit
CRITICAL, WARNING, NOTICE, INFORMATIONAL = 2, 4, 5, 6
_EVENTS = """
SELECT l.number, encode(l.leaf, 'hex'), e.id::text, e.at, e.kind, e.actor, e.channel, e.operation, e.object, e.outcome,
  e.reason FROM audit_ledgerentry l LEFT JOIN audit_event e ON e.id = l.event_id
WHERE l.number > %s ORDER BY l.number LIMIT %s
"""
# How long the first event behind a number has waited, in seconds.
_UNSENT = """
SELECT extract(epoch FROM clock_timestamp() - e.at)::float
FROM audit_ledgerentry l JOIN audit_event e ON e.id = l.event_id WHERE l.number > %s ORDER BY l.number LIMIT 1
"""
FILE = "position.json"
_NAMES = ("number", "leaf", "id", "at", "kind", "actor", "channel", "operation", "object", "outcome", "reason")


class NotSent(Exception):
    """The destination did not take the events; the message says what happened. They are sent again."""


class AnotherLedger(Exception):
    """The ledger is not the one whose events were sent before; the message says in what it differs."""


Record = dict[str, Any]


class Destination(Protocol):
    """Where events go."""

    def send(self, records: Sequence[Record]) -> None:
        """Send events in their order; returns once they count as sent. Raises NotSent."""

    def close(self) -> None:
        """End a connection that stands."""


def severity_of(record: Record) -> int:
    """Return the severity of an event (RFC 5424): what is missing or was written past Ringi is critical."""
    if record["id"] is None or str(record["actor"]).startswith("break-glass:"):
        return CRITICAL
    return {"failed": WARNING, "refused": NOTICE}.get(str(record["outcome"]), INFORMATIONAL)


def message(record: Record, host: str) -> bytes:
    """Return an event as a syslog message, with its length before it."""
    at = record["at"] or datetime.now(UTC).isoformat()
    head = f"<{FACILITY * 8 + severity_of(record)}>1 {at} {host} ringi - {record['kind'] or 'missing'} - "
    text = head.encode() + b"\xef\xbb\xbf" + json.dumps(record, ensure_ascii=False).encode()
    return f"{len(text)} ".encode() + text


class Syslog:
    """A syslog server. It gives no receipts: what was written counts as sent when the connection still stands later."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        self.host, self.port, self.tls = host, port, tls
        self.wire: socket.socket | None = None

    def send(self, records: Sequence[Record]) -> None:
        """Write the messages, and look at the connection again."""
        try:
            wire = self.wire or self._connected()
            wire.sendall(b"".join(message(record, socket.gethostname()) for record in records))
            self._require_open(wire)
        except OSError as fault:
            self.close()
            raise NotSent(f"{self.host}:{self.port}: {fault}") from fault

    def close(self) -> None:
        """End the connection, if there is one."""
        if self.wire is not None:
            self.wire.close()
        self.wire = None

    def _connected(self) -> socket.socket:
        plain = socket.create_connection((self.host, self.port), timeout=PATIENCE)
        try:
            self.wire = self.tls.wrap_socket(plain, server_hostname=self.host) if self.tls else plain
        except OSError:
            plain.close()
            raise
        return self.wire

    @staticmethod
    def _require_open(wire: socket.socket) -> None:
        """Raise OSError where the other side has ended the connection within STANDS seconds."""
        wire.settimeout(STANDS)
        try:
            if not wire.recv(4096):
                raise ConnectionResetError("the server ended the connection")
        except TimeoutError:
            pass
        finally:
            wire.settimeout(PATIENCE)


class Post:
    """An address that takes JSON lines by HTTP; an answer of 2xx is the receipt."""

    def __init__(self, url: str, token: str, tls: ssl.SSLContext) -> None:
        self.url, self.token, self.tls = url, token, tls

    def close(self) -> None:
        """Do nothing: each request has a connection of its own."""

    def send(self, records: Sequence[Record]) -> None:
        """Post them in one request."""
        lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        headers = {"Content-Type": "application/x-ndjson"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        try:
            answer = httpx.post(self.url, content=lines.encode(), headers=headers, timeout=PATIENCE, verify=self.tls)
        except httpx.HTTPError as fault:
            raise NotSent(f"{self.url}: {fault or type(fault).__name__}") from fault
        if not answer.is_success:
            raise NotSent(f"{self.url}: {answer.status_code} {answer.text[:200].strip()}")


def destination_of(url: str, token: str = "") -> Destination:
    """Return the destination of an address: `syslog+tls://host:6514?ca=FILE`, `syslog+tcp://…` or `https://…?ca=FILE`.

    Raises ValueError. Without TLS only this machine is taken.
    """
    parts = urlsplit(url)
    given = dict(parse_qsl(parts.query))
    authority = given.pop("ca", "")
    if not parts.hostname:
        raise ValueError(f"{url} names no host")
    if parts.scheme in ("syslog+tcp", "http") and parts.hostname not in ("127.0.0.1", "::1", "localhost"):
        raise ValueError(f"{parts.scheme} is not encrypted: use it for this machine only, else syslog+tls or https")
    if parts.scheme in ("syslog+tcp", "syslog+tls"):
        tls = ssl.create_default_context(cafile=authority or None) if parts.scheme == "syslog+tls" else None
        return Syslog(parts.hostname, parts.port or (6514 if tls else 514), tls)
    if parts.scheme in ("http", "https"):
        own = parts._replace(query=urlencode(given)).geturl()
        return Post(own, token, ssl.create_default_context(cafile=authority or None))
    raise ValueError(f"{url} begins with none of syslog+tls, syslog+tcp, https")


@dataclass(frozen=True)
class Position:
    """The last event that was sent: its number, and its leaf in hex; 0 and "" before the first."""

    number: int = 0
    leaf: str = ""


def position_in(folder: Path) -> Position:
    """Return the position that is kept in a folder; the one before the first event where there is none."""
    file = folder / FILE
    return Position(**json.loads(file.read_text("utf-8"))) if file.exists() else Position()


def unsent_seconds(position: Position, connection: Any) -> float | None:
    """Return for how many seconds the first event behind a position has waited; None: none waits.

    Raises AnotherLedger.
    """
    _require_same_ledger(position, connection)
    with connection.cursor() as cursor:
        cursor.execute(_UNSENT, [position.number])
        found = cursor.fetchone()
    return found and found[0]


class Stream:
    """Sends what comes behind a position, and keeps it."""

    def __init__(self, folder: Path, destination: Destination) -> None:
        """folder: where the position is kept; it is made where there is none."""
        make_folder(folder)
        self.file, self.destination = folder / FILE, destination
        self.position = position_in(folder)

    def begin_behind(self, number: int, connection: Any) -> None:
        """Go on behind this number, whatever was sent before; 0: from the first event on."""
        leaf = _leaf_of(number, connection) if number else ""
        if leaf is None:
            raise AnotherLedger(f"the ledger has no event with the number {number}")
        self._keep(Position(number, leaf))

    def send(self, connection: Any) -> int:
        """Send one batch; return how many events it had. Raises NotSent, AnotherLedger."""
        known = self.position
        _require_same_ledger(known, connection)
        with connection.cursor() as cursor:
            cursor.execute(_EVENTS, [known.number, BATCH])
            rows = cursor.fetchall()
        if not rows:
            return 0
        records = [dict(zip(_NAMES, row, strict=True)) for row in rows]
        for record in records:
            record["at"] = record["at"].astimezone(UTC).isoformat() if record["at"] is not None else None
        self.destination.send(records)
        self._keep(Position(records[-1]["number"], records[-1]["leaf"]))
        return len(records)

    def _keep(self, position: Position) -> None:
        write_private(self.file, json.dumps({"number": position.number, "leaf": position.leaf}))
        self.position = position


def _require_same_ledger(known: Position, connection: Any) -> None:
    if known.number and _leaf_of(known.number, connection) != known.leaf:
        raise AnotherLedger(
            f"event {known.number} was sent before and is not in this ledger: after a restore, say behind which"
            " number to go on (--behind NUMBER)"
        )


def _leaf_of(number: int, connection: Any) -> str | None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT encode(leaf, 'hex') FROM audit_ledgerentry WHERE number = %s", [number])
        found = cursor.fetchone()
    return str(found[0]) if found is not None else None


def pause_after(failures: int) -> float:
    """Return the seconds until the next try after so many failures in a row: 1, 2, 4 … 60."""
    return min(60.0, 2.0 ** min(failures - 1, 10))


def follow(stream: Stream, connection: Any, *, ended: Callable[[float], bool], say: Callable[[str], None]) -> None:
    """Send until `ended`, which waits so many seconds, says so. Raises AnotherLedger."""
    failures, since = 0, time.monotonic()
    while True:
        try:
            sent = stream.send(connection)
            if failures:
                say(f"the destination takes events again after {time.monotonic() - since:.0f} s")
            failures = 0
            wait = 0.0 if sent == BATCH else 1.0
        except NotSent as fault:
            since = since if failures else time.monotonic()
            failures += 1
            wait = pause_after(failures)
            say(f"not sent, again in {wait:.0f} s: {fault}")
        if ended(wait):
            return
