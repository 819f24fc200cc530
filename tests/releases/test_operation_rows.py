"""The rows that an operation locks, changes and makes: named columns only, one time for all, the database's refusal."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import DatabaseError
from django.utils import timezone

from audit.actor import acting
from audit.clock import database_time, now
from audit.models import Event
from audit.operation import operation
from audit.refusals import AlreadyExists
from releases.models import Document, Release, Step, StepAttempt, StepOutput
from tests.releases.gates.asking import COMMAND


@pytest.fixture
def step(world: Any) -> Step:
    """A step that no worker has claimed, of a deployment in development."""
    from releases.operations.deployment.enqueue import enqueue
    from releases.operations.deployment.request import request
    from releases.operations.deployment.schedule import schedule

    release = world.planned()
    world.evidence("1.3.0")
    with world.acting_as("developer"):
        deployment = request(release.pk, environment_id=world.environments["development"].pk)
        schedule(deployment.pk)
    with acting(COMMAND):
        enqueue(deployment.pk)
    found: Step = deployment.steps.get(ordinal=1)
    return found


def test_an_update_writes_the_named_columns_as_django_does(step: Step) -> None:
    with acting(COMMAND), operation("test:write", (Step, step.pk)) as op:
        held = op.get(Step)
        held.result, held.lease_until, held.step_type = {"語": [1, None, "x"]}, now() + timedelta(1), step.step_type
        Step.objects.filter(pk=step.pk).update(failure="of somebody else")
    read = Step.objects.get(pk=step.pk)
    assert (read.result, read.lease_until) == (held.result, held.lease_until)
    assert read.failure == "of somebody else", "a column that was not changed is not written"


def test_a_missing_row_is_an_error(step: Step) -> None:
    gone = Step(pk=0, deployment_id=step.deployment_id)
    with acting(COMMAND), pytest.raises(DatabaseError, match="did not affect any rows"), operation("test:write") as op:
        op.track(gone, 0)
        gone.failure = "x"


def test_a_new_row_has_its_key_and_values(step: Step) -> None:
    made = StepAttempt(step=step, fencing_token=7, key="k", worker="w", started_at=now())
    with acting(COMMAND), operation("test:make") as op:
        op.to_insert.append(made)
    kept = StepAttempt.objects.get(pk=made.pk)
    assert (kept.step, kept.fencing_token, kept.key, kept.worker) == (step, 7, "k", "w")


def test_a_database_refusal_is_reported_for_its_own_statement(step: Step) -> None:
    """All are sent before the first answer is read: errors of later statements must not be reported."""
    again = [StepAttempt(step=step, fencing_token=7, key="k", worker="w", started_at=now()) for _ in range(2)]
    with (
        acting(COMMAND),
        pytest.raises(AlreadyExists, match="step, fencing token") as refused,
        operation("test:make") as op,
    ):
        op.to_insert += [*again, StepAttempt(step=step, fencing_token=8, key="k", worker="w", started_at=now())]
    assert refused.value.constraint == "attempt_fencing_token_once"
    assert (
        not StepAttempt.objects.exists() and not Event.objects.filter(operation="test:make", kind="operation").exists()
    )
    with acting(COMMAND), operation("test:make") as op:
        op.to_insert.append(again[0])
    assert StepAttempt.objects.count() == 1, "the connection goes on"


def test_a_model_with_snapshots_keeps_them(world: Any) -> None:
    release = world.planned()
    before = release.history.count()
    with acting(COMMAND), operation("test:write", (Release, release.pk)) as op:
        op.get(Release).title = "another"
    assert release.history.count() == before + 1


def test_the_time_of_an_operation_is_after_every_wait_and_equal_for_all_rows(step: Step, database: str) -> None:
    """A row of the operation that was waited for is never later than a row written afterwards."""
    waiting, seconds = threading.Event(), 0.7
    with psycopg.connect(database) as other:
        other.execute("SELECT FROM releases_step WHERE id = %s FOR UPDATE", [step.pk])
        threading.Thread(target=lambda: (waiting.wait(10), time.sleep(seconds), other.rollback())).start()
        began = now()
        waiting.set()
        with acting(COMMAND), operation("test:write", (Step, step.pk)) as op:
            first, _pause, second = now(), time.sleep(0.05), now()
            true, present = database_time(), op.now()
    assert (op.at - began).total_seconds() > seconds / 2
    assert first == second == op.at < true
    assert abs((true - present).total_seconds()) < 0.3
    assert now() > true


def test_output_written_with_an_outcome_has_the_time_of_the_operation(step: Step) -> None:
    with acting(COMMAND), operation("test:make", (Step, step.pk)) as op:
        time.sleep(0.05)
        written = StepOutput.objects.create(step=step, fencing_token=1, text="x")
    assert written.at == op.at


def test_a_wrong_clock_of_the_process_reaches_no_row_and_no_snapshot(
    step: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timezone, "now", lambda: database_time() + timedelta(hours=5))
    before, release_id = database_time(), step.deployment.release_id
    with acting(COMMAND), operation("test:make", (Release, release_id)) as op:
        document = Document.objects.create(release_id=release_id, kind=Document.Kind.REPORT)
        op.get(Release).title = "changed"
    assert document.updated_at == op.at
    assert before < Release.history.filter(id=release_id).latest().history_date < database_time()
