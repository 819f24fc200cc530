"""A collector of OpenTelemetry for tests: a real HTTP server that takes OTLP in protobuf and keeps the spans."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Span:
    """One span as it was sent: ids as hex, attributes and those of its process as a dict, times in nanoseconds."""

    name: str
    trace: str
    id: str
    parent: str
    kind: int
    attributes: dict[str, Any]
    process: dict[str, Any]
    links: list[tuple[str, str]]
    events: list[tuple[str, dict[str, Any]]]
    failed: bool
    begin: int
    end: int


@dataclass
class Collector:
    """What was sent so far, and where to send it."""

    endpoint: str
    spans: list[Span] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)

    def until(self, enough: Callable[[list[Span]], bool], seconds: float = 40.0) -> list[Span]:
        """Wait until the spans are enough, and return them; fail after `seconds`."""
        deadline = time.monotonic() + seconds
        while not enough(self.spans):
            assert time.monotonic() < deadline, [(span.name, span.process.get("service.name")) for span in self.spans]
            time.sleep(0.02)
        return list(self.spans)


def _value(value: Any) -> Any:
    return getattr(value, value.WhichOneof("value"))


def _facts(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _read(body: bytes) -> list[Span]:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    return [
        Span(
            one.name,
            one.trace_id.hex(),
            one.span_id.hex(),
            one.parent_span_id.hex(),
            one.kind,
            _facts(one.attributes),
            _facts(group.resource.attributes),
            [(link.trace_id.hex(), link.span_id.hex()) for link in one.links],
            [(event.name, _facts(event.attributes)) for event in one.events],
            one.status.code == 2,
            one.start_time_unix_nano,
            one.end_time_unix_nano,
        )
        for group in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in group.scope_spans
        for one in scope.spans
    ]


@contextmanager
def collector() -> Iterator[Collector]:
    """Take spans until the block ends."""

    class Taking(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            body = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
            assert self.path == "/v1/traces" and self.headers["Content-Type"] == "application/x-protobuf"
            made.raw.append(body)
            made.spans.extend(_read(body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *values: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Taking)
    made = Collector(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
