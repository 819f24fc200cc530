"""The bar of a deployment inside its window: its position, the remaining plan, and the decision time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from releases.admin.pages.deployment.window_bar import window_bar
from releases.gates.durations import Durations

BEGIN = datetime(2026, 12, 15, 16, tzinfo=UTC)
HOUR = timedelta(hours=1)
STEP = {"step_type": "command", "label_ja": "命令"}


def _deployment(**given: Any) -> Any:
    plan = {"deployment": [{**STEP, "estimate_seconds": 1800}], "rollback": [{**STEP, "estimate_seconds": 3600}]}
    kept = {
        "started_at": BEGIN,
        "scheduled_start_at": BEGIN,
        "scheduled_end_at": BEGIN + 4 * HOUR,
        "ended_at": None,
        "state": "running",
        "release": SimpleNamespace(step_plan=plan, _durations={1: Durations()}),
        "environment_id": 1,
    }
    return SimpleNamespace(**{**kept, **given})


def _steps(*states: str) -> Any:
    return [SimpleNamespace(phase="deployment", state=s, estimate_seconds=1800, ended_at=None, **STEP) for s in states]


def test_a_running_deployment_shows_past_and_planned_time() -> None:
    """One hour of four is over and half an hour of work is left; the rollback takes the last hour."""
    bar = window_bar(_deployment(), _steps("succeeded", "running"), BEGIN + HOUR)
    assert bar is not None
    assert (bar.elapsed, bar.planned, bar.decide, bar.now, bar.late) == (25.0, 12.5, 75.0, 25.0, False)
    assert bar.decide_by == BEGIN + 3 * HOUR


def test_the_bar_marks_a_plan_beyond_the_decision_time() -> None:
    """Ten minutes before it, half an hour of work no longer fits."""
    bar = window_bar(_deployment(), _steps("running"), BEGIN + 3 * HOUR - timedelta(minutes=10))
    assert bar is not None and bar.late


def test_a_finished_deployment_shows_a_fixed_bar() -> None:
    """No work is planned, and the present time is not on the bar once the window is over."""
    deployment = _deployment(state="succeeded", ended_at=BEGIN + HOUR)
    bar = window_bar(deployment, _steps("succeeded"), BEGIN + 9 * HOUR)
    assert bar is not None
    assert (bar.elapsed, bar.planned, bar.now, bar.late) == (25.0, 0.0, None, False)


@pytest.mark.parametrize("lacking", ["scheduled_end_at", "hours"])
def test_a_deployment_without_window_or_start_has_no_bar(lacking: str) -> None:
    """A deployment to staging that was only requested."""
    given = (
        {"scheduled_end_at": None}
        if lacking == "scheduled_end_at"
        else {"started_at": None, "scheduled_start_at": None}
    )
    assert window_bar(_deployment(**given), [], BEGIN) is None
