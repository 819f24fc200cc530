"""The service starts detached, is known by its start time, and reports why it does not come up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest

from environments.targets.base import Probe, StepFailed, TargetSpec
from environments.targets.processes import start_time
from environments.targets.service_proof import running_service
from environments.targets.target import Layout, journal_lines
from releases.step_types import by_name
from tests.releases.step_types.conftest import Target, wait_for


@pytest.fixture
def target(bare_target: Target) -> Target:
    """A target without a database."""
    return bare_target


@pytest.fixture
def installed(target: Target) -> Target:
    """The new code and its configuration, without a database step."""
    target.step("code_deploy", target.context("1/1/x"))
    target.step("configuration_update", target.context("1/2/x"))
    return target


def _with_service(target: Target, **service: object) -> None:
    settings = dict(target.spec.settings) | {"service": dict(target.spec.settings["service"]) | service}
    target.spec = TargetSpec("sample", "production", target.spec.root, settings)


def test_a_started_service_answers_and_holds_neither_lock_nor_parent(installed: Target) -> None:
    facts = installed.step("service_control", installed.context("1/3/x"), action="restart")
    with urllib.request.urlopen(installed.spec.settings["urls"]["base"] + "/", timeout=5) as answer:
        assert answer.read() == b"1.1.0"
    pid = facts["pid"]
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    assert int(status["PPid"]) != os.getpid()
    assert os.getpgid(pid) == os.getsid(pid) == pid != os.getpgid(0)
    files = [os.readlink(f"/proc/{pid}/fd/{number}") for number in os.listdir(f"/proc/{pid}/fd")]
    assert not [path for path in files if "/.ringi/" in path]
    installed.step("maintenance_mode", installed.context("1/4/x"), on=True)


def test_a_restart_replaces_the_process_and_a_repeated_attempt_does_not(installed: Target) -> None:
    first = installed.step("service_control", installed.context("1/3/x"), action="restart")["pid"]
    second = installed.step("service_control", installed.context("2/3/x"), action="restart")["pid"]
    assert second != first and start_time(first) is None
    again = installed.step("service_control", installed.context("2/3/x", fencing_token=2), action="restart")["pid"]
    assert again == second
    assert len(journal_lines(installed.spec, effect="service_control:started")) == 2


def test_a_service_that_ends_fails_with_its_last_masked_log_lines(installed: Target) -> None:
    context = installed.context("1/2/y", configuration=installed.configuration | {"BROKEN": "EXPORT_LIMIT"})
    installed.step("configuration_update", context)
    with pytest.raises(StepFailed, match="no such setting: EXPORT_LIMIT"):
        installed.step("service_control", installed.context("1/3/x"), action="start")
    assert not journal_lines(installed.spec, effect="service_control:started")
    assert (
        by_name("service_control").probe(
            installed.context("1/3/x"), by_name("service_control").parameters(action="start")
        )[0]
        is Probe.NOT_DONE
    )


def test_a_service_that_does_not_answer_fails(installed: Target) -> None:
    ready = {"url": "http://127.0.0.1:9/health", "seconds": 0.5}
    _with_service(installed, ready=ready)
    with pytest.raises(StepFailed, match="does not answer"):
        installed.step("service_control", installed.context("1/3/x"), action="start")


def test_a_missing_program_fails(installed: Target) -> None:
    _with_service(installed, start=["/no-such-service"])
    with pytest.raises(StepFailed, match="No such file"):
        installed.step("service_control", installed.context("1/3/x"), action="start")


def test_a_service_that_ignores_term_is_killed(installed: Target) -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('up', flush=True); time.sleep(60)"
    _with_service(installed, start=[sys.executable, "-c", code], ready=None, without_port=True, stop_seconds=0.3)
    pid = installed.step("service_control", installed.context("1/3/x"), action="start")["pid"]
    wait_for(lambda: b"up" in (installed.spec.root / "shared" / "app.log").read_bytes())
    facts = installed.step("service_control", installed.context("1/4/x"), action="stop")
    assert facts == {"stopped": pid, "killed": True} and start_time(pid) is None


def test_a_process_that_only_shares_the_recorded_number_is_not_touched(installed: Target) -> None:
    bystander = subprocess.Popen(["sleep", "60"])
    record = {"pid": bystander.pid, "started": (start_time(bystander.pid) or 0) - 1, "argv": []}
    Layout(installed.spec.root).service_record.write_text(json.dumps(record))
    try:
        facts = installed.step("service_control", installed.context("1/3/x"), action="stop")
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()
    assert facts == {"stopped": None, "nothing_to_stop": True}


def test_an_empty_state_starts_nothing(target: Target) -> None:
    context = replace(target.context("1/3/x"), wanted=None)
    assert target.step("service_control", context, action="restart")["nothing_to_start"] is True


def test_a_stopped_service_stays_stopped_for_the_probe(installed: Target) -> None:
    installed.step("service_control", installed.context("1/3/x"), action="start")
    installed.step("service_control", installed.context("1/4/x"), action="stop")
    assert running_service(installed.spec.root) is None
    known = by_name("service_control")
    assert known.probe(installed.context("1/4/x"), known.parameters(action="stop"))[0] is Probe.DONE
    assert known.probe(installed.context("1/3/x"), known.parameters(action="start"))[0] is Probe.NOT_DONE
