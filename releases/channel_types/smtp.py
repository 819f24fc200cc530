"""Django's SMTP backend within one deadline for everything, however slowly a server answers; used by mail."""

import contextlib
import smtplib
import socket
import threading
import time
from functools import partial
from ipaddress import ip_network
from typing import Any

from django.core.mail.backends.smtp import EmailBackend

from environments.connectivity.addresses import NotAllowed, UnknownHost, places_of

# A mail server may have any address: the operator of this installation sets it.
ANYWHERE = (ip_network("0.0.0.0/0"), ip_network("::/0"))
# Seconds for QUIT: the mail is accepted or refused by then.
FAREWELL = 2.0


class Bounded(EmailBackend):
    """One conversation of at most `seconds`. stage: the last command, or connect; late: the deadline ended it."""

    def __init__(self, *, seconds: float, **options: Any) -> None:
        super().__init__(**options)
        self.stage, self.late, self.seconds = "connect", threading.Event(), seconds
        self.monitoring_periods = contextlib.ExitStack()

    @property
    def connection_class(self) -> Any:
        """Return the connection class that knows this backend."""
        talk: Any = _TlsTalk if self.use_ssl else _Talk
        return partial(talk, backend=self)

    def send_messages(self, email_messages: Any) -> int:
        """Send within the deadline. Raises OSError, SMTPException."""
        with self.monitoring_periods:
            return super().send_messages(email_messages) or 0

    def monitoring(self, sock: socket.socket, until: float) -> None:
        """Cut a connection at the deadline; TLS wraps the socket, so its number identifies it."""
        held = self.monitoring_periods.enter_context(sock.dup())

        def cut() -> None:
            self.late.set()
            with contextlib.suppress(OSError):
                held.shutdown(socket.SHUT_RDWR)

        guard = threading.Timer(max(0.0, until - time.monotonic()), cut)
        guard.daemon = True
        guard.start()
        self.monitoring_periods.callback(guard.cancel)

    def _close_connection(self, connection: Any) -> None:
        """Send QUIT; a server that does not answer it has accepted the mail nevertheless."""
        with contextlib.suppress(OSError, smtplib.SMTPException):
            if connection.sock is not None and not self.late.is_set():
                connection.sock.settimeout(FAREWELL)
                connection.docmd("QUIT")
        connection.close()


class _Talk(smtplib.SMTP):
    """A conversation that records its stage; its connection is made and limited within the deadline."""

    def __init__(self, *args: Any, backend: Bounded, **options: Any) -> None:
        self._backend, self._until = backend, time.monotonic() + backend.seconds
        super().__init__(*args, **options)

    def putcmd(self, cmd: str, args: str = "") -> None:
        """Send a command."""
        self._backend.stage = cmd.partition(" ")[0].upper()
        super().putcmd(cmd, args)

    def _get_socket(self, host: str, port: int, timeout: float) -> Any:
        try:
            places = places_of(host, port, listed=ANYWHERE, seconds=self._backend.seconds)
        except (UnknownHost, NotAllowed) as unknown:
            raise OSError(str(unknown)) from unknown
        fault: OSError = TimeoutError()
        for place in places:
            sock = socket.socket(place.family, socket.SOCK_STREAM)
            try:
                sock.settimeout(max(0.001, self._until - time.monotonic()))
                sock.connect(place.sockaddr)
            except OSError as error:
                sock.close()
                fault = error
            else:
                self._backend.monitoring(sock, self._until)
                return sock
        raise fault


class _TlsTalk(smtplib.SMTP_SSL, _Talk):
    """The same over TLS from the beginning."""
