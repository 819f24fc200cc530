"""Serves a WSGI application over HTTP/1.1 with a thread for each connection; called by the serve command."""

import signal
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from dataset_service.version import VERSION

DRAIN_SECONDS = 3.0


class Server(ThreadingHTTPServer):
    """Listens on one address; connections stay open between requests."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], application: Callable[..., Any]) -> None:
        self.application = application
        super().__init__(address, Conversation)


class Conversation(BaseHTTPRequestHandler):
    """The requests of one connection, one after the other."""

    protocol_version = "HTTP/1.1"
    server_version = f"DatasetService/{VERSION}"
    sys_version = ""
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body leave together
    timeout = 60
    server: Server

    def answer(self) -> None:
        """Pass one request to the application and send what it gives."""
        path, _, query = self.path.partition("?")
        length = self.headers.get("Content-Length", "")
        environ = {
            "REQUEST_METHOD": self.command,
            "PATH_INFO": unquote(path),
            "QUERY_STRING": query,
            "CONTENT_LENGTH": length,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "wsgi.input": self.rfile,
        }
        begun: list[Any] = []
        body = b"".join(self.server.application(environ, lambda status, headers: begun.extend([status, headers])))
        status, headers = begun
        code, _, phrase = status.partition(" ")
        self.send_response(int(code), phrase)
        for name, value in headers:
            self.send_header(name, value)
        if (length and int(code) in (400, 503)) or "Transfer-Encoding" in self.headers:
            # The body was not read; what is left of it must not be taken for the next request.
            self.close_connection = True
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = answer

    def log_message(self, format: str, *values: Any) -> None:
        """Say nothing: the application writes the log."""


def serve(server: Server, busy: Callable[[], int], ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT, then give requests in progress a moment to end; `ready` is called when both
    count.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown, daemon=True).start())
    ready()
    try:
        server.serve_forever(poll_interval=0.1)
    finally:
        server.server_close()
    until = time.monotonic() + DRAIN_SECONDS
    while busy() and time.monotonic() < until:
        time.sleep(0.01)
