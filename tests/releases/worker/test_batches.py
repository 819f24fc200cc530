"""Batches of several targets, their approval and length, and what counts of several measurements."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from audit.refusals import InvalidInput
from environments.models import DeploymentTarget
from releases.check_types.base import CheckResult, Result
from releases.gates.content import target_digest
from releases.gates.durations import durations
from releases.metric_sources.collection import Looked
from releases.metric_sources.triggers import Slot, evaluate, firing
from releases.operations.target.set_settings import create_target
from releases.procedures.process import Process, Strategy
from releases.queries.step_waves import lay_out
from releases.worker.dry_run import dry_run
from releases.worker.measurement import worst_of
from releases.worker.monitoring_checks import worst
from tests.releases.gates.asking import alter

from .conftest import TRUE, plan, row
from .several import Site, below as below, production as production


def batched(*sizes: str) -> Process:
    """Return a process without variables that deploys in batches of these sizes."""
    return Process(format=1, strategy=Strategy(batches=sizes))


@pytest.mark.parametrize(
    ("sizes", "batches"),
    [
        (("1", "100%"), [1, 3]),
        (("25%",), [1, 1, 1, 1]),
        (("30%", "100%"), [2, 2]),
        (("2",), [2, 2]),
        (("9",), [4]),
        (("1", "50%", "100%"), [1, 2, 1]),
    ],
)
def test_sizes_of_batches(sizes: tuple[str, ...], batches: list[int]) -> None:
    targets = [DeploymentTarget(pk=number, name=f"t{number}") for number in range(4)]
    laid = lay_out([("deployment", row(TRUE))], targets, batched(*sizes))
    assert [sum(one.batch == number for one in laid) for number in range(1, len(batches) + 1)] == batches
    assert [one.target.pk for one in laid] == [0, 1, 2, 3]
    back = lay_out([("rollback", row(TRUE))], targets, batched(*sizes), {0, 3})
    assert [one.target.pk for one in back] == ([0, 3] if len(batches) == 1 else [3, 0])


def test_a_rollback_has_no_step_on_a_first_target_that_was_not_touched() -> None:
    """A person's step belongs to no target, and stays."""
    targets = [DeploymentTarget(pk=number, name=f"t{number}") for number in range(3)]
    once = row(TRUE) | {"on": "first"}
    person = row(TRUE) | {"step_type": "manual"}
    rows = [("rollback", once), ("rollback", row(TRUE)), ("rollback", person)]
    laid = lay_out(rows, targets, batched("1"), {2})
    assert [(one.target.pk, one.row["step_type"]) for one in laid] == [(2, once["step_type"]), (0, "manual")]
    laid = lay_out(rows, targets, batched("1"), {0, 2})
    assert [one.target.pk for one in laid] == [0, 2, 0, 0]


def test_the_approval_is_of_all_targets(world: Any, production: Site) -> None:
    application, environment = world.application, world.environments["production"]
    before = target_digest(application, environment)
    alter(production.targets[2], options={**production.targets[2].options, "log": "other.log"})
    assert target_digest(application, environment) != before
    alter(production.targets[1], group="db")
    assert len({before, target_digest(application, environment)}) == 2


def test_another_name_makes_another_target(world: Any, tmp_path: Path) -> None:
    place = {"application_id": world.application.pk, "environment_id": world.environments["development"].pk}
    with world.acting_as("operator"):
        with pytest.raises(InvalidInput, match="already has a deployment target “main”"):
            create_target(**place, root=str(tmp_path / "x"), settings={})
        made = create_target(**place, root=str(tmp_path / "x"), settings={}, name="second", group="web")
    assert str(made).endswith("· second") and made.group == "web"


def test_the_time_that_is_needed_counts_each_target(world: Any, below: Site) -> None:
    release = alter(world.planned(), step_plan=plan(row(TRUE), row(TRUE) | {"on": "first"}))
    known = durations(release, world.environments["development"].pk)
    assert known.needed(release.step_plan, ["deployment"]).seconds == 3 + 1


def test_the_dry_run_names_each_target(world: Any, below: Site) -> None:
    deployment = below.queued()
    found = dry_run(deployment.release, deployment.environment)
    assert [step.target for step in found if step.phase == "deployment"] == ["main", "b", "c"]
    assert [step.target for step in found if step.phase == "rollback"] == ["b", "c", "main"]


TRIGGERS: list[dict[str, Any]] = [
    {
        "key": "errors",
        "metric": "error_rate",
        "comparison": "absolute",
        "limit": "0.5",
        "critical": True,
        "k": 2,
        "n": 2,
    },
    {"key": "down", "metric": "service_down", "comparison": "absolute", "limit": "1", "critical": True, "k": 2, "n": 2},
]


def test_a_bad_target_raises_the_alarm_while_another_gives_no_data() -> None:
    """At night one target gets no request: its silence hides no error of the other, and passes none."""

    def measured(rate: float) -> dict[str, Any]:
        found = {
            name: Looked(datetime.now(UTC), True, {"error_rate": value, "service_down": 0}, {}, {})
            for name, value in {"a": rate, "b": None}.items()
        }
        return evaluate(TRIGGERS, worst_of(found, TRIGGERS, {}).values, {})

    slots = [Slot(60.0 * place, measured(1.0)) for place in range(2)]
    assert [trigger["key"] for trigger in firing(TRIGGERS, slots, {}, 60)] == ["errors"]
    assert measured(0.1)["error_rate"] == {"value": None, "limit": 0.5, "result": "no_data"}


def test_of_measurements_the_worst_counts() -> None:
    def looked(up: bool, **values: float | None) -> Looked:
        unreadable = {name: "error" for name, value in values.items() if value is None}
        return Looked(datetime.now(UTC), up, values, unreadable, {"s": 1}, "" if up else "down")

    both = worst_of(
        {"a": looked(True, error_rate=0.1, service_down=0), "b": looked(True, error_rate=0.4, service_down=0)},
        TRIGGERS,
        {},
    )
    assert (both.values["error_rate"], both.up, set(both.raw)) == (0.4, True, {"a", "b"})
    one_down = worst_of(
        {"a": looked(True, error_rate=0.1, service_down=0), "b": looked(False, error_rate=None, service_down=1)},
        TRIGGERS,
        {},
    )
    assert one_down.values == {"error_rate": None, "service_down": 1} and one_down.unreadable == {"error_rate": "error"}
    assert not one_down.up and one_down.error == "b: down"


def test_of_checks_the_worst_counts() -> None:
    passed, failed = CheckResult(Result.PASSED, "0"), CheckResult(Result.FAILED, "3", output="ERROR x")
    unread = CheckResult(Result.ERROR, output="no such file")
    assert worst({"a": passed}) is passed
    assert worst({"a": passed, "b": failed}).result is Result.FAILED
    assert worst({"a": unread, "b": failed}).result is Result.FAILED
    assert worst({"a": passed, "b": unread}).result is Result.ERROR
    assert worst({"a": passed, "b": failed}).output == "b: ERROR x"
