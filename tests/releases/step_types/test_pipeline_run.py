"""A run of somebody else's pipeline: started once, followed, found again, cancelled; for each provider."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from environments.targets.base import (
    Fenced,
    NotProven,
    Overdue,
    Probe,
    StepContext,
    StepFailed,
    StopRequested,
    TargetSpec,
    Version,
)
from environments.targets.target import holding, journal_lines
from releases.sources import pipelines
from releases.step_types import by_name, pipeline_run
from tests.releases.step_types.pipeline_server import Server, serving

TOKEN = "token-word-1234"


class Place:
    """A target whose steps may call one provider, and attempts of one step."""

    def __init__(self, root: Path, provider: str, server: Server) -> None:
        root.mkdir()
        self.provider, self.server = provider, server
        self.spec = TargetSpec("sample", "production", root, {"http_hosts": [f"127.0.0.1:{server.port}"]})
        self.shown, self.attempts = bytearray(), 0

    def context(self, key: str = "1/1/x", **changes: Any) -> StepContext:
        self.attempts += 1
        given: dict[str, Any] = {
            "key": key,
            "fencing_token": self.attempts,
            "deployment_key": "deployment:1",
            "target": self.spec,
            "repository": "",
            "wanted": Version("1.1.0", "v1.1.0", "a" * 40, "b" * 40, "image", "registry.example/app", "d" * 64),
            "previous": None,
            "configuration": {"PIPELINE_TOKEN": TOKEN},
            "previous_configuration": {},
            "earlier": {},
            "deadline_seconds": 20,
            "output": self.shown.extend,
            "heartbeat": lambda: None,
            "secrets": (TOKEN,),
        }
        return StepContext(**(given | changes))

    def parameters(self, **given: Any) -> Any:
        usual: dict[str, Any] = {
            "provider": self.provider,
            "url": self.server.url,
            "inputs": {"version": "{version}", "image": "sha256:{digest}", "place": "{environment}"},
            "poll_seconds": 0.05,
        }
        if self.provider != "webhook":
            usual["project"] = "team/app"
        if self.provider == "github":
            usual["workflow"] = "deploy.yml"
        return by_name("pipeline_run").parameters.model_validate(usual | given)

    def run(self, context: StepContext | None = None, **given: Any) -> dict[str, Any]:
        return by_name("pipeline_run").run(context or self.context(), self.parameters(**given))

    def probe(self) -> Probe:
        return by_name("pipeline_run").probe(self.context(), self.parameters())[0]

    def effects(self) -> list[str]:
        return [line["effect"].removeprefix("pipeline_run:") for line in journal_lines(self.spec)]


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for a run that was asked for during less than a second."""
    monkeypatch.setattr(pipeline_run, "FIND_SECONDS", 0.4)


@pytest.fixture(params=sorted(pipelines.PROVIDERS))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with serving(request.param) as server:
        yield Place(tmp_path / "target", request.param, server)


def test_a_run_is_started_with_its_inputs_and_followed(place: Place) -> None:
    assert place.probe() is Probe.NOT_DONE
    facts = place.run()
    (run,) = place.server.runs
    assert (run.ref, run.key) == ("v1.1.0", "ringi-1-1-x")
    assert run.inputs | {"version": "1.1.0", "image": f"sha256:{'d' * 64}", "place": "production"} == run.inputs
    assert facts["says"] in ("success", "succeeded") and facts["url"].startswith(place.server.url)
    assert place.effects() == ["requested", "started", "done"] and place.probe() is Probe.DONE
    assert place.run() == facts and len(place.server.runs) == 1, "the same step starts no second one"
    expected = TOKEN if place.provider == "gitlab" else f"Bearer {TOKEN}"
    assert place.server.tokens == {expected}
    assert TOKEN not in bytes(place.shown).decode() + json.dumps(facts)


