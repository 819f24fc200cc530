"""The check of the service's own process, with a real one."""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import replace
from typing import Any

import pytest

from environments.targets.service_proof import running_service
from environments.targets.target import Layout
from releases.check_types.base import CheckContext, CheckResult, Result
from releases.check_types.service_state import ServiceState, ServiceStateParameters
from tests.releases.step_types.conftest import Target, new_database, target, versions, wait_for

__all__ = ["new_database", "target", "versions"]


def check(made: Target, settings: dict[str, Any] | None = None, **parameters: Any) -> CheckResult:
    spec = made.spec if settings is None else replace(made.spec, settings=settings)
    return ServiceState().run(CheckContext(spec), ServiceStateParameters.model_validate(parameters))


def test_the_check_follows_the_process(target: Target) -> None:
    assert check(target).result is Result.FAILED
    assert check(target, running=False).result is Result.PASSED
    target.install_old()
    target.step("service_control", target.context("0/4/x", configuration=target.configuration), action="start")
    alive = check(target)
    assert alive.result is Result.PASSED and "running" in alive.value
    assert check(target, running=False).result is Result.FAILED
    assert check(target, up_seconds=3600).result is Result.FAILED
    target.step("code_deploy", target.context("1/1/x"))
    other = check(target)
    assert other.result is Result.FAILED and "another version than the deployed version" in other.output
    running = running_service(target.spec.root)
    assert running is not None
    os.kill(running["pid"], signal.SIGKILL)
    wait_for(lambda: running_service(target.spec.root) is None)
    assert check(target).result is Result.FAILED


def test_another_process_with_the_same_number_is_not_the_service(target: Target) -> None:
    record = {"pid": os.getpid(), "started": 1, "tree": ""}
    path = Layout(target.spec.root).service_record
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(record))
    assert check(target).result is Result.FAILED
    path.write_text("torn")
    assert check(target).result is Result.ERROR
    path.unlink()


@pytest.mark.parametrize(
    ("code", "result"),
    [(0, Result.PASSED), (1, Result.FAILED), (3, Result.FAILED), (4, Result.ERROR), (127, Result.ERROR)],
)
def test_a_status_command_is_read_like_an_init_script(target: Target, code: int, result: Result) -> None:
    settings = {"service": {"status": [sys.executable, "-c", f"exit({code})"]}}
    assert check(target, settings).result is result
    assert check(target, {"service": {"status": ["/no/such/program"]}}).result is Result.ERROR


def test_a_target_without_a_service_is_no_data(target: Target) -> None:
    assert check(target, {}).result is Result.NO_DATA
