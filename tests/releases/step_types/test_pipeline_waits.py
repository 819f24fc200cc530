"""A run of GitHub that waits at an environment: Ringi lets the one of the approved commit go on, and no other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from environments.targets.base import NotProven, StepFailed, StopRequested
from releases.step_types import by_name, pipeline_run

from .pipeline_server import Started, serving
from .test_pipeline_run import Place


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with serving("github") as server:
        yield Place(tmp_path / "target", "github", server)


def run(place: Place, **changes: Any) -> dict[str, Any]:
    return place.run(place.context(**changes), inputs={}, waits_in="{environment}")


def waiting(place: Place, commit: str = "a" * 40, where: str = "production", event: str = "push") -> Started:
    """A run that has begun by itself and waits for a review."""
    made = place.server.begin("", "main", {})
    made.commit, made.waits_in, made.event = commit, where, event
    return made


def stopping(before: Callable[[], object]) -> Callable[[], None]:
    """A heartbeat that stops the step while it waits; the first one belongs to the target's lock."""
    beats = iter(range(1000))

    def beat() -> None:
        if next(beats):
            before()
            raise StopRequested

    return beat


def test_the_run_of_the_commit_is_approved_and_followed(place: Place) -> None:
    mine, other, below = waiting(place), waiting(place, "b" * 40), waiting(place, where="staging")
    facts = run(place)
    assert mine.comments == ["Ringi ringi-1-1-x"] and other.comments == below.comments == []
    assert facts["url"].endswith("/runs/1") and place.effects() == ["requested", "started", "done"]
    assert run(place) == facts and len(place.server.runs) == 3, "no run is started"


@pytest.mark.parametrize("event", ["pull_request", "pull_request_target", "workflow_run", "workflow_dispatch"])
def test_a_run_of_other_code_with_the_head_of_the_commit_is_not_approved(place: Place, event: str) -> None:
    """A pull request from the approved commit runs a merge with its base; one begun by hand has inputs of a person."""
    mine, newer = waiting(place), waiting(place, event=event)
    run(place)
    assert newer.comments == [] and mine.comments == ["Ringi ringi-1-1-x"]


def test_a_run_that_comes_to_its_environment_later_is_waited_for(place: Place) -> None:
    late = waiting(place, where="")
    beats = iter(range(1000))

    def arrives() -> None:
        if next(beats) == 3:
            late.waits_in = "production"

    run(place, heartbeat=arrives)
    assert late.comments == ["Ringi ringi-1-1-x"]


def test_a_worker_lost_after_the_approval_finds_the_run(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = pipeline_run.journal

    def lost(context: Any, effect: str, **facts: Any) -> None:
        if effect == pipeline_run.STARTED:
            raise KeyboardInterrupt
        kept(context, effect, **facts)

    first = waiting(place)
    monkeypatch.setattr(pipeline_run, "journal", lost)
    with pytest.raises(KeyboardInterrupt):
        run(place)
    monkeypatch.setattr(pipeline_run, "journal", kept)
    second = waiting(place)
    assert run(place)["url"].endswith("/runs/1")
    assert first.comments == ["Ringi ringi-1-1-x"] and second.comments == []


def test_nothing_is_approved_after_a_stop(place: Place) -> None:
    with pytest.raises(StopRequested):
        run(place, heartbeat=stopping(lambda: waiting(place)))
    assert [one.comments for one in place.server.runs] == [[]] and place.effects() == ["requested", "over"]


def test_a_stop_cancels_a_run_whose_approval_was_not_answered(place: Place) -> None:
    mine, place.server.tells = waiting(place), False

    with pytest.raises(StopRequested):
        run(place, heartbeat=stopping(lambda: None))
    assert mine.comments and mine.cancelled and "over" in place.effects()


def test_what_cannot_be_seen_after_a_stop_is_not_proven(place: Place) -> None:
    with pytest.raises(NotProven, match="is not known"):
        run(place, heartbeat=stopping(lambda: setattr(place.server, "refuses", 1)))


def test_without_a_run_the_step_fails_in_time(place: Place) -> None:
    waiting(place, "b" * 40)
    with pytest.raises(StepFailed, match="No run of aaaaaaaaaaaa waits at “production”"):
        run(place, deadline_seconds=1)
    assert place.effects() == ["requested", "over"]
    mine = waiting(place)
    run(place)
    assert mine.comments == ["Ringi ringi-1-1-x-2"], "a retry has a key of its own"


def test_the_dry_run_says_what_is_approved(place: Place) -> None:
    kind = by_name("pipeline_run")
    lines = kind.describe(place.context(), place.parameters(inputs={}, waits_in="{environment}"))
    assert lines[0].endswith("a" * 40) and lines[1] == "approve the run of the commit that waits at “production”"


@pytest.mark.parametrize("given", [{"inputs": {"a": "b"}}, {"provider": "gitlab"}, {"provider": "webhook"}])
def test_only_github_without_inputs_has_runs_that_wait(place: Place, given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="waits_in is for github"):
        place.parameters(**({"inputs": {}, "waits_in": "production"} | given))
