"""Asks an HTTP address once, within one deadline for all of it; called by metric sources and by checks."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

LARGEST_BODY = 4_000_000


class NoAnswer(Exception):
    """The address gave no complete answer; the message says why, without the address."""


class TooSlow(NoAnswer):
    """The answer was not complete at the deadline."""


@dataclass(frozen=True)
class Fetched:
    """A complete answer; `seconds` = from the first byte sent to the last one read."""

    status: int
    content_type: str
    body: bytes
    seconds: float


def fetch(url: str, *, seconds: float) -> Fetched:
    """Ask `url` with GET and return the answer, whatever its status; redirects and proxies are not followed.

    seconds: deadline for everything together, however slowly the answer trickles. Raises TooSlow, NoAnswer.
    """
    connection, target = _connection(url, seconds)
    late = threading.Event()
    began = time.monotonic()
    try:
        connection.connect()
        guard = threading.Timer(max(0.0, seconds - (time.monotonic() - began)), _cut, (connection.sock, late))
        guard.daemon = True
        guard.start()
        try:
            connection.request("GET", target, headers={"Accept": "*/*", "Connection": "close"})
            answer = connection.getresponse()
            body = answer.read(LARGEST_BODY + 1)
            # A body cut by the guard ends like a complete one when its length was not announced.
            if late.is_set():
                raise TooSlow(f"no complete answer within {seconds:g} s")
            if len(body) > LARGEST_BODY:
                raise NoAnswer(f"the answer has more than {LARGEST_BODY} bytes")
            return Fetched(answer.status, answer.getheader("Content-Type", ""), body, time.monotonic() - began)
        finally:
            guard.cancel()
    except (OSError, http.client.HTTPException, ValueError) as error:
        if late.is_set() or isinstance(error, TimeoutError):
            raise TooSlow(f"no complete answer within {seconds:g} s") from error
        raise NoAnswer(_reason(error)) from error
    finally:
        connection.close()


def _connection(url: str, seconds: float) -> tuple[http.client.HTTPConnection, str]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise NoAnswer(f"the address can't be read: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
        raise NoAnswer("the address is not http(s)://host/path")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return kind(parts.hostname, port, timeout=seconds), target


def _cut(connected: socket.socket, late: threading.Event) -> None:
    """End the conversation at the deadline: a read that waits returns at once."""
    late.set()
    try:
        connected.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # it ended at the same moment


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"{type(error).__name__}: {error}"[:200]
