"""Lines of the log as JSON: one id per request, the same in the ledger, and the deployment on what a worker logs."""

from __future__ import annotations

import io
import json
import logging
import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from audit.models import Event
from audit.trace import about, hidden, hide, tracing
from config import logs
from config.development.processes import PROJECT
from config.logs import JsonLine, json_lines


class Kept(logging.Handler):
    """Keeps the lines as they would be written."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonLine("web"))
        self.lines: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one."""
        self.lines.append(json.loads(self.format(record)))


@pytest.fixture
def kept() -> Iterator[Kept]:
    """What is logged during the test."""
    handler = Kept()
    logging.getLogger().addHandler(handler)
    yield handler
    logging.getLogger().removeHandler(handler)


def test_each_request_has_one_id_in_its_answer_its_lines_and_the_ledger(
    browsers: Callable[[str], Any], kept: Kept
) -> None:
    client = browsers("outsider")
    client.get("/admin/")
    answer = client.get("/admin/operation/release/plan/", headers={"x-request-id": "forged"})
    known = answer["X-Request-Id"]
    assert known != "forged" and len(known) == 32
    lines = [line for line in kept.lines if line.get("request") == known]
    (served,) = [line for line in lines if line["logger"] == "config.logs"]
    assert (
        served["route"] == "admin/operation/<slug:noun>/<slug:name>/" and served["status"] == answer.status_code == 403
    )
    assert served["process"] == "web" and served["level"] == "INFO" and served["milliseconds"] >= 0
    refused = [line for line in lines if line["logger"] == "django.request"]
    assert refused, "what Django says of it, after the middleware, has the id too"
    assert len({line["request"] for line in kept.lines if "request" in line}) == 2, "another request, another id"
    refused = browsers("tester").post("/admin/operation/release/plan/", {"version": "9.9.9"})
    assert refused.status_code == 403
    events = [json.loads(bytes(event.bytes)) for event in Event.objects.filter(channel="admin").order_by("-at")]
    assert refused["X-Request-Id"] in [event["request"]["id"] for event in events]


def test_an_address_with_a_secret_is_not_in_the_log(database: str, kept: Kept) -> None:
    from django.test import Client

    Client().get("/calendar/feed/a-secret-word.ics")
    served = [line for line in kept.lines if line["logger"] == "config.logs"]
    assert served[-1]["route"] == "calendar/feed/<str:secret>.ics" and "a-secret-word" not in json.dumps(served)


@pytest.mark.parametrize("form", ["line", "json"])
def test_what_django_says_of_a_refused_request_has_no_secret_of_its_address(
    database: str, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    from django.test import Client

    secret, out = secrets.token_urlsafe(32), io.StringIO()
    (console,) = [one for one in logging.getLogger().handlers if type(one) is logging.StreamHandler]
    monkeypatch.setattr(console, "stream", out)
    monkeypatch.setattr(console, "formatter", JsonLine("web") if form == "json" else console.formatter)
    client = Client(enforce_csrf_checks=True)
    for path in (f"/invitation/{secret}/", f"/calendar/feed/{secret}.ics", f"/invitation/{secret}", f"/x/{secret}/"):
        assert client.get(path).status_code in (301, 404) and client.post(path).status_code in (301, 403, 404)
    said = out.getvalue()
    for words in (": /invitation/…/", "Forbidden (CSRF", "Not Found: /calendar/feed/….ics", "Not Found: /x/…/"):
        assert words in said
    assert secret not in said


def test_a_fault_and_nested_ids_stand_in_one_line(kept: Kept) -> None:
    with tracing(deployment="7"), tracing(step="2"):
        try:
            raise RuntimeError("out of\norder")
        except RuntimeError:
            logging.getLogger("releases.test").exception("it failed: %s", "リリース")
    (line,) = kept.lines
    assert (line["deployment"], line["step"], line["message"]) == ("7", "2", "it failed: リリース")
    assert "RuntimeError: out of\norder" in line["exception"]
    assert about() == {}


def test_secrets_are_masked(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the process, passwords in its addresses, and those of the deployment that it works on."""
    before = sys.excepthook, threading.excepthook, set(logs._own), hidden()
    try:
        json_lines("web", ["own-token-1", "redis://ringi:in%2Fthe-address@host/0", ""])
        hide(["of-the-deployment"])
        try:
            raise RuntimeError("own-token-1")
        except RuntimeError:
            words = b"of-the-deployment".hex()
            logging.getLogger("releases.test").exception("%s %s host", "in/the-address", words)
    finally:
        sys.excepthook, threading.excepthook = before[:2]
        logging.captureWarnings(False)
        logs._own.intersection_update(before[2])
        hide(before[3])
    (line,) = kept.lines
    assert line["message"] == "**** **** host"
    assert "RuntimeError: ****" in line["exception"] and "own-token" not in json.dumps(line)


def test_a_caller_of_the_api_names_its_trace(database: str, kept: Kept) -> None:
    from django.test import Client

    good = f"00-{'a' * 32}-{'b' * 16}-01"
    for path, given in (
        ("/api/v1/x", good),
        ("/admin/", good),
        ("/api/v1/x", good + "-more"),
        ("/api/v1/x", "00-0-0-01"),
    ):
        Client().get(path, headers={"traceparent": given})
    served = [line.get("traceparent") for line in kept.lines if line["logger"] == "config.logs"]
    assert served == [good, None, None, None]


@pytest.mark.parametrize("end", ["raise RuntimeError('at the end')", "threading.Thread(target=lambda: 1 / 0).start()"])
def test_a_fault_that_nothing_catches_is_a_line(end: str, database: str) -> None:
    code = f"import django, threading, warnings; django.setup(); warnings.warn('old'); {end}"
    given = {"RINGI_LOG_FORMAT": "json", "DJANGO_SETTINGS_MODULE": "config.settings"}
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, env=os.environ | given, capture_output=True, text=True
    )
    warning, fault = (json.loads(line) for line in ran.stderr.splitlines())
    assert (warning["logger"], fault["level"]) == ("py.warnings", "CRITICAL")
    assert "Traceback" in fault["exception"] and fault["message"] in ("RuntimeError", "ZeroDivisionError")


@pytest.mark.parametrize("form", ["json", "line", "xml"])
def test_the_environment_chooses_the_form(form: str, database: str) -> None:
    code = "import django; django.setup(); import logging; logging.getLogger('a').warning('said')"
    given = {"RINGI_LOG_FORMAT": form, "DJANGO_SETTINGS_MODULE": "config.settings", "RINGI_PROCESS": "scheduler"}
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, env=os.environ | given, capture_output=True, text=True
    )
    if form == "json":
        line = json.loads(ran.stderr)
        assert (line["message"], line["process"], line["level"]) == ("said", "scheduler", "WARNING")
    elif form == "line":
        assert ran.stderr.endswith(" WARNING a said\n")
    else:
        assert "RINGI_LOG_FORMAT must be line or json" in ran.stderr
