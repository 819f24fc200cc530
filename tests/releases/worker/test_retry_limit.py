"""Automatic attempts fail three times at most: then people are asked, and other rows have their turn."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from audit.actor import acting
from audit.clock import now
from audit.models import Event
from audit.refusals import InvalidInput, NotPermitted
from releases.jobs import run_step
from releases.models import Deployment, PollFailure, Step
from releases.operations.deployment.request import request
from releases.operations.deployment.schedule import schedule
from releases.operations.poll.retry_limit import TRIES, resume, with_retry_limit
from releases.queries.notification_subject import is_done
from releases.worker import executor, poll
from tests.releases.gates.asking import alter
from tests.releases.operations.notifying import forget, make_notifications, only

from .conftest import TRUE, WORKER, first, plan, row, states


@pytest.fixture
def due(world: Any) -> Callable[..., Deployment]:
    """Return a function: a due deployment of a version, in development, that can be queued."""

    def make(version: str, hours: int = 0) -> Deployment:
        release = alter(world.planned(version), step_plan=plan(row(TRUE)))
        world.evidence(version)
        with world.acting_as("developer"):
            deployment = request(release.pk, environment_id=world.environments["development"].pk)
            schedule(deployment.pk, at=now() + timedelta(hours=hours) if hours else None)
        return deployment

    return make


def approval_requests(number: int) -> None:
    with acting(WORKER):
        for _ in range(number):
            poll.due_deployments(now() + timedelta(seconds=1))


def test_after_three_failures_people_are_asked_instead_of_a_retry(world: Any, due: Callable[..., Deployment]) -> None:
    only(("poll:suspend", None, "admin"))
    deployment = due("1.3.0")
    alter(deployment.release, step_plan={})  # no steps can be laid
    forget()
    approval_requests(TRIES - 1)
    assert PollFailure.objects.get().suspended_at is None and make_notifications() == []
    approval_requests(3)
    failure = PollFailure.objects.get()
    assert (failure.part, failure.deployment, failure.tries) == ("enqueue", deployment, TRIES)
    assert failure.error == "KeyError: 'deployment'" and failure.suspended_at is not None
    assert Event.objects.filter(kind="operation", operation="poll:suspend").count() == 1
    (notification,) = make_notifications()
    assert (
        "KeyError" in notification.texts["en"]["body"] and "Enqueue deployment" in notification.texts["en"]["subject"]
    )
    assert notification.path == f"/admin/operation/poll/resume/{failure.pk}/"
    assert world.people["operator"] in {message.account for message in notification.inbox_items.all()}
    assert not is_done(failure)


def test_a_failing_row_delays_no_other(world: Any, due: Callable[..., Deployment]) -> None:
    broken, sound = due("1.3.0"), due("1.4.0", hours=1)
    alter(broken.release, step_plan={})
    with acting(WORKER):
        poll.due_deployments(now() + timedelta(hours=1))
    assert (world.fresh(broken).state, world.fresh(sound).state) == ("scheduled", "queued")


def test_a_database_refusal_of_one_row_affects_that_row_alone(world: Any) -> None:
    def divide() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 / 0")

    with acting(WORKER):
        for _ in range(TRIES + 1):
            assert with_retry_limit("milestone", "releases.Milestone:1", divide) is None
    assert PollFailure.objects.get().error.startswith("DataError")


def test_the_kept_error_shows_no_password_of_an_address(world: Any) -> None:
    def fail() -> None:
        raise ValueError("no answer of 'https://reader:s3cret-word@host.example/path'")

    with acting(WORKER):
        with_retry_limit("reminder", "audit.Event:1", fail)
    assert PollFailure.objects.get().error == "ValueError: no answer of 'https://reader:****@host.example/path'"


def test_an_attempt_that_kills_its_process_counts(world: Any) -> None:
    tried = []

    def die() -> None:
        tried.append(1)
        raise SystemExit

    with acting(WORKER):
        for _ in range(TRIES):
            with pytest.raises(SystemExit):
                with_retry_limit("rollback", "releases.Rollback:1", die, beforehand=True)
        for _ in range(2):
            assert with_retry_limit("rollback", "releases.Rollback:1", die, beforehand=True) is None
    assert len(tried) == TRIES
    failure = PollFailure.objects.get()
    assert failure.suspended_at is not None and failure.error == "The process ended at each attempt."


def test_a_success_clears_earlier_failures(world: Any, due: Callable[..., Deployment]) -> None:
    deployment = due("1.3.0")
    kept = deployment.release.step_plan
    alter(deployment.release, step_plan={})
    approval_requests(TRIES - 1)
    alter(deployment.release, step_plan=kept)
    approval_requests(1)
    assert world.fresh(deployment).state == "queued" and not PollFailure.objects.exists()


def test_a_person_permits_new_attempts(world: Any, due: Callable[..., Deployment]) -> None:
    deployment = due("1.3.0")
    kept = deployment.release.step_plan
    alter(deployment.release, step_plan={})
    approval_requests(TRIES)
    failure = PollFailure.objects.get()
    alter(deployment.release, step_plan=kept)
    approval_requests(1)
    assert world.fresh(deployment).state == "scheduled"
    with world.acting_as("auditor"), pytest.raises(NotPermitted):
        resume(failure.pk, reason="the plan is there again")
    with world.acting_as("operator"), pytest.raises(InvalidInput):
        resume(failure.pk, reason=" ")
    with world.acting_as("operator"):
        resume(failure.pk, reason="the plan is there again")
    assert is_done(world.fresh(failure))
    approval_requests(1)
    assert world.fresh(deployment).state == "queued" and not PollFailure.objects.exists()


def test_a_step_that_cannot_be_claimed_asks(
    world: Any, queued: Callable[..., Deployment], monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment = queued(row(TRUE))
    with monkeypatch.context() as broken:
        broken.setattr(executor, "claim", _asserts)
        for _ in range(TRIES + 2):
            run_step(first(deployment).pk)
    failure = PollFailure.objects.get(part="claim", deployment=deployment)
    assert failure.suspended_at is not None and failure.error == "AssertionError: no gate answers"
    run_step(first(deployment).pk)
    assert states(deployment) == ["ready", "pending"]
    with world.acting_as("operator"):
        resume(failure.pk, reason="mended")
    run_step(first(deployment).pk)
    assert Step.objects.filter(deployment=deployment, state="succeeded").count() == 2


def _asserts(*_given: Any, **_named: Any) -> None:
    raise AssertionError("no gate answers")
