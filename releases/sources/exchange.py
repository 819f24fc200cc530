"""One HTTP request and its answer, within one deadline for all of it; used by metric sources, checks and steps.

The name is resolved once and checked (addresses.py); redirects and proxies are not followed.
"""

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from environments.connectivity.addresses import Network, NotAllowed, Place, UnknownHost, places_of

LARGEST_BODY = 4_000_000
# A gateway has passed the request on, and does not know what became of it (RFC 9110, 15.6).
GATEWAY = (502, 504)


class NoAnswer(Exception):
    """The address gave no complete answer; the message says why, without the address.

    untrusted: it answered, with an unaccepted certificate. sent: a part of the request may have reached it.
    """

    untrusted = False
    sent = False


class TooSlow(NoAnswer):
    """The answer was not complete at the deadline."""


@dataclass(frozen=True)
class Fetched:
    """A complete answer; `seconds` = from the look-up of the name to the last byte.

    headers: names in lower case; one that comes several times is joined with ", ". certificate: the server's, DER;
    empty without TLS.
    """

    status: int
    body: bytes
    seconds: float
    headers: Mapping[str, str]
    certificate: bytes = b""


def fetch(
    url: str,
    *,
    seconds: float,
    listed: Iterable[Network] = (),
    headers: Mapping[str, str] | None = None,
    trusted: str = "",
    method: str = "GET",
    body: bytes | None = None,
    connected: Callable[[Callable[[], None]], None] = lambda cut: None,
    into: Callable[[bytes], None] | None = None,
    largest: int = LARGEST_BODY,
) -> Fetched:
    """Send one request to `url` and return the answer, whatever its status.

    seconds: deadline for everything together, however slowly the answer trickles. listed: the private networks
    that may be contacted. trusted: file with the trusted certificates (PEM); empty = those of the system.
    connected: gets a function that ends the conversation at once, before anything is sent. into: takes the body of an
    answer with status 200 piece by piece, so that `body` stays empty. largest: the most bytes of a body.
    Raises TooSlow, NoAnswer.
    """
    began = time.monotonic()
    host, port, target, secure = _parts(url)
    try:
        places = places_of(host, port, listed=listed, seconds=seconds)
    except (NotAllowed, UnknownHost) as refused:
        raise NoAnswer(str(refused)) from refused
    late = threading.Event()
    sent = False
    connection = _Evaluated(host, port, places, began + seconds, _trusting(trusted) if secure else None)
    try:
        connection.connect()
        guard = threading.Timer(max(0.0, seconds - (time.monotonic() - began)), _cut, (connection.sock, late))
        guard.daemon = True
        guard.start()
        try:
            connected(lambda: _cut(connection.sock, late))
            sent = True
            every = {"Accept": "*/*", "Connection": "close", **(headers or {})}
            connection.request(method, target, body=body, headers=every)
            sock = connection.sock
            certificate = (sock.getpeercert(True) or b"") if isinstance(sock, ssl.SSLSocket) else b""
            answer = connection.getresponse()
            if into is not None and answer.status == 200:
                answered, size = b"", _passed_on(answer, into, largest)
            else:
                answered = answer.read(LARGEST_BODY + 1)
                size = len(answered)
            # A body that the guard cuts ends like a complete one when its length was not announced.
            if late.is_set():
                raise TimeoutError
            if size > largest:
                large = NoAnswer(f"the answer has more than {largest} bytes")
                large.sent = True
                raise large
            named: dict[str, str] = {}
            for name, value in answer.getheaders():
                named[name.lower()] = f"{named[name.lower()]}, {value}" if name.lower() in named else value
            return Fetched(answer.status, answered, time.monotonic() - began, named, certificate)
        finally:
            guard.cancel()
    except (OSError, http.client.HTTPException, ValueError) as error:
        no_answer = NoAnswer(_reason(error))
        if late.is_set() or isinstance(error, TimeoutError):
            no_answer = TooSlow(f"no complete answer within {seconds:g} s")
        no_answer.untrusted = isinstance(error, ssl.SSLCertVerificationError)
        no_answer.sent = sent
        raise no_answer from error
    finally:
        connection.close()


def _passed_on(answer: http.client.HTTPResponse, into: Callable[[bytes], None], largest: int) -> int:
    """Pass a body on piece by piece; return its bytes, which are no more than one piece above `largest`."""
    size = 0
    while size <= largest and (piece := answer.read(1 << 20)):
        size += len(piece)
        into(piece)
    return size


class _Evaluated(http.client.HTTPConnection):
    """A connection to one of the checked addresses; the name is used for `Host` and the certificate only."""

    def __init__(self, host: str, port: int, places: list[Place], until: float, tls: ssl.SSLContext | None) -> None:
        super().__init__(host, port)
        self._places, self._until, self._tls = places, until, tls
        self.default_port = 443 if tls is not None else 80

    def connect(self) -> None:
        """Connect to the first address that answers, within the deadline. Raises OSError."""
        fault: OSError = TimeoutError()
        for place in self._places:
            sock = socket.socket(place.family, socket.SOCK_STREAM)
            try:
                sock.settimeout(max(0.001, self._until - time.monotonic()))
                sock.connect(place.sockaddr)
                self.sock: Any = self._wrapped(sock, self._tls) if self._tls else sock
                return
            except OSError as error:
                sock.close()
                fault = error
                if isinstance(error, ssl.SSLCertVerificationError):
                    raise
        raise fault

    def _wrapped(self, sock: socket.socket, tls: ssl.SSLContext) -> ssl.SSLSocket:
        """Wrap a connection in TLS within the deadline, however slow the other side's handshake is. Raises OSError."""
        late = threading.Event()
        with sock.dup() as held:  # TLS takes over the connection itself
            guard = threading.Timer(max(0.0, self._until - time.monotonic()), _cut, (held, late))
            guard.daemon = True
            guard.start()
            try:
                return tls.wrap_socket(sock, server_hostname=self.host)
            except OSError as error:
                if late.is_set():
                    raise TimeoutError from error
                raise
            finally:
                guard.cancel()


def _trusting(file: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=file or None)
    except OSError as error:
        raise NoAnswer(f"the trusted certificates can't be read: {error.strerror or error}") from error


def _parts(url: str) -> tuple[str, int, str, bool]:
    """Return (host, port, path with query, whether over TLS). Raises NoAnswer."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise NoAnswer(f"the address can't be read: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
        raise NoAnswer("the address is not http(s)://host/path")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    secure = parts.scheme == "https"
    return parts.hostname, port if port is not None else (443 if secure else 80), target, secure


def _cut(connected: socket.socket, late: threading.Event) -> None:
    """End the conversation at the deadline: a read that waits returns at once."""
    late.set()
    try:
        connected.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # it ended at the same moment


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not accepted: {error.verify_message}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"{type(error).__name__}: {error}"[:200]
