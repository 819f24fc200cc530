"""Copies of the tree for whole demos, production deployments for the kill tests, and the table that is printed at the
end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from config.queue_server import queue_settings
from tests.chaos.running import Point, Running, queues_url, step
from tests.chaos.tree import Tree, copied
from tests.releases.conftest import World, sample_repository, world, world_template
from tests.releases.gates.asking import open_to_programs

__all__ = ["sample_repository", "world", "world_template"]


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    """A copy of the working tree; nothing of it is left running."""
    made = copied(tmp_path / "tree")
    yield made
    made.remove()


@pytest.fixture
def point(tmp_path: Path) -> Iterator[Point]:
    """A place where one process of the test is held."""
    made = Point(tmp_path / "point")
    yield made
    made.close()


@pytest.fixture
def scheduled_deployment(
    world: World, database: str, tmp_path: Path, settings: Any
) -> Iterator[Callable[[list[dict[str, Any]]], Running]]:
    """Return a function: schedule a production deployment of these steps for now, with approval and all gates
    passed.
    """
    where = queue_settings(queues_url(), settings.SENTINEL_PASSWORD)
    settings.RQ_QUEUES = {name: {**row, **where} for name, row in settings.RQ_QUEUES.items()}
    started: list[Running] = []

    def begin(forward: list[dict[str, Any]]) -> Running:
        _plan_instead(world, forward)
        open_to_programs(world.targets["production"], tmp_path)
        deployment = world.scheduled()
        root = Path(world.targets["production"].root)
        started.append(Running(database, deployment, root, tmp_path))
        started[-1].redis.flushdb()
        return started[-1]

    yield begin
    for running in started:
        running.end()


def _plan_instead(world: World, forward: list[dict[str, Any]]) -> None:
    """Put these steps in the place of the procedure's plan before approval is requested."""
    from audit.operation import operation
    from releases.models import Release

    tested = world.tested

    def with_plan(*given: Any, **options: Any) -> Any:
        release = tested(*given, **options)
        with world.acting_as("manager"), operation("release:edit", (Release, release.pk)) as op:
            back = [
                step(row["step_type"], direction="rollback") for row in forward if row["step_type"] == "database_update"
            ]
            op.get(Release).step_plan = {
                "deployment": forward,
                "verification": [],
                "rollback": back,
                "rollback_verification": [],
            }
        return world.fresh(release)

    world.tested = with_plan


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the rows that the tests recorded: sabotage, what was broken, which chapters were false, what was said."""
    reports = [report for key in ("passed", "failed") for report in terminalreporter.stats.get(key, ())]
    rows = [value for report in reports for name, value in report.user_properties if name == "row"]
    if rows:
        terminalreporter.section("sabotage")
    for chapter, what, false, said in rows:
        terminalreporter.write_line(f"{chapter:<10} {what:<50} false: {false:<12} {said}")
