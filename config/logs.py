"""Lines of the log: plain ones, or JSON with the ids of the request and of the deployment; and the middleware that
gives ids.
"""

import json
import logging
import re
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from django.http import HttpRequest, HttpResponse

from audit.trace import about, hidden, tracing
from config import served
from environments.targets.masking import masker, passwords_in

log = logging.getLogger(__name__)
API = "/api/"
# The header by which a caller names its trace (W3C Trace Context).
TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
# As long as the shortest secret in an address, or longer.
SECRET = re.compile(r"[\w-]{32,}")
_own: set[str] = set()
_masker = lru_cache(maxsize=8)(masker)


def json_lines(process: str, secrets: Iterable[str] = ()) -> "JsonLine":
    """Return the form of the log, and let all that Python itself writes of a fault or a warning have it too.

    secrets: the process's own; of those that are URLs, the password.
    """

    def uncaught(kind: type[BaseException], fault: BaseException | None, trace: Any) -> None:
        if not issubclass(kind, KeyboardInterrupt | SystemExit):
            log.critical("%s", kind.__name__, exc_info=(kind, fault, trace) if fault is not None else None)

    sys.excepthook = uncaught
    threading.excepthook = lambda given: uncaught(given.exc_type, given.exc_value, given.exc_traceback)
    logging.captureWarnings(True)
    known = {secret for secret in secrets if secret}
    _own.update(passwords_in(known), (secret for secret in known if "://" not in secret))
    return JsonLine(process)


class JsonLine(logging.Formatter):
    """One JSON object a line: time, level, logger, message, process, and `request`, `release`, `deployment`, `step`,
    `trace_id` where they are known. Secrets are masked, as in the output of a step.
    """

    def __init__(self, process: str = "ringi") -> None:
        super().__init__()
        self.process = process

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        clean = _masker(hidden().union(_own))
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": clean(record.getMessage()),
            "process": self.process,
            **about(),
        }
        # Django logs a refused request once the middleware has left it.
        if "request" not in line and (known := getattr(getattr(record, "request", None), "ringi_request_id", "")):
            line["request"] = known
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["exception"] = clean(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False, default=str)


class WithoutSecrets(logging.Filter):
    """Leaves the secrets of addresses (of invitations, of calendar feeds) out of what Django and uvicorn say of a
    request, which names its path.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask them, and pass on every line."""
        if (hasattr(record, "request") or record.name == "uvicorn.access") and isinstance(record.args, tuple):
            record.args = tuple(SECRET.sub("…", one) if isinstance(one, str) else one for one in record.args)
        return True


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
        ids = {"request": known}
        if request.path.startswith(API) and TRACEPARENT.fullmatch(caller := request.headers.get("traceparent", "")):
            ids["traceparent"] = caller
        with tracing(**ids):
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
