"""The WSGI application: health, metrics, maintenance, and the routes between them; called by the server."""

import json
import threading
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

import psycopg

from dataset_service import routes
from dataset_service.answers import Answer, BadRequest, Parts
from dataset_service.counters import Counters
from dataset_service.journal import Journal
from dataset_service.version import VERSION

LARGEST_BODY = 65_536
Start = Callable[[str, list[tuple[str, str]]], Any]


def plain(value: Any) -> Any:
    """Return times as text for JSON."""
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} can't be sent")


class Application:
    """One copy of the service."""

    def __init__(self, parts: Parts, counters: Counters, journal: Journal, maintenance: Path) -> None:
        self.parts = parts
        self.counters = counters
        self.journal = journal
        self.maintenance = maintenance
        self._seats = threading.BoundedSemaphore(counters.threads)

    def __call__(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        """Answer one request."""
        began = time.perf_counter()
        method, path = environ["REQUEST_METHOD"], environ.get("PATH_INFO", "/")
        fault = ""
        if path == "/health":
            answer = self.health()
        elif path == "/metrics":
            answer = Answer(200, self.counters.text(), "text/plain; version=0.0.4; charset=utf-8")
        elif self.maintenance.exists():
            self.counters.turned_away()
            answer = Answer(503, {"error": "planned work, please come back"})
        else:
            answer, fault = self.counted(environ, method, path)
        self.journal.request(method, path, answer.status, time.perf_counter() - began, fault)
        return self.send(answer, start)

    def counted(self, environ: dict[str, Any], method: str, path: str) -> tuple[Answer, str]:
        """Answer a request that counts; return the answer and the fault behind a status of 500."""
        with self._seats:
            began, fault = time.perf_counter(), ""
            self.counters.begin()
            answer = Answer(500, {"error": "something went wrong"})
            try:
                answer = routes.answer(self.parts, method, path, body_of(environ))
            except BadRequest as error:
                answer = Answer(400, {"error": str(error)})
            except Exception as error:  # noqa: BLE001 - the last place where it can be logged
                fault = f"{type(error).__name__}: {error}"
            finally:
                self.counters.end(answer.status, time.perf_counter() - began)
            return answer, fault

    def health(self) -> Answer:
        """Answer with the version and the schema; 503 when the database does not."""
        facts: dict[str, Any] = {"version": VERSION, "maintenance": self.maintenance.exists()}
        try:
            return Answer(200, {**facts, "schema": self.parts.store.schema()})
        except psycopg.Error as error:
            return Answer(503, {**facts, "schema": "", "error": type(error).__name__})

    def send(self, answer: Answer, start: Start) -> Iterable[bytes]:
        """Start the response and return its body."""
        text = answer.content if isinstance(answer.content, str) else json.dumps(answer.content, default=plain)
        body = text.encode()
        headers = [("Content-Type", answer.content_type), ("Content-Length", str(len(body)))]
        if answer.status == 503:
            headers.append(("Retry-After", "5"))
        start(f"{answer.status} {HTTPStatus(answer.status).phrase}", headers)
        return [body]


def body_of(environ: dict[str, Any]) -> bytes:
    """Return the body of a request. Raises BadRequest when it is too large."""
    length = environ.get("CONTENT_LENGTH") or "0"
    if not length.isdigit() or int(length) > LARGEST_BODY:
        raise BadRequest(f"the body may have {LARGEST_BODY} bytes")
    return environ["wsgi.input"].read(int(length)) if int(length) else b""
