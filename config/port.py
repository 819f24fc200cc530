"""The port of the web process in a trial, bound before it starts; config.development.processes calls it."""

import contextlib
import socket
from collections.abc import Callable

from config.secret_files import Unavailable

FIRST_PORT = 8000


def bind_port(wanted: str | None, say: Callable[[str], None]) -> socket.socket:
    """Bind the port asked for, or the first free one from 8000 on, and listen; the caller keeps the socket until its
    end, so that no other process answers at the announced address. Raises Unavailable.
    """
    if wanted is not None and not (wanted.isdecimal() and 0 < int(wanted) < 65536):
        raise Unavailable(f"RINGI_PORT={wanted} is not a port number")
    tried = [int(wanted)] if wanted else range(FIRST_PORT, FIRST_PORT + 100)
    for port in tried:
        with contextlib.suppress(OSError):
            listener = socket.create_server(("127.0.0.1", port), backlog=2048)
            if port != tried[0]:
                say(f"Port {tried[0]} is in use; taking {port}.")
            return listener
    raise Unavailable(f"port {wanted or '8000 to 8099'} is in use by another process; set RINGI_PORT to a free port")
