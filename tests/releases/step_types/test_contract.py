"""The contract of every registered step type, checked for each in turn on a real target."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from environments.targets.base import Fenced, Probe, StepType, StillRunning
from environments.targets.target import holding, journal_lines
from releases.step_types import STEP_TYPES, UnknownType, by_name
from tests.releases.step_types.conftest import Target


@dataclass(frozen=True)
class Case:
    """Parameters of one use of a step type and the effects that its journal must count."""

    name: str
    parameters: dict[str, Any]
    effects: tuple[str, ...]
    repeats: tuple[str, ...] = ()


PYTHON = sys.executable
CASES = [
    Case("backup", {}, ("backup:dumped", "backup:proved")),
    Case("backup", {"verify": "list"}, ("backup:dumped", "backup:proved")),
    Case("maintenance_mode", {"on": True}, ("maintenance_mode:on",)),
    Case("maintenance_mode", {"on": False}, ("maintenance_mode:off",)),
    Case("code_deploy", {}, ("code_deploy:laid", "code_deploy:switched")),
    Case("configuration_update", {}, ("configuration_update:written",)),
    Case("database_update", {}, ("database_update:started", "database_update:migrated")),
    Case("service_control", {"action": "restart"}, ("service_control:stopped", "service_control:started")),
    Case("service_control", {"action": "start"}, ("service_control:started",)),
    Case("service_control", {"action": "stop"}, ("service_control:stopped",)),
    Case("command", {"argv": (PYTHON, "-c", "pass")}, ("command:started", "command:done")),
    Case("ansible_playbook", {"playbook": "site.yml"}, ("ansible_playbook:started", "ansible_playbook:done")),
    Case(
        "command",
        {"argv": (PYTHON, "-c", "pass"), "repeatable": True},
        ("command:started", "command:done"),
        repeats=("command:started", "command:done"),
    ),
    Case("http_call", {"url": "http://{receiver}/hook"}, ("http_call:sent", "http_call:done")),
    Case(
        "http_call",
        {"url": "http://{receiver}/hook", "idempotency_header": "Idempotency-Key"},
        ("http_call:sent", "http_call:done"),
    ),
    Case("wait", {"seconds": 1}, ("wait:over",)),
]
# Steps of people are made by no worker, containers need images, pipelines a server: they have tests of their own.
ELSEWHERE = {"manual", "container", "pipeline_run", "external"}
IDS = [
    "-".join([case.name, *(str(v) for v in case.parameters.values() if isinstance(v, str | bool))]) for case in CASES
]


@pytest.fixture(params=["here", "over ssh"])
def where(request: pytest.FixtureRequest) -> str:
    """The place of a test's target: this machine, or a host that is reached over ssh."""
    return str(request.param)


def _moved(target: Target, where: str, request: pytest.FixtureRequest) -> Target:
    if where == "over ssh":
        target.move_to(request.getfixturevalue("host"))
    return target


@pytest.fixture
def installed(target: Target, where: str, request: pytest.FixtureRequest) -> Target:
    target.install_old()
    if target.spec.settings:
        target.step("code_deploy", target.context("0/9/x"))
    return _moved(target, where, request)


@pytest.fixture
def bare(bare_target: Target, where: str, request: pytest.FixtureRequest) -> Target:
    return _moved(bare_target, where, request)


def test_every_step_type_has_a_case() -> None:
    assert {case.name for case in CASES} | ELSEWHERE == {known.name for known in STEP_TYPES}


def test_every_step_type_has_a_file_and_is_found_by_name() -> None:
    folder = Path(sys.modules["releases.step_types"].__path__[0])
    for known in STEP_TYPES:
        assert by_name(known.name) is known
        assert (folder / f"{known.name}.py").exists()
        assert known.__class__.__doc__ and known.parameters.__doc__
        assert known.estimate_seconds > 0
    with pytest.raises(UnknownType):
        by_name("no_such_kind")


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_unknown_parameters_are_refused(case: Case) -> None:
    with pytest.raises(ValidationError, match="surprise"):
        by_name(case.name).parameters(**case.parameters, surprise=1)


def _ready(target: Target, case: Case) -> tuple[StepType, Any, Any]:
    known = by_name(case.name)
    receiver = target.receiver.host
    given = {n: v.replace("{receiver}", receiver) if isinstance(v, str) else v for n, v in case.parameters.items()}
    return known, target.context("1/2/x", fencing_token=2), known.parameters(**given)


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_a_step_makes_its_effect_once_and_finds_it_again(installed: Target, case: Case) -> None:
    if case.name == "ansible_playbook" and shutil.which("ansible-playbook") is None:
        pytest.skip("ansible-playbook is not on the PATH (extra `ansible`)")
    known, context, parameters = _ready(installed, case)
    assert known.describe(context, parameters)
    before, _facts = known.probe(context, parameters)
    assert before in (Probe.NOT_DONE, Probe.UNKNOWN)

    facts = known.run(context, parameters)
    after, found = known.probe(replace(context, fencing_token=3), parameters)
    assert after is Probe.DONE
    assert {name: facts[name] for name in found if name in facts} == {
        name: value for name, value in found.items() if name in facts
    }

    known.run(replace(context, fencing_token=4), parameters)
    for effect in case.effects:
        times = 2 if effect in case.repeats else 1
        lines = journal_lines(installed.spec, key=context.key, effect=effect)
        assert len(lines) == times, effect
    assert installed.configuration["SECRET"].encode() not in bytes(installed.shown)


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_a_lower_fencing_token_is_refused(bare: Target, case: Case) -> None:
    known, context, parameters = _ready(bare, case)
    with holding(replace(context, fencing_token=5, target=bare.here)):
        pass
    with pytest.raises(Fenced):
        known.run(context, parameters)
    with pytest.raises(Fenced):
        known.probe(context, parameters)
    assert not journal_lines(bare.spec, key=context.key)


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_a_held_lock_means_still_running(bare: Target, case: Case) -> None:
    known, context, parameters = _ready(bare, case)
    with holding(replace(context, key="1/1/other", target=bare.here)):
        assert known.probe(context, parameters)[0] is Probe.RUNNING
        with pytest.raises(StillRunning):
            known.run(context, parameters)
    assert not journal_lines(bare.spec, key=context.key)


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_an_attempt_that_lost_its_lease_has_no_effect(bare: Target, case: Case) -> None:
    known, context, parameters = _ready(bare, case)

    def heartbeat() -> None:
        raise Fenced("taken over")

    with pytest.raises(Fenced):
        known.run(replace(context, heartbeat=heartbeat), parameters)
    assert not journal_lines(bare.spec, key=context.key)
