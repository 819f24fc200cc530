"""A real HTTP server that keeps its requests; it answers as a test says, or holds its answer back."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Request:
    """One request: headers in lower case, body whole."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """Address, received requests, and the answer; `held`: it answers only once this is set."""

    port: int
    taken: list[Request] = field(default_factory=list)
    status: int = 201
    body: bytes = b"taken"
    headers: dict[str, str] = field(default_factory=dict)
    held: threading.Event | None = None
    arrived: threading.Event = field(default_factory=threading.Event)

    @property
    def host(self) -> str:
        """Return the host as a target lists it."""
        return f"127.0.0.1:{self.port}"

    def url(self, path: str = "/hook") -> str:
        """Return the address of a page."""
        return f"http://{self.host}{path}"


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Listen until the block ends."""

    class Taking(BaseHTTPRequestHandler):
        def _take(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            given = {name.lower(): value for name, value in self.headers.items()}
            made.taken.append(Request(self.command, self.path, given, body))
            made.arrived.set()
            if made.held is not None:
                made.held.wait(30)
            try:
                self.send_response(made.status)
                for name, value in made.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(made.body)))
                self.end_headers()
                self.wfile.write(made.body)
            except OSError:
                pass  # the client has left

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _take

        def log_message(self, format: str, *values: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Taking)
    made = Receiver(server.server_port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield made
    finally:
        if made.held is not None:
            made.held.set()
        server.shutdown()
        thread.join()
        server.server_close()
