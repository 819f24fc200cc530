"""One worker has a step at a time: claim, lease, fencing_token; and the one-time effects of a first claim."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from django.db import connection

from audit.actor import acting
from audit.clock import now
from audit.ledger.link import link_pending
from audit.models import Event
from audit.operation import operation
from audit.refusals import GateNotPassed
from environments.models import ChangeFreeze
from environments.targets.base import Fenced
from releases.models import ApprovalRequest, Deployment, Release, Step, StepAttempt
from releases.operations.deployment.enqueue import AHEAD, enqueue
from releases.operations.deployment.schedule import cancel
from releases.operations.step.claim import claim
from releases.operations.step.outcome import fail, mark_unknown, record_success
from releases.worker.executor import run_from
from tests.releases.gates.asking import COMMAND, alter, make, walk

from .conftest import TRUE, WORKER, expire, first, row, states


def rows_of(deployment: Deployment) -> list[Any]:
    """All values that an outcome could change."""
    return [
        list(Deployment.objects.filter(pk=deployment.pk).values()),
        list(Step.objects.filter(deployment=deployment).order_by("pk").values()),
        list(StepAttempt.objects.filter(step__deployment=deployment).order_by("pk").values()),
    ]


def test_an_operation_locks_the_row_that_it_names_and_none_that_orders_it(
    database: str, queued: Callable[..., Deployment]
) -> None:
    deployment = queued(row(TRUE))
    ask = "SELECT FROM {} WHERE id = %s FOR UPDATE NOWAIT"
    with acting(WORKER), operation("step:wait", (Step, first(deployment).pk)):
        with psycopg.connect(database) as other:
            other.execute(ask.format("releases_deployment"), [deployment.pk])
            with pytest.raises(psycopg.errors.LockNotAvailable):
                other.execute(ask.format("releases_step"), [first(deployment).pk])


def test_a_second_claim_is_dropped(queued: Callable[..., Deployment]) -> None:
    deployment = queued(row(TRUE))
    with acting(WORKER):
        taken = claim(first(deployment).pk, worker="one")
        assert taken is not None and (taken.fencing_token, taken.taken_over) == (1, False)
        assert claim(first(deployment).pk, worker="two") is None
    step = first(deployment)
    assert (step.owner, step.fencing_token, step.state) == ("one", 1, "running")
    assert step.attempts.count() == 1


def test_a_claim_long_before_the_scheduled_start_is_dropped(queued: Callable[..., Deployment], world: Any) -> None:
    deployment = alter(queued(row(TRUE)), scheduled_start_at=now() + timedelta(hours=1))
    with acting(WORKER):
        assert claim(first(deployment).pk, worker="one") is None
    assert (world.fresh(deployment).state, states(deployment)) == ("queued", ["ready", "pending"])


def test_a_deployment_rolled_back_while_its_worker_waits_is_dropped_silently(
    queued: Callable[..., Deployment], world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment = alter(queued(row(TRUE)), scheduled_start_at=now() + AHEAD)
    step = first(deployment)

    def sleep(seconds: float) -> None:
        if Step.objects.filter(pk=step.pk).exists():
            with world.acting_as("developer"):
                cancel(deployment.pk, reason="not now")
        time.sleep(seconds)

    monkeypatch.setattr("releases.operations.step.claim.time", SimpleNamespace(sleep=sleep))
    with acting(WORKER):
        assert claim(step.pk, worker="one") is None
    assert world.fresh(deployment).state == "cancelled"
    assert not Event.objects.filter(operation="step:claim").exists()


def test_one_of_four_concurrent_claims_succeeds(queued: Callable[..., Deployment]) -> None:
    step = first(queued(row(TRUE)))
    ready, got = threading.Barrier(4), []

    def grab(name: str) -> None:
        try:
            with acting(WORKER):
                ready.wait(20)
                got.append(claim(step.pk, worker=name))
        finally:
            connection.close()

    threads = [threading.Thread(target=grab, args=(f"w{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(got) == 4 and sum(taken is not None for taken in got) == 1
    assert StepAttempt.objects.filter(step=step).count() == 1


def test_a_step_out_of_turn_or_of_an_unknown_number_is_dropped(queued: Callable[..., Deployment]) -> None:
    deployment = queued(row(TRUE), row(TRUE))
    with acting(WORKER):
        assert claim(deployment.steps.get(ordinal=2).pk, worker="one") is None
        assert claim(987654321, worker="one") is None
    assert states(deployment) == ["ready", "pending", "pending"]


def test_a_ready_step_waits_until_all_before_it_are_finished(queued: Callable[..., Deployment]) -> None:
    """Also when a process marks it ready too early."""
    deployment = queued(row(TRUE), row(TRUE))
    second = deployment.steps.get(ordinal=2)
    walk(second, "mark_ready")
    with acting(WORKER):
        claim(first(deployment).pk, worker="one")
        assert claim(second.pk, worker="two") is None


def test_an_expired_lease_is_reclaimed_under_a_higher_fencing_token(queued: Callable[..., Deployment]) -> None:
    deployment = queued(row(TRUE))
    with acting(WORKER):
        claim(first(deployment).pk, worker="one")
        expire(first(deployment))
        taken = claim(first(deployment).pk, worker="two")
    assert taken is not None and (taken.fencing_token, taken.taken_over) == (2, True)
    step = first(deployment)
    assert (step.owner, step.fencing_token) == ("two", 2) and step.lease_until > now()
    assert list(step.attempts.values_list("fencing_token", "outcome")) == [(1, "worker_lost"), (2, "")]


def test_an_outcome_under_an_old_fencing_token_is_refused_and_changes_nothing(
    queued: Callable[..., Deployment],
) -> None:
    deployment = queued(row(TRUE))
    with acting(WORKER):
        claim(first(deployment).pk, worker="one")
        expire(first(deployment))
        claim(first(deployment).pk, worker="two")
        kept = rows_of(deployment)
        for outcome in (
            lambda: record_success(first(deployment), fencing_token=1, result={"late": True}),
            lambda: fail(first(deployment), fencing_token=1, message="late"),
            lambda: mark_unknown(first(deployment), fencing_token=1, message="late"),
            lambda: record_success(first(deployment), fencing_token=3, result={}),
        ):
            with pytest.raises(Fenced):
                outcome()
            assert rows_of(deployment) == kept
        record_success(first(deployment), fencing_token=2, result={"by": "two"})
        kept = rows_of(deployment)
        with pytest.raises(Fenced):
            record_success(first(deployment), fencing_token=2, result={"by": "two, again"})
        assert rows_of(deployment) == kept
    assert first(deployment).result == {"by": "two"}


def test_the_first_claim_uses_the_approval_and_starts_the_release(
    approved_deployment: Callable[..., Deployment],
) -> None:
    deployment = approved_deployment(row(TRUE))
    approval_request = deployment.approval_request
    assert approval_request is not None and approval_request.state == "approved"
    with acting(WORKER):
        enqueue(deployment.pk)
        assert ApprovalRequest.objects.get(pk=approval_request.pk).state == "approved", "not by queueing"
        claim(first(deployment).pk, worker="one")
    assert ApprovalRequest.objects.get(pk=approval_request.pk).state == "used"
    release = Release.objects.get(pk=deployment.release_id)
    assert release.state == "releasing"
    started = Deployment.objects.get(pk=deployment.pk)
    assert (started.state, started.previous["wanted_tree"]) == ("running", release.tree)


def test_a_second_deployment_on_the_same_approval_is_refused(
    world: Any, approved_deployment: Callable[..., Deployment]
) -> None:
    """Single use: an approved deployment cannot start a second time."""
    deployment = approved_deployment(row(TRUE))
    with acting(WORKER):
        enqueue(deployment.pk)
        claim(first(deployment).pk, worker="one")
    walk(deployment, "fail", "resolve")
    second = make(
        Deployment,
        release=deployment.release,
        application=deployment.application,
        environment=deployment.environment,
        approval_request=deployment.approval_request,
        requested_by=world.people["operator"],
        scheduled_by=world.people["operator"],
        scheduled_start_at=now(),
        scheduled_end_at=deployment.scheduled_end_at,
    )
    walk(second, "schedule")
    with acting(WORKER), pytest.raises(GateNotPassed, match="has been used"):
        enqueue(second.pk)
    assert not second.steps.exists()


def test_a_gate_that_fails_before_the_claim_returns_the_deployment_to_scheduled(
    world: Any, approved_deployment: Callable[..., Deployment]
) -> None:
    deployment = approved_deployment(row(TRUE))
    with acting(WORKER):
        enqueue(deployment.pk)
    make(
        ChangeFreeze,
        name="storm",
        environment=deployment.environment,
        starts_at=now() - timedelta(seconds=1),
        ends_at=now() + timedelta(hours=1),
        reason="the line is down",
    )
    with acting(WORKER):
        run_from(first(deployment).pk)
    deployment = world.fresh(deployment)
    assert deployment.state == "scheduled" and any("storm" in reason for reason in deployment.blockers)
    assert deployment.not_before >= now() + timedelta(seconds=55)
    assert not deployment.steps.exists()
    assert world.fresh(deployment.approval_request).state == "approved", "nothing ran, so nothing was used"
    assert world.fresh(deployment.release).state == "final_check_completed"


def test_content_that_changed_after_queueing_is_not_started(
    world: Any, approved_deployment: Callable[..., Deployment]
) -> None:
    deployment = approved_deployment(row(TRUE))
    with acting(WORKER):
        enqueue(deployment.pk)
    alter(deployment.release, rollback_pre_authorised=True)
    with acting(WORKER):
        run_from(first(deployment).pk)
    deployment = world.fresh(deployment)
    assert deployment.state == "scheduled" and any(
        "pre-authorised rollback" in reason for reason in deployment.blockers
    )


def test_the_previous_version_is_recorded_at_the_claim(world: Any, queued: Callable[..., Deployment]) -> None:
    from tests.releases.gates.asking import mark_deployed

    pointer = mark_deployed(world, "1.2.0", environment="development")
    deployment = queued(row(TRUE))
    with acting(WORKER):
        claim(first(deployment).pk, worker="one")
    assert world.fresh(deployment).previous["deployed_version"]["version"] == "1.2.0"
    assert world.fresh(deployment).previous["deployed_version"]["configuration"] == pointer.configuration_id
    with acting(COMMAND), operation("test:read", (Deployment, deployment.pk)) as op:
        assert op.get(Deployment).baseline["metrics"] == {}


def test_the_worker_that_ends_a_step_claims_the_next_one_in_the_same_commit(queued: Callable[..., Deployment]) -> None:
    """Two operations with their own events, one after the other in the ledger, in one transaction."""
    deployment = queued(row(TRUE), row(TRUE))
    with acting(WORKER):
        taken = claim(first(deployment).pk, worker="one")
        assert taken is not None
        following = record_success(taken.step, fencing_token=1, result={}, worker="one")
        assert following is not None and claim(following.pk, worker="two") is None
    second = deployment.steps.get(ordinal=2)
    assert (second.state, second.owner, second.fencing_token) == ("running", "one", 1) and second.lease_until > now()
    assert list(second.attempts.values_list("fencing_token", "worker", "ended_at")) == [(1, "one", None)]
    link_pending(connection)
    events = Event.objects.filter(object=f"releases.Step:{second.pk}").exclude(outcome="inserted")
    (its_row,) = events.filter(kind="row")
    (operation_event,) = events.filter(kind="operation")
    ended = Event.objects.get(object=f"releases.Step:{taken.step.pk}", kind="operation", operation="step:succeed")
    assert (its_row.operation, operation_event.operation, its_row.operation_id) == (
        "step:claim",
        "step:claim",
        operation_event.operation_id,
    )
    assert (
        ended.operation_id != operation_event.operation_id
        and ended.tx == operation_event.tx
        and ended.ledger_entry.number < its_row.ledger_entry.number
    )


def test_a_stopped_deployment_offers_no_next_step(queued: Callable[..., Deployment]) -> None:
    deployment = queued(row(TRUE), row(TRUE))
    with acting(WORKER):
        taken = claim(first(deployment).pk, worker="one")
        assert taken is not None
        assert walk(deployment, "stop").state == "stopping"
        assert record_success(taken.step, fencing_token=1, result={}, worker="one") is None
    assert states(deployment) == ["succeeded", "cancelled", "cancelled"]
