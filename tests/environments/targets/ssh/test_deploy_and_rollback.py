"""The whole deployment and rollback, on this machine and on a host: same facts, same effects, same end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest

from environments.targets.measured import measure
from environments.targets.service_proof import running_service
from environments.targets.target import journal_lines
from environments.targets.written_rows import written_since
from tests.releases.step_types import conftest
from tests.releases.step_types.conftest import Host, Target, Versions

OUT: tuple[tuple[str, dict[str, Any]], ...] = (
    ("backup", {}),
    ("maintenance_mode", {"on": True}),
    ("code_deploy", {}),
    ("database_update", {}),
    ("configuration_update", {}),
    ("service_control", {"action": "restart"}),
)
BACK: tuple[tuple[str, dict[str, Any]], ...] = (
    ("service_control", {"action": "stop"}),
    ("code_deploy", {"direction": "rollback"}),
    ("database_update", {"direction": "rollback", "rollback_method": "restore"}),
    ("configuration_update", {"direction": "rollback"}),
    ("service_control", {"action": "start"}),
    ("maintenance_mode", {"on": False}),
)


def walk(target: Target) -> dict[str, Any]:
    """Deploy and roll back; return the result of every step, the measurements, the counts and the journal."""
    facts: dict[str, dict[str, Any]] = {}
    results: dict[str, Any] = {"before": asdict(measure(target.spec, target.configuration))}
    for number, (name, parameters) in enumerate(OUT, 1):
        facts[name] = results[f"out {name}"] = target.step(
            name, target.context(f"1/{number}/x", earlier=dict(facts)), **parameters
        )
    results["between"] = asdict(measure(target.spec, target.configuration))
    target.sql("INSERT INTO dataset SELECT n, 'late ' || n FROM generate_series(100, 102) n")
    results["written"] = written_since(target.spec, target.configuration, facts)
    for number, (name, parameters) in enumerate(BACK, 11):
        said = target.step(name, target.back(f"1/{number}/x", facts), **parameters)
        results[f"back {number} {name}"] = said
    results["after"] = asdict(measure(target.spec, target.configuration))
    results["runs"] = running_service(target.spec.root) is not None
    results["journal"] = [line["effect"] for line in journal_lines(target.here)]
    return results


def comparable(facts: Any) -> Any:
    """Return the facts without parts that differ between targets: places, processes, times, snapshots, addresses."""
    own = {"pid", "stopped", "started_at", "ready_seconds", "snapshot", "snapshot_before", "snapshot_after", "sha256"}
    own |= {"dump", "folder", "bytes", "configuration", "configuration_before", "configuration_digest"}
    if isinstance(facts, dict):
        return {name: type(value).__name__ if name in own else comparable(value) for name, value in facts.items()}
    return facts


@pytest.fixture
def two(
    tmp_path: Any, versions: Versions, new_database: Callable[[], str], host: Host, request: pytest.FixtureRequest
) -> tuple[Target, Target]:
    """The old version deployed on two targets: on this machine, and on a host."""
    made = []
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        steps = conftest._target(tmp_path / name, versions, new_database())
        made.append(next(steps))
        request.addfinalizer(lambda steps=steps: next(steps, None))
        made[-1].install_old()
        made[-1].step("service_control", made[-1].context("0/9/x", wanted=versions.old), action="start")
    made[1].move_to(host)
    return made[0], made[1]


@pytest.mark.timeout(400)
def test_deployment_and_rollback_are_equal_locally_and_over_ssh(two: tuple[Target, Target]) -> None:
    here, there = (walk(target) for target in two)
    assert comparable(there) == comparable(here)
    for results in (here, there):
        assert results["after"] == results["before"] != results["between"]
        assert results["written"] == ({"dataset": 3}, True) and results["runs"]
        assert results["back 13 database_update"]["written_since"] == {"dataset": 3}
    assert all(target.configuration["SECRET"].encode() not in target.shown for target in two)
