"""The check of the service's own process, with a real one."""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import replace
from typing import Any

import pytest

from releases.checks.base import CheckContext, CheckResult, Verdict
from releases.checks.service_state import ServiceState, ServiceStateParameters
from releases.steps.service_control import running_service
from releases.steps.target import Layout
from tests.releases.steps.conftest import Target, new_database, target, versions, wait_for

__all__ = ["new_database", "target", "versions"]


def check(made: Target, settings: dict[str, Any] | None = None, **parameters: Any) -> CheckResult:
    spec = made.spec if settings is None else replace(made.spec, settings=settings)
    return ServiceState().run(CheckContext(spec), ServiceStateParameters.model_validate(parameters))


def test_it_follows_the_process(target: Target) -> None:
    assert check(target).verdict is Verdict.FAIL
    assert check(target, running=False).verdict is Verdict.PASS
    target.install_old()
    target.step("service_control", target.context("0/4/x", configuration=target.configuration), action="start")
    alive = check(target)
    assert alive.verdict is Verdict.PASS and "running" in alive.value
    assert check(target, running=False).verdict is Verdict.FAIL
    assert check(target, up_seconds=3600).verdict is Verdict.FAIL
    target.step("code_deploy", target.context("1/1/x"))
    other = check(target)
    assert other.verdict is Verdict.FAIL and "another version than the deployed version" in other.output
    running = running_service(target.spec.root)
    assert running is not None
    os.kill(running["pid"], signal.SIGKILL)
    wait_for(lambda: running_service(target.spec.root) is None)
    assert check(target).verdict is Verdict.FAIL


def test_another_process_with_the_same_number_is_not_the_service(target: Target) -> None:
    record = {"pid": os.getpid(), "started": 1, "tree": ""}
    path = Layout(target.spec.root).service_record
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(record))
    assert check(target).verdict is Verdict.FAIL
    path.write_text("torn")
    assert check(target).verdict is Verdict.ERROR
    path.unlink()


@pytest.mark.parametrize(
    ("code", "verdict"),
    [(0, Verdict.PASS), (1, Verdict.FAIL), (3, Verdict.FAIL), (4, Verdict.ERROR), (127, Verdict.ERROR)],
)
def test_a_given_command_is_believed_as_init_scripts_speak(target: Target, code: int, verdict: Verdict) -> None:
    settings = {"service": {"status": [sys.executable, "-c", f"exit({code})"]}}
    assert check(target, settings).verdict is verdict
    assert check(target, {"service": {"status": ["/no/such/program"]}}).verdict is Verdict.ERROR


def test_a_target_without_a_service_is_no_data(target: Target) -> None:
    assert check(target, {}).verdict is Verdict.NO_DATA
