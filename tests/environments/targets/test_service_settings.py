"""The option `service` is checked when it is saved, and read in one place."""

from __future__ import annotations

import re
from typing import Any

import pytest

from environments.targets.base import StepFailed
from environments.targets.service_settings import LOG_ERRORS, faults_in, service_of

READY = {"url": "http://127.0.0.1:8651/health"}


def test_the_port_is_that_of_the_ready_url_unless_it_is_named() -> None:
    assert service_of({"service": {"ready": READY}}).listens_on == 8651
    assert service_of({"service": {"ready": {"url": "https://app.example/health"}}}).listens_on == 443
    assert service_of({"service": {"ready": READY, "port": 9000}}).listens_on == 9000
    assert service_of({}).listens_on is None and service_of({"service": None}).stable_seconds == 2


@pytest.mark.parametrize(
    ("service", "fault"),
    [
        ({"begin": ["x"]}, "service.begin"),
        ({"ready": {"url": "127.0.0.1:8651"}}, "must be an address"),
        ({"version": {}}, "url or command"),
        ({"version": {"url": "http://a/", "command": ["x"]}}, "url or command"),
        ({"version": {"url": "http://a/", "pattern": "("}}, "is not a regular expression"),
        ({"version": {"url": "http://a/", "pattern": "v.*"}}, "exactly one group"),
        ({"version": {"url": "http://a/", "pattern": "(v)", "json_path": "v"}}, "not both"),
        ({"without_port": True, "ready": READY}, "without_port"),
        ({"start": "serve --all"}, "service.start"),
        (["start"], "must be an object"),
    ],
)
def test_an_invalid_option_is_named_with_its_place(service: Any, fault: str) -> None:
    (said,) = faults_in({"service": service})
    assert fault in said
    with pytest.raises(StepFailed, match=re.escape(fault)):
        service_of({"service": service})


def test_a_log_pattern_must_be_valid() -> None:
    assert faults_in({"log_error_pattern": "("}) and not faults_in({"log_error_pattern": "^E "})


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("ERROR:    Exception in ASGI application", True),
        ("[2026-03-18 01:00:00 +0000] [77] [ERROR] Error handling request /", True),
        ("2026/03/18 01:00:00 [error] 7#7: *1 open() failed", True),
        ("Mar 18 01:00:00 host app[7]: CRITICAL: no disk", True),
        ('time=2026-03-18T01:00:00Z level=error msg="x"', True),
        ('{"level": "error", "msg": "x"}', True),
        ("Traceback (most recent call last):", True),
        ('127.0.0.1 - - [18/Mar/2026] "GET /error HTTP/1.1" 404', False),
        ("INFO:     Uvicorn running, ERROR_LIMIT=5", False),
        ('level=info msg="no error"', False),
    ],
)
def test_the_default_pattern_matches_the_usual_formats(line: str, error: bool) -> None:
    assert bool(re.search(LOG_ERRORS, line)) is error
