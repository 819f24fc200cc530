"""The bar of a run inside its window: where it is, what is still planned, and 切戻し判断時刻."""

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


def _run(**given: Any) -> Any:
    plan = {"deployment": [{**STEP, "estimate_seconds": 1800}], "rollback": [{**STEP, "estimate_seconds": 3600}]}
    kept = {
        "started_at": BEGIN, "scheduled_start_at": BEGIN, "scheduled_end_at": BEGIN + 4 * HOUR, "ended_at": None, "state": "running",
        "release": SimpleNamespace(step_plan=plan, _durations={1: Durations()}), "environment_id": 1,
    }  # fmt: skip
    return SimpleNamespace(**{**kept, **given})


def _steps(*states: str) -> Any:
    return [SimpleNamespace(phase="deployment", state=s, estimate_seconds=1800, ended_at=None, **STEP) for s in states]


def test_a_running_run_shows_what_is_past_and_what_is_planned() -> None:
    """One hour of four is over and half an hour of work is left; the rollback takes the last hour."""
    bar = window_bar(_run(), _steps("succeeded", "running"), BEGIN + HOUR)
    assert bar is not None
    assert (bar.elapsed, bar.planned, bar.decide, bar.now, bar.late) == (25.0, 12.5, 75.0, 25.0, False)
    assert bar.decide_by == BEGIN + 3 * HOUR


def test_it_says_when_the_plan_reaches_over_the_decision_time() -> None:
    """Ten minutes before it half an hour does not fit any more."""
    bar = window_bar(_run(), _steps("running"), BEGIN + 3 * HOUR - timedelta(minutes=10))
    assert bar is not None and bar.late


def test_a_run_that_has_ended_stands_still() -> None:
    """Nothing is planned any more, and now is not on the bar once the window is over."""
    deployment = _run(state="succeeded", ended_at=BEGIN + HOUR)
    bar = window_bar(deployment, _steps("succeeded"), BEGIN + 9 * HOUR)
    assert bar is not None
    assert (bar.elapsed, bar.planned, bar.now, bar.late) == (25.0, 0.0, None, False)


@pytest.mark.parametrize("lacking", ["scheduled_end_at", "hours"])
def test_without_window_or_hour_there_is_no_bar(lacking: str) -> None:
    """A run of staging that was only requested."""
    given = (
        {"scheduled_end_at": None}
        if lacking == "scheduled_end_at"
        else {"started_at": None, "scheduled_start_at": None}
    )
    assert window_bar(_run(**given), [], BEGIN) is None
