"""A step that ends its worker three times asks a person, whatever the cause and the phase, and follows the decision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from audit.actor import acting
from releases.models import DecisionRequest, Deployment, Rollback, Step
from releases.operations.deployment.enqueue import enqueue
from releases.operations.rollback.start import retry
from releases.operations.step import outcome as outcomes, resume
from releases.operations.step.claim import ATTEMPTS, Exhausted, claim
from releases.worker.executor import run_from

from .conftest import TRUE, WORKER, expire, first, row, states
from .test_pinned_procedure import deploy_earlier, rolled_back

AGAIN = row(TRUE, repeatable=True)


def die(step: Step, times: int = 1) -> None:
    """Let workers claim a step and die with it: no outcome, and the lease ends."""
    for _ in range(times):
        taken = claim(step.pk, worker="dies")
        assert taken is not None
        expire(step)


def outcomes_of(step: Step) -> list[str]:
    return list(step.attempts.order_by("fencing_token").values_list("outcome", flat=True))


def test_after_three_dead_workers_a_person_is_asked_and_no_worker_claims_the_step(
    world: Any, approved_deployment: Callable[..., Deployment]
) -> None:
    deployment = approved_deployment(AGAIN)
    with acting(WORKER):
        enqueue(deployment.pk)
        die(first(deployment), ATTEMPTS)
        with pytest.raises(Exhausted):
            claim(first(deployment).pk, worker="a fourth")
        run_from(first(deployment).pk)
        run_from(first(deployment).pk)
    assert (world.fresh(deployment).state, states(deployment)[0]) == ("awaiting_decision", "outcome_unknown")
    assert outcomes_of(first(deployment)) == ["worker_lost", "worker_lost", "unknown"]
    assert "ended 3 times without an outcome" in first(deployment).failure
    assert DecisionRequest.objects.get(answered_at=None).step == first(deployment)


def test_a_retry_has_three_attempts_of_its_own(world: Any, approved_deployment: Callable[..., Deployment]) -> None:
    deployment = approved_deployment(AGAIN)
    with acting(WORKER):
        enqueue(deployment.pk)
        die(first(deployment), ATTEMPTS)
        run_from(first(deployment).pk)
    with world.acting_as("second_operator"):
        resume.retry(first(deployment).pk, reason="the machine has more memory now")
    with acting(WORKER):
        die(first(deployment), ATTEMPTS)
        run_from(first(deployment).pk)
    assert outcomes_of(first(deployment)) == ["worker_lost", "worker_lost", "unknown"] * 2
    with world.acting_as("second_operator"):
        resume.retry(first(deployment).pk, reason="once more")
    with acting(WORKER):
        die(first(deployment))
        run_from(first(deployment).pk)
    assert (states(deployment), world.fresh(deployment).state) == (["succeeded", "succeeded"], "verifying")


@pytest.mark.parametrize("place", ["_following", "_phase_ends"])
def test_an_exception_after_the_effect_asks_with_its_message(
    world: Any, approved_deployment: Callable[..., Deployment], monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    deployment = approved_deployment(AGAIN)
    with acting(WORKER):
        enqueue(deployment.pk)
        with monkeypatch.context() as broken:
            broken.setattr(outcomes, place, _asserts)
            for _ in range(ATTEMPTS):
                with pytest.raises(AssertionError):
                    run_from(first(deployment).pk)
                expire(first(deployment))
            run_from(first(deployment).pk)
    assert (world.fresh(deployment).state, states(deployment)[0]) == ("awaiting_decision", "outcome_unknown")
    assert "AssertionError: seven is not eight" in first(deployment).failure
    with world.acting_as("second_operator"):
        resume.mark_succeeded(first(deployment).pk, reason="seen on the target")
    with acting(WORKER):
        run_from(deployment.steps.get(ordinal=2).pk)
    assert (states(deployment), world.fresh(deployment).state) == (["succeeded", "succeeded"], "verifying")


def _asserts(*_given: Any, **_named: Any) -> None:
    raise AssertionError("seven is not eight")


def test_a_lower_tier_fails_and_can_be_rolled_back(world: Any, queued: Callable[..., Deployment]) -> None:
    deploy_earlier(world, "development")
    deployment = queued(AGAIN)
    with acting(WORKER):
        die(first(deployment), ATTEMPTS)
        run_from(first(deployment).pk)
    assert world.fresh(deployment).state == "failed"
    assert rolled_back(world, deployment).state == "monitoring"


@pytest.mark.parametrize("ordinal", [3, 4], ids=["rollback", "verification of the rollback"])
def test_the_rollback_of_a_draft_asks_too_and_continues_when_retried(
    world: Any, queued: Callable[..., Deployment], monkeypatch: pytest.MonkeyPatch, ordinal: int
) -> None:
    """The last step's operation proves (`complete`) or ends a rollback: an exception there ends the worker."""
    deploy_earlier(world, "development")
    deployment = queued(AGAIN)
    with acting(WORKER):
        run_from(first(deployment).pk)
    with monkeypatch.context() as broken:
        broken.setattr(outcomes, "complete" if ordinal == 3 else "complete_verification", _asserts)
        with pytest.raises(AssertionError):
            rolled_back(world, deployment)
        alarm, step = Rollback.objects.get(deployment=deployment), deployment.steps.get(ordinal=ordinal)
        with acting(WORKER):
            for _ in range(ATTEMPTS - 1):
                expire(step)
                with pytest.raises(AssertionError):
                    run_from(step.pk)
            expire(step)
            run_from(step.pk)
    assert (world.fresh(alarm).state, world.fresh(step).state) == ("failed", "outcome_unknown")
    assert outcomes_of(step) == ["worker_lost", "worker_lost", "unknown"]
    with world.acting_as("operator"):
        retry(alarm.pk, reason="the fault is mended")
    with acting(WORKER):
        run_from(step.pk)
    assert (world.fresh(alarm).state, world.fresh(deployment).state) == ("monitoring", "rolled_back")


def test_an_attempt_at_a_locked_target_counts_as_no_death(world: Any, queued: Callable[..., Deployment]) -> None:
    deployment = queued(AGAIN)
    with acting(WORKER):
        for _ in range(ATTEMPTS + 1):
            taken = claim(first(deployment).pk, worker="waits")
            assert taken is not None
            outcomes.wait_for_target(taken.step, fencing_token=taken.fencing_token)
            assert claim(first(deployment).pk, worker="too early") is None
            expire(first(deployment))
        run_from(first(deployment).pk)
    assert outcomes_of(first(deployment)) == ["still_running"] * (ATTEMPTS + 1) + ["succeeded"]
    assert world.fresh(deployment).state == "succeeded"
