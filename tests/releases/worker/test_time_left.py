"""切戻し判断時刻: a run waits before the step after which the rollback would no longer fit into its window."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse

from audit.actor import acting
from audit.clock import now
from audit.models import Event
from audit.refusals import GateNotPassed, NotPermitted, NotPossible
from releases.models import DecisionRequest, Deployment
from releases.operations.deployment import decide
from releases.operations.deployment.enqueue import enqueue
from releases.operations.step.claim import claim
from releases.operations.step.outcome import record_success
from releases.worker.executor import run_from
from releases.worker.poll import idle_steps
from tests.releases.gates.asking import alter

from .conftest import TRUE, WORKER, first, jobs, row, states

LONG = {**row(TRUE), "estimate_seconds": 600}


@pytest.fixture
def closing(world: Any, consented: Callable[..., Deployment]) -> Callable[[int], Deployment]:
    """Return a function: a run of a short and a long step, queued, whose window closes after some seconds."""

    def make(seconds: int) -> Deployment:
        run = consented(row(TRUE), LONG)
        with acting(WORKER):
            enqueue(run.pk)
        return alter(run, scheduled_end_at=now() + timedelta(seconds=seconds))  # type: ignore[no-any-return]

    return make


def work(run: Deployment, ordinal: int = 1) -> None:
    with acting(WORKER):
        run_from(run.steps.get(ordinal=ordinal).pk)


def begin(run: Deployment) -> None:
    """Let a worker make the first step and die before it takes the next."""
    with acting(WORKER):
        taken = claim(first(run).pk, worker="worker-1")
        assert taken is not None
        record_success(taken.step, fencing_token=taken.fencing_token, result={})


def test_what_fits_is_not_held(world: Any, closing: Callable[[int], Deployment]) -> None:
    run = closing(900)
    work(run)
    assert world.fresh(run).state == "verifying" and not DecisionRequest.objects.exists()


def test_it_is_held_before_the_step_and_asks_until_the_rollback_no_longer_fits(
    world: Any, closing: Callable[[int], Deployment], browsers: Callable[[str], Any]
) -> None:
    run = closing(300)
    work(run)
    held = world.fresh(run)
    assert (held.state, states(run)[:2]) == ("awaiting_decision", ["succeeded", "on_hold"])
    step = run.steps.get(ordinal=2)
    assert (
        step.fencing_token == 0
        and "the rollback decision time. From then on a rollback no longer fits" in step.failure == held.blockers[0]
    )
    question = DecisionRequest.objects.get(deployment=run)
    assert question.step == step and question.due_at == run.scheduled_end_at - timedelta(seconds=2)
    html = browsers("second_operator").get(reverse("deployment", args=[run.pk])).content.decode()
    assert 'data-verb="step:start_anyway"' in html and 'data-verb="step:retry"' not in html
    with world.acting_as("operator"), pytest.raises(NotPermitted):
        decide.start_anyway(step.pk, reason="my own run")
    alter(run.release, scheduled_end_at=run.scheduled_end_at)
    with world.acting_as("second_operator"), pytest.raises(GateNotPassed, match="no longer fit before"):
        decide.start_anyway(step.pk, reason="the way out would not fit either")
    assert world.fresh(question).answered_at is None


def test_a_person_may_begin_it_where_the_way_out_still_fits(world: Any, closing: Callable[[int], Deployment]) -> None:
    run = closing(500)
    work(run)
    step = run.steps.get(ordinal=2)
    assert step.state == "on_hold"
    alter(run.release, scheduled_end_at=now() + timedelta(seconds=602))
    with world.acting_as("second_operator"):
        decide.start_anyway(step.pk, reason="the rest is harmless")
    assert world.fresh(run).state == "running" and DecisionRequest.objects.get().answer == "step:start_anyway"
    work(run, 2)
    assert world.fresh(run).state == "verifying", "asked once"


def test_a_step_that_nobody_took_in_time_is_held_when_it_is_taken(
    world: Any, closing: Callable[[int], Deployment]
) -> None:
    run = closing(900)
    begin(run)
    assert states(run)[:2] == ["succeeded", "ready"]
    alter(run, scheduled_end_at=now() + timedelta(seconds=300))
    work(run, 2)
    assert (world.fresh(run).state, states(run)[1]) == ("awaiting_decision", "on_hold")
    assert Event.objects.filter(kind="operation", operation="step:hold").count() == 1
    idle_steps(now() + timedelta(minutes=5))
    assert not [job for job in jobs("production") if job[1] == {"step_id": run.steps.get(ordinal=2).pk}]
    with world.acting_as("second_operator"), pytest.raises(NotPossible):
        decide.mark_succeeded(first(run).pk, reason="another step")


def test_after_a_persons_word_the_next_step_is_held_instead_of_the_word_refused(
    world: Any, consented: Callable[..., Deployment]
) -> None:
    run = consented({**row(["/bin/false"]), "required": False}, LONG)
    with acting(WORKER):
        enqueue(run.pk)
    work(run)
    ends = now() + timedelta(seconds=602)
    alter(run.release, scheduled_end_at=ends)
    alter(run, scheduled_end_at=ends)
    with world.acting_as("second_operator"):
        decide.skip(first(run).pk, reason="done by hand")
    assert states(run)[:2] == ["skipped", "ready"]
    work(run, 2)
    assert (world.fresh(run).state, states(run)[1]) == ("awaiting_decision", "on_hold")


def test_an_emergency_is_not_held(world: Any, closing: Callable[[int], Deployment]) -> None:
    run = closing(900)
    begin(run)
    alter(run.release, kind="emergency")
    alter(run, scheduled_end_at=now() + timedelta(seconds=300))
    work(run, 2)
    assert world.fresh(run).state == "verifying"