def test_a_run_gets_the_trace(place: Place) -> None:
    """As a header where the server is of one's own, and as an input that the plan names."""
    traceparent = f"00-{'a' * 32}-{'b' * 16}-01"
    place.run(place.context(traceparent=traceparent), inputs={"trace": "{traceparent}"})
    assert place.server.runs[0].inputs["trace"] == traceparent
    assert place.server.traces == ({traceparent} if place.provider == "webhook" else {None})
    place.run(place.context("1/2/x"), inputs={"trace": "{traceparent}"})
    assert place.server.runs[1].inputs["trace"] == "" and None in place.server.traces


def test_an_answer_that_does_not_tell_the_run_is_found_by_its_key(place: Place) -> None:
    place.server.tells, place.server.unlisted = False, 2
    place.run()
    assert len(place.server.runs) == 1 and place.effects() == ["requested", "started", "done"]


def test_a_worker_lost_while_it_runs_is_followed_by_the_next(place: Place) -> None:
    place.server.states = ("running", "running", "success")

    def lost() -> None:
        if "started" in place.effects():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        place.run(place.context(heartbeat=lost))
    assert not place.server.runs[0].cancelled
    place.run()
    assert len(place.server.runs) == 1 and place.effects() == ["requested", "started", "done"]


def test_a_worker_lost_before_it_knew_the_run_finds_it(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = pipeline_run.journal

    def lost(context: StepContext, effect: str, **facts: Any) -> None:
        if effect == pipeline_run.STARTED:
            raise KeyboardInterrupt
        kept(context, effect, **facts)

    monkeypatch.setattr(pipeline_run, "journal", lost)
    with pytest.raises(KeyboardInterrupt):
        place.run()
    monkeypatch.setattr(pipeline_run, "journal", kept)
    assert place.effects() == ["requested"]
    place.server.unlisted = 1
    place.run()
    assert len(place.server.runs) == 1, "no second run"


def test_a_run_that_cannot_be_found_asks_a_person_and_a_retry_starts_anew(place: Place) -> None:
    from releases.step_types.pipeline_run import REQUESTED, journal

    with holding(place.context()):
        journal(place.context(), REQUESTED)
    with pytest.raises(NotProven, match="ringi-1-1-x"):
        place.run()
    assert place.server.runs == []
    place.run()
    assert len(place.server.runs) == 1


@pytest.mark.parametrize("said", ["failure", "cancelled", "skipped"])
def test_only_success_passes(place: Place, said: str) -> None:
    place.server.states = ("running", said)
    with pytest.raises(StepFailed, match="ended as") as failed:
        place.run()
    assert failed.value.facts["url"] and place.probe() is Probe.NOT_DONE
    shown = bytes(place.shown).decode()
    place.server.states = ("success",)
    place.run()
    assert [run.key for run in place.server.runs] == ["ringi-1-1-x", "ringi-1-1-x-2"], "a retry asks for another run"
    assert {"github": "Upload: failure", "gitlab": "no space left", "webhook": "deploy: done"}[place.provider] in shown


def test_a_tag_that_was_moved_at_the_provider_is_not_deployed(place: Place) -> None:
    """The receiver of a webhook does not say which commit it runs."""
    place.server.commit, place.server.states = "c" * 40, ("success",)
    if place.provider == "webhook":
        place.run()
        return
    with pytest.raises(StepFailed, match="is of the commit cccccccccccc, and aaaaaaaaaaaa was approved"):
        place.run()
    assert place.server.runs[0].cancelled and place.effects() == ["requested", "started", "over"]
    place.run(ref="main")
    assert place.effects()[-1] == "done", "a branch says which pipeline deploys, and not what"


def test_a_stop_cancels_the_run(place: Place) -> None:
    place.server.states = ("running",)

    def stopped() -> None:
        if "started" in place.effects():
            raise StopRequested

    with pytest.raises(StopRequested):
        place.run(place.context(heartbeat=stopped))
    assert place.server.runs[0].cancelled


def test_a_stop_before_the_run_is_found_cancels_it(place: Place) -> None:
    """It was asked for, and would go on by itself."""
    place.server.tells, place.server.unlisted, place.server.states = False, 2, ("running",)

    def stopped() -> None:
        if "requested" in place.effects():
            raise StopRequested

    with pytest.raises(StopRequested):
        place.run(place.context(heartbeat=stopped))
    assert place.server.runs[0].cancelled and place.effects() == ["requested", "started", "over"]


def test_a_cancellation_that_is_refused_asks_a_person(place: Place) -> None:
    place.server.states = ("running",)

    def stopped() -> None:
        if "started" in place.effects():
            place.server.refuses = 9
            raise StopRequested

    with pytest.raises(NotProven, match="could not be cancelled"):
        place.run(place.context(heartbeat=stopped))
    assert not place.server.runs[0].cancelled and place.effects()[-1] == "started"


def test_a_run_that_takes_too_long_is_cancelled(place: Place) -> None:
    place.server.states = ("running",)
    with pytest.raises(Overdue):
        place.run(place.context(deadline_seconds=0.6))
    assert place.server.runs[0].cancelled


def test_a_provider_that_is_away_for_a_while_is_waited_for(place: Place) -> None:
    place.server.states = ("running", "running", "success")

    def away() -> None:
        if place.effects() == ["requested", "started"] and not place.server.refuses and not hasattr(place, "left"):
            place.server.refuses, place.left = 3, True

    place.run(place.context(heartbeat=away))
    assert place.effects()[-1] == "done"


def test_a_refused_start_fails_and_may_be_retried(place: Place) -> None:
    place.server.refuses = 1
    with pytest.raises(StepFailed, match="503"):
        place.run()
    place.run()
    assert len(place.server.runs) == 1


@pytest.mark.parametrize("status", [502, 504])
def test_a_start_to_which_a_gateway_answers_is_looked_for(place: Place, status: int) -> None:
    """The run may have begun: a failure would let a rollback, or a second run, go beside it."""
    place.server.gateway = status
    assert place.run()["url"] and len(place.server.runs) == 1
    place.server.gateway, place.server.unlisted = status, 999
    with pytest.raises(NotProven, match="Look there before a retry"):
        place.run(place.context("1/2/x"))


def test_a_host_that_is_not_listed_is_never_asked(place: Place) -> None:
    place.spec = TargetSpec("sample", "production", place.spec.root, {})
    kind = by_name("pipeline_run")
    for act in (kind.run, kind.describe):
        with pytest.raises(StepFailed, match="allowed outbound hosts"):
            act(place.context(), place.parameters())
    assert place.server.runs == []


def test_an_outdated_worker_is_refused_and_a_rollback_to_nothing_fails(place: Place) -> None:
    with holding(place.context(fencing_token=50)):
        pass
    with pytest.raises(Fenced):
        place.run(place.context(fencing_token=2))
    with pytest.raises(StepFailed, match="no earlier version"):
        place.run(place.context("1/9/x", wanted=None, fencing_token=60))
    assert place.server.runs == []


def test_the_dry_run_names_project_and_inputs(place: Place) -> None:
    lines = by_name("pipeline_run").describe(place.context(), place.parameters())
    assert lines[0].startswith(f"{place.provider} {place.server.url}") and lines[0].endswith("@ v1.1.0")
    assert "version=1.1.0" in lines


@pytest.mark.parametrize(
    "given",
    [{"provider": "github"}, {"provider": "github", "project": "a/b"}, {"provider": "gitlab"}, {"provider": "x"}],
)
def test_parameters_that_are_not_complete_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        by_name("pipeline_run").parameters.model_validate(given)


def test_the_key_of_one_step_is_not_taken_for_anothers(tmp_path: Path) -> None:
    """`ringi-1-1-x` is the beginning of `ringi-1-1-xy`."""
    with serving("github") as server:
        place = Place(tmp_path / "target", "github", server)
        server.begin("ringi-1-1-xy", "v1", {})
        server.tells = False
        began = time.monotonic()
        place.run()
        assert [run.key for run in server.runs] == ["ringi-1-1-xy", "ringi-1-1-x"] and time.monotonic() - began < 10
