"""The rollback decision time: a deployment waits before the step after which the rollback would no longer fit into
its window.
"""

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
from releases.operations.deployment.enqueue import enqueue
from releases.operations.step import resume
from releases.operations.step.claim import claim
from releases.operations.step.outcome import record_success
from releases.worker.executor import run_from
from releases.worker.poll import idle_steps
from tests.releases.gates.asking import alter

from .conftest import TRUE, WORKER, first, jobs, row, states

LONG = {**row(TRUE), "estimate_seconds": 600}


@pytest.fixture
def closing(world: Any, approved_deployment: Callable[..., Deployment]) -> Callable[[int], Deployment]:
    """Return a function: a deployment of a short and a long step, queued, whose window closes after some seconds."""

    def make(seconds: int) -> Deployment:
        deployment = approved_deployment(row(TRUE), LONG)
        with acting(WORKER):
            enqueue(deployment.pk)
        return alter(deployment, scheduled_end_at=now() + timedelta(seconds=seconds))

    return make


def work(deployment: Deployment, ordinal: int = 1) -> None:
    with acting(WORKER):
        run_from(deployment.steps.get(ordinal=ordinal).pk)


def begin(deployment: Deployment) -> None:
    """Let a worker make the first step and die before it claims the next."""
    with acting(WORKER):
        taken = claim(first(deployment).pk, worker="worker-1")
        assert taken is not None
        record_success(taken.step, fencing_token=taken.fencing_token, result={})


def test_a_step_that_fits_is_not_held(world: Any, closing: Callable[[int], Deployment]) -> None:
    deployment = closing(900)
    work(deployment)
    assert world.fresh(deployment).state == "verifying" and not DecisionRequest.objects.exists()


def test_a_step_is_held_and_asks_until_the_rollback_no_longer_fits(
    world: Any, closing: Callable[[int], Deployment], browsers: Callable[[str], Any]
) -> None:
    deployment = closing(300)
    work(deployment)
    held = world.fresh(deployment)
    assert (held.state, states(deployment)[:2]) == ("awaiting_decision", ["succeeded", "on_hold"])
    step = deployment.steps.get(ordinal=2)
    assert (
        step.fencing_token == 0
        and "the rollback decision time. From then on a rollback no longer fits" in step.failure == held.blockers[0]
    )
    decision_request = DecisionRequest.objects.get(deployment=deployment)
    assert decision_request.step == step and decision_request.due_at == deployment.scheduled_end_at - timedelta(
        seconds=2
    )
    html = browsers("second_operator").get(reverse("deployment", args=[deployment.pk])).content.decode()
    assert 'data-verb="step:start_anyway"' in html and 'data-verb="step:retry"' not in html
    with world.acting_as("operator"), pytest.raises(NotPermitted):
        resume.start_anyway(step.pk, reason="my own run")
    alter(deployment.release, scheduled_end_at=deployment.scheduled_end_at)
    with world.acting_as("second_operator"), pytest.raises(GateNotPassed, match="no longer fit before"):
        resume.start_anyway(step.pk, reason="the way out would not fit either")
    assert world.fresh(decision_request).answered_at is None


def test_a_person_may_start_a_held_step_while_the_deployment_still_fits(
    world: Any, closing: Callable[[int], Deployment]
) -> None:
    deployment = closing(500)
    work(deployment)
    step = deployment.steps.get(ordinal=2)
    assert step.state == "on_hold"
    alter(deployment.release, scheduled_end_at=now() + timedelta(seconds=602))
    with world.acting_as("second_operator"):
        resume.start_anyway(step.pk, reason="the rest is harmless")
    assert world.fresh(deployment).state == "running" and DecisionRequest.objects.get().answer == "step:start_anyway"
    work(deployment, 2)
    assert world.fresh(deployment).state == "verifying", "asked once"


def test_a_step_offered_too_late_is_held_when_it_is_claimed(world: Any, closing: Callable[[int], Deployment]) -> None:
    deployment = closing(900)
    begin(deployment)
    assert states(deployment)[:2] == ["succeeded", "ready"]
    alter(deployment, scheduled_end_at=now() + timedelta(seconds=300))
    work(deployment, 2)
    assert (world.fresh(deployment).state, states(deployment)[1]) == ("awaiting_decision", "on_hold")
    assert Event.objects.filter(kind="operation", operation="step:hold").count() == 1
    idle_steps(now() + timedelta(minutes=5))
    assert not [job for job in jobs("production") if job[1] == {"step_id": deployment.steps.get(ordinal=2).pk}]
    with world.acting_as("second_operator"), pytest.raises(NotPossible):
        resume.mark_succeeded(first(deployment).pk, reason="another step")


def test_after_a_persons_decision_the_next_step_is_held_instead_of_refused(
    world: Any, approved_deployment: Callable[..., Deployment]
) -> None:
    deployment = approved_deployment({**row(["/bin/false"]), "required": False}, LONG)
    with acting(WORKER):
        enqueue(deployment.pk)
    work(deployment)
    ends = now() + timedelta(seconds=602)
    alter(deployment.release, scheduled_end_at=ends)
    alter(deployment, scheduled_end_at=ends)
    with world.acting_as("second_operator"):
        resume.skip(first(deployment).pk, reason="done by hand")
    assert states(deployment)[:2] == ["skipped", "ready"]
    work(deployment, 2)
    assert (world.fresh(deployment).state, states(deployment)[1]) == ("awaiting_decision", "on_hold")


def test_an_emergency_is_not_held(world: Any, closing: Callable[[int], Deployment]) -> None:
    deployment = closing(900)
    begin(deployment)
    alter(deployment.release, kind="emergency")
    alter(deployment, scheduled_end_at=now() + timedelta(seconds=300))
    work(deployment, 2)
    assert world.fresh(deployment).state == "verifying"
