"""Steps that hold no worker: a manual step, and a pause that the row itself keeps."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from audit.actor import acting
from audit.clock import now
from audit.models import Event
from audit.operation import operation
from audit.refusals import InvalidInput, NotPermitted, NotPossible
from releases.models import DecisionRequest, Deployment, Step
from releases.operations.deployment import decide
from releases.operations.deployment.enqueue import enqueue
from releases.operations.step import resume
from releases.operations.step.confirm_manual import assign, confirm_manual
from releases.worker.executor import run_from
from releases.worker.poll import idle_steps, stopping_deployments
from tests.releases.gates.asking import alter
from tests.releases.operations.notifying import forget, make_notifications, only

from .conftest import TRUE, WORKER, expire, first, jobs, row, states
from .test_executor import lost_attempt


def manual(**parameters: Any) -> dict[str, Any]:
    return {**row(TRUE), "step_type": "manual", "parameters": {"task": "Switch the load balancer", **parameters}}


def wait(**parameters: Any) -> dict[str, Any]:
    return {**row(TRUE), "step_type": "wait", "parameters": parameters}


@pytest.mark.parametrize("who", [{"person": "developer"}, {"role": "operator"}])
def test_a_manual_step_waits_for_its_named_person_and_holds_no_worker(
    world: Any, approved_deployment: Callable[..., Deployment], who: dict[str, str]
) -> None:
    deployment = approved_deployment(row(TRUE), manual(**who), row(TRUE))
    with acting(WORKER):
        enqueue(deployment.pk)
        run_from(first(deployment).pk)  # returns: no worker is held
    second, named = deployment.steps.get(ordinal=2).pk, who.get("person", "second_operator")
    assert (world.fresh(deployment).state, states(deployment)) == (
        "awaiting_decision",
        ["succeeded", "outcome_unknown", "pending", "pending"],
    )
    decision_request = DecisionRequest.objects.get(deployment=deployment)
    assert decision_request.step_id == second and decision_request.answered_at is None
    assert world.fresh(deployment).blockers == [Step.objects.get(pk=second).failure]
    # `operator` has the role, but has scheduled the deployment; the manager has neither the name nor the role.
    for name in {"operator", "manager", "auditor", "ci", "outsider"} - {named}:
        with world.acting_as(name), pytest.raises(NotPermitted):
            confirm_manual(second, reason="done")
    with (
        world.acting_as("second_operator"),
        pytest.raises(NotPossible, match="This step must be confirmed by the person or role that the step names"),
    ):
        resume.mark_succeeded(second, reason="I saw it")
    with world.acting_as(named):
        with pytest.raises(InvalidInput):
            confirm_manual(second, reason=" ")
        confirm_manual(second, reason="switched to B at the console")
    done = Step.objects.get(pk=second)
    assert done.state == "succeeded" and done.result["note"] == "switched to B at the console" and done.failure == ""
    assert done.attempts.get().outcome == "asked"
    assert DecisionRequest.objects.get(deployment=deployment).answer == "step:confirm_manual"
    with acting(WORKER):
        run_from(deployment.steps.get(ordinal=3).pk)
    assert (world.fresh(deployment).state, states(deployment)) == ("verifying", ["succeeded"] * 4)


@pytest.mark.parametrize(
    ("who", "notified"), [({"person": "developer"}, {"developer"}), ({"role": "tester"}, {"tester"})]
)
def test_the_named_person_is_notified_beside_the_first_of_the_team(
    world: Any, approved_deployment: Callable[..., Deployment], who: dict[str, str], notified: set[str]
) -> None:
    deployment = approved_deployment(manual(**who), row(TRUE))
    only(("deployment:await_decision", None, "admin"))
    forget()
    with acting(WORKER):
        enqueue(deployment.pk)
        run_from(first(deployment).pk)
    (notification,) = (one for one in make_notifications() if one.event == "deployment:await_decision")
    messages = list(notification.inbox_items.all())
    assert {message.account.username for message in messages} == notified | {"second_operator"}
    assert all("Switch the load balancer" in message.words["body"] for message in messages)


def test_the_named_person_stays_the_same_when_the_identity_provider_renames(
    world: Any, approved_deployment: Callable[..., Deployment]
) -> None:
    deployment = approved_deployment(manual(person="developer"), row(TRUE))
    only(("deployment:await_decision", None, "admin"))
    forget()
    alter(world.people["developer"], username="married")
    with acting(WORKER):
        enqueue(deployment.pk)
        run_from(first(deployment).pk)
    (notification,) = (one for one in make_notifications() if one.event == "deployment:await_decision")
    assert world.people["developer"].pk in notification.inbox_items.values_list("account", flat=True)
    with world.acting_as("developer"):
        confirm_manual(first(deployment).pk, reason="done")


def test_a_manual_step_is_asked_in_a_lower_tier_and_may_be_the_last_step(
    world: Any, queued: Callable[..., Deployment]
) -> None:
    deployment = queued(row(TRUE), manual(person="developer"))
    with acting(WORKER):
        run_from(first(deployment).pk)
    assert world.fresh(deployment).state == "awaiting_decision"
    with world.acting_as("developer"):
        confirm_manual(deployment.steps.get(ordinal=2).pk, reason="done")
    assert world.fresh(deployment).state == "verifying"
    with acting(WORKER):
        run_from(deployment.steps.get(ordinal=3).pk)
    assert world.fresh(deployment).state == "succeeded"


def test_a_manual_step_is_claimed_by_one_person_and_reclaimed_with_a_reason(
    world: Any, queued: Callable[..., Deployment]
) -> None:
    deployment = queued(manual(role="operator"))
    with acting(WORKER):
        run_from(first(deployment).pk)
    step = first(deployment).pk
    with world.acting_as("developer"), pytest.raises(NotPermitted):
        assign(step)
    with world.acting_as("operator"):
        assert assign(step).assignee == world.people["operator"]
        with pytest.raises(NotPossible, match="already"):
            assign(step)
    with world.acting_as("second_operator"):
        with pytest.raises(NotPermitted, match="Operator has claimed this step"):
            confirm_manual(step, reason="done")
        with pytest.raises(InvalidInput, match="Say why you take it over"):
            assign(step)
        assign(step, reason="the operator has gone home")
        confirm_manual(step, reason="done")
    taken = Event.objects.filter(kind="operation", operation="step:assign").latest("at")
    assert taken.contents["after"]["taken_over_from"] == "Operator"
    assert first(deployment).state == "succeeded" and first(deployment).assignee == world.people["second_operator"]
    with world.acting_as("operator"), pytest.raises(NotPossible):
        assign(step, reason="late")


def test_a_worker_that_dies_before_it_asks_costs_no_attempt(world: Any, queued: Callable[..., Deployment]) -> None:
    from releases.operations.step.claim import claim

    deployment = queued(manual(person="developer"))
    with acting(WORKER):
        claim(first(deployment).pk, worker="dies")
        expire(first(deployment))
        run_from(first(deployment).pk)
    assert (world.fresh(deployment).state, DecisionRequest.objects.filter(deployment=deployment).count()) == (
        "awaiting_decision",
        1,
    )


def test_a_manual_step_can_be_stopped_and_marked_as_failed(world: Any, queued: Callable[..., Deployment]) -> None:
    deployment = queued(manual(person="developer"), row(TRUE))
    with acting(WORKER):
        run_from(first(deployment).pk)
    with world.acting_as("operator"):
        decide.stop(deployment.pk, reason="wrong version")
    assert (world.fresh(deployment).state, states(deployment)) == ("stopped", ["failed", "cancelled", "cancelled"])
    with world.acting_as("developer"), pytest.raises(NotPossible):
        confirm_manual(first(deployment).pk, reason="done")


def test_a_pause_is_kept_by_its_row_and_ends_by_the_databases_clock(
    world: Any, queued: Callable[..., Deployment]
) -> None:
    deployment = queued(wait(seconds=600), row(TRUE))
    with acting(WORKER):
        run_from(first(deployment).pk)  # returns: no worker is held
        step = first(deployment)
        assert (step.state, step.owner, world.fresh(deployment).state) == ("running", "", "running")
        assert step.lease_until == step.started_at + timedelta(seconds=600)
        idle_steps(now())
        run_from(step.pk)  # a wake-up that came too early is dropped
        assert first(deployment).fencing_token == 1 and jobs("development")[1:] == []
        with operation("test:ten_minutes_pass", (Step, step.pk)) as op:
            op.get(Step).started_at -= timedelta(seconds=601)
        expire(step)
        idle_steps(now())
        assert jobs("development")[-1] == ("releases.jobs.run_step", {"step_id": step.pk})
        run_from(step.pk)
    assert (world.fresh(deployment).state, states(deployment)) == ("succeeded", ["succeeded"] * 3)
    assert list(first(deployment).attempts.values_list("fencing_token", "outcome")) == [
        (1, "waiting"),
        (2, "succeeded"),
    ]


def test_a_pause_that_is_over_before_it_begins_is_skipped(world: Any, queued: Callable[..., Deployment]) -> None:
    deployment = queued(wait(until="2020-01-01T00:00+09:00"), row(TRUE))
    with acting(WORKER):
        run_from(first(deployment).pk)
    assert (world.fresh(deployment).state, first(deployment).fencing_token) == ("succeeded", 1)


def test_a_stop_ends_a_pause_at_once(world: Any, queued: Callable[..., Deployment]) -> None:
    deployment = queued(wait(seconds=600), row(TRUE))
    with acting(WORKER):
        run_from(first(deployment).pk)
    with world.acting_as("operator"):
        decide.stop(deployment.pk, reason="wrong version")
    assert (world.fresh(deployment).state, states(deployment)) == ("stopped", ["stopped", "cancelled", "cancelled"])
    with acting(WORKER):
        stopping_deployments(now())
        run_from(first(deployment).pk)
    assert states(deployment) == ["stopped", "cancelled", "cancelled"]


def test_a_retry_makes_one_more_attempt_of_an_unrepeatable_step(
    world: Any, approved_deployment: Callable[..., Deployment], tmp_path: Path
) -> None:
    """A person looked and decided for one attempt; if that one is lost, a person looks again."""
    seen, flag = tmp_path / "seen", tmp_path / "repaired"
    script = f"import os; open({str(seen)!r}, 'a').write('x'); raise SystemExit(not os.path.exists({str(flag)!r}))"
    deployment = approved_deployment(row(["/usr/bin/env", "python3", "-c", script]), row(TRUE))
    with acting(WORKER):
        enqueue(deployment.pk)
        run_from(first(deployment).pk)
    assert (states(deployment)[0], seen.read_text()) == ("failed", "x")
    with world.acting_as("second_operator"):
        resume.retry(first(deployment).pk, reason="the disk is free now")
    with acting(WORKER):
        lost_attempt(first(deployment))
        assert seen.read_text() == "xx"
        run_from(first(deployment).pk)
    assert (states(deployment)[0], seen.read_text()) == ("outcome_unknown", "xx")
    flag.touch()
    with world.acting_as("second_operator"):
        resume.retry(first(deployment).pk, reason="nothing of it is there")
    with acting(WORKER):
        run_from(first(deployment).pk)
    assert (states(deployment)[0], seen.read_text()) == ("succeeded", "xxx")
