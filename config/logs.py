"""Lines of the log: plain ones, or JSON with the ids of the request and of the deployment; and the middleware that
gives ids.
"""

import json
import logging
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from django.http import HttpRequest, HttpResponse

from audit.trace import about, tracing
from config import served

log = logging.getLogger(__name__)
API = "/api/"


class JsonLine(logging.Formatter):
    """One JSON object a line: time, level, logger, message, process, and `request`, `deployment`, `step` where they are
    known.
    """

    def __init__(self, process: str = "ringi") -> None:
        super().__init__()
        self.process = process

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "process": self.process,
            **about(),
        }
        # Django logs a refused request once the middleware has left it.
        if "request" not in line and (known := getattr(getattr(record, "request", None), "ringi_request_id", "")):
            line["request"] = known
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class RequestMiddleware:
    """Give each request one id: in its log lines, in the ledger's events of what it did, and in X-Request-Id.

    A caller of the API may bring an id of its own (64 printable characters at most); a page always gets a new one.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Serve one request, and log that it was served: by its route, for an address may hold a secret."""
        given = request.headers.get("X-Request-Id", "") if request.path.startswith(API) else ""
        known = "".join(c for c in given if "!" <= c <= "~")[:64] or uuid.uuid4().hex
        request.ringi_request_id = known  # type: ignore[attr-defined]
        began = time.monotonic()
        with tracing(request=known):
            response = self.get_response(request)
            route = request.resolver_match.route if request.resolver_match else "-"
            took = time.monotonic() - began
            served.count(request, response.status_code, took)
            fields = {
                "method": request.method,
                "route": route,
                "status": response.status_code,
                "milliseconds": round(1000 * took, 1),
            }
            log.info("%s %s %s", request.method, route, response.status_code, extra={"fields": fields})
        response["X-Request-Id"] = known
        return response
