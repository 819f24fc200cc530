"""Checks and metric sources run on the target's host: their results there equal those here."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from environments.targets.base import TargetSpec
from environments.targets.ssh import call
from releases import check_types, metric_sources
from releases.check_types.base import CheckContext, CheckResult, Result, TargetCheck
from releases.metric_sources.base import TargetSource
from tests.releases.step_types.conftest import Host, Target

PRINTS = (sys.executable, "-c", "print('pass 7'); print('requests 12')")
CHECKS: dict[str, dict[str, Any]] = {
    "log": {"pattern": "ERROR", "at_most": 1, "at_least": 1},
    "service_state": {"up_seconds": 0},
    "configuration_digest": {},
    "backup": {"verify": "restore"},
    "command": {"argv": PRINTS, "value": r"pass (\d+)", "at_least": "6.5"},
    "sql": {"statement": "SELECT count(*) FROM dataset", "equals": "20"},
}
SOURCES: dict[str, dict[str, Any]] = {
    "command": {"argv": PRINTS, "values": {"requests": "requests"}},
    "sql": {"statement": "SELECT 3 AS open", "values": {"open_things": "open"}},
}


@pytest.fixture
def at_work(target: Target) -> Target:
    """A target where the old version runs, with a backup and a log with one bad line."""
    target.install_old()
    context = target.context("0/8/x", configuration=target.configuration)
    target.step("backup", context)
    target.step("service_control", replace(context, key="0/9/x", wanted=target.versions.old), action="start")
    log = target.spec.root / "shared" / "app.log"
    log.write_text(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} ERROR {target.configuration['SECRET']}\n")
    return target


def test_each_type_that_reads_a_target_has_a_case() -> None:
    assert {kind.name for kind in check_types.CHECK_TYPES if isinstance(kind, TargetCheck)} == CHECKS.keys()
    assert {source.name for source in metric_sources.SOURCES if isinstance(source, TargetSource)} == SOURCES.keys()


def _checked(name: str, target: TargetSpec, made: Target) -> CheckResult:
    kind = check_types.by_name(name)
    context = CheckContext(target, made.configuration, (made.configuration["SECRET"],), deployment="deployment:1")
    return kind.run(context, kind.parameters.model_validate(CHECKS[name]))


@pytest.mark.timeout(300)
def test_a_check_on_the_host_equals_a_local_one(at_work: Target, host: Host) -> None:
    here = {name: _checked(name, at_work.spec, at_work) for name in CHECKS}
    at_work.move_to(host)
    there = {name: _checked(name, at_work.spec, at_work) for name in CHECKS}
    assert {name: result.result for name, result in there.items()} == dict.fromkeys(CHECKS, Result.PASSED)
    for name in CHECKS.keys() - {"service_state", "log"}:
        assert there[name] == here[name], name
    assert there["log"].value == here["log"].value and there["log"].position is not None
    assert there["service_state"].output == here["service_state"].output
    assert at_work.configuration["SECRET"] not in str(there) and "ERROR ****" in there["log"].output


def test_a_source_on_the_host_equals_a_local_one(at_work: Target, host: Host) -> None:
    for name, parameters in SOURCES.items():
        source = metric_sources.source(name)
        wanted = source.parameters.model_validate(parameters)
        here = source.read(at_work.here, wanted, at_work.configuration)
        at_work.move_to(host)
        there = source.read(at_work.spec, wanted, at_work.configuration)
        assert there.up and there.values and (there.values, there.error) == (here.values, here.error)
        assert there.at.tzinfo is not None


def test_an_unreachable_host_neither_passes_nor_has_numbers(there: Target, host: Host) -> None:
    there.move_to(host, port=9)
    result = _checked("log", there.spec, there)
    assert result.result is Result.ERROR and "cannot be reached" in result.output
    reading = metric_sources.source("command").read(
        there.spec, metric_sources.source("command").parameters.model_validate(SOURCES["command"])
    )
    assert not reading.up and "cannot be reached" in reading.error


def test_only_secrets_of_the_host_are_sent_to_it(there: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[dict[str, Any]] = []
    passed = call.converse

    def listens(place: Any, key: str, root: Any, request: dict[str, Any], **how: Any) -> dict[str, Any]:
        sent.append(request)
        return passed(place, key, root, request, **how)

    monkeypatch.setattr(call, "converse", listens)
    own = (there.configuration["SECRET"], "the-key-of-the-repository", *there.spec.ssh_key.splitlines())
    there.step("command", there.context(secrets=own), argv=("echo", "the-key-of-the-repository"))
    assert sent[0]["secrets"] == [there.configuration["SECRET"]]
    assert "ssh" not in sent[0]["target"]["settings"]
    assert "the-key-of-the-repository" not in str({**sent[0], "parameters": {}})
    assert b"****" in there.shown, "it is masked here all the same"
