"""A real HTTP server that answers as a test says; used by the tests of metrics and checks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Page:
    """An answer. `trickle` = seconds between its bytes; `announce` = state the length of the body."""

    body: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    trickle: float = 0
    announce: bool = True


@dataclass
class Site:
    """Path → pages in their order, the last one again and again; `asked` = requested paths."""

    base: str
    pages: dict[str, list[Page]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


@contextmanager
def site() -> Iterator[Site]:
    """Serve pages until the block ends."""
    ended = threading.Event()

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append(self.path)
            waiting = made.pages.get(self.path) or [Page("The page was not found", 404)]
            page = waiting.pop(0) if len(waiting) > 1 else waiting[0]
            self.send_response(page.status)
            for name, value in page.headers.items():
                self.send_header(name, value)
            body = page.body.encode()
            if page.announce:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if not page.trickle:
                self.wfile.write(body)
            for byte in body if page.trickle else b"":
                if ended.wait(page.trickle):
                    return
                try:
                    self.wfile.write(bytes([byte]))
                except OSError:
                    return

        def log_message(self, format: str, *values: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    made = Site(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield made
    finally:
        ended.set()
        server.shutdown()
        thread.join()
        server.server_close()
