"""Rows read, changed and made by the operation's own statements are those that Django would read, change and make."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.apps import apps
from django.db import DatabaseError, connection, transaction
from django.db.models import prefetch_related_objects
from django.test.utils import CaptureQueriesContext

from audit import statements
from audit.actor import acting
from audit.clock import now
from audit.models import Event
from audit.operation import operation
from audit.refusals import AlreadyExists
from releases.models import Deployment, Release, Step, StepAttempt
from releases.operations.release import plan
from tests.releases.gates.asking import COMMAND


def values_of(row: Any) -> dict[str, Any]:
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}


def test_a_locked_row_is_as_django_reads_it(world: Any) -> None:
    world.tested()
    met = set()
    for model in apps.get_models():
        if model._meta.app_label not in ("environments", "releases") or not model._meta.managed:
            continue
        if model._meta.pk.name == "history_id":
            continue  # a snapshot, which no role of a process may change and so none locks
        row = model._base_manager.first()
        if row is None:
            continue
        met.add(model.__name__)
        with transaction.atomic():
            locked = statements.lock(model, row.pk)()
        assert locked is not None and values_of(locked) == values_of(row), model
        assert not locked._state.adding and locked._state.db == "default"
    assert {"Release", "Account", "Environment", "Procedure", "Evidence", "ChangeWindow", "DeploymentTarget"} <= met


def test_what_is_read_along_is_what_django_would_prefetch(world: Any) -> None:
    """Every row in the same order, each knowing whose it is, and a narrower question is still asked about that row alone."""
    from releases.admin.pages.release.page import BELONGING
    from releases.models import ChangeEntry

    release, _round = world.confirmed()
    with world.acting_as("manager"):
        another = plan.plan(application_id=world.application.pk, version="1.4.0", title="another")
        plan.add_change(another.pk, kind="fix", text="another's")
    row, like = Release.objects.get(pk=release.pk), Release.objects.get(pk=release.pk)
    statements.read_along(row, BELONGING)
    prefetch_related_objects([like], *BELONGING.split())
    met = set()
    with CaptureQueriesContext(connection) as caught:
        for name in BELONGING.split():
            found, wanted = list(getattr(row, name).all()), list(getattr(like, name).all())
            assert [values_of(one) for one in found] == [values_of(one) for one in wanted], name
            assert all(one.release is row for one in found if hasattr(one, "release_id")), name
            met |= {name} if found else set()
    assert not caught.captured_queries
    assert met >= {
        "changes",
        "checklist",
        "documents",
        "approval_requests",
        "facts",
        "team_members",
        "final_checks",
        "milestones",
    }
    assert ChangeEntry.objects.count() > row.changes.count() == len(row.changes.filter(pk__gt=0))


def test_a_statement_that_asks_for_more_than_the_row_is_not_read_along(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statements, "_along", lambda model, name: (model, "SELECT 1", (0, "and more")))
    with pytest.raises(ValueError, match="changes is not all"):
        statements.read_along(world.planned(), "changes")


def test_a_row_that_is_not_there_is_none(world: Any) -> None:
    with transaction.atomic():
        assert statements.lock(Release, 0)() is None


@pytest.fixture
def step(world: Any) -> Step:
    """A step that nobody has taken, of a run in development."""
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


def test_what_is_written_is_what_was_named_and_as_django_writes_it(step: Step) -> None:
    assert statements.plain(Step) and statements.plain(StepAttempt), "else this test asks nothing"
    with acting(COMMAND), operation("test:write", (Step, step.pk)) as op:
        held = op.get(Step)
        held.result, held.lease_until, held.step_type = {"語": [1, None, "x"]}, now() + timedelta(1), step.step_type
        Step.objects.filter(pk=step.pk).update(failure="of somebody else")
    read = Step.objects.get(pk=step.pk)
    assert (read.result, read.lease_until) == (held.result, held.lease_until)
    assert read.failure == "of somebody else", "a column that was not changed is not written"


def test_a_row_that_went_away_is_an_error(step: Step) -> None:
    gone = Step(pk=0, deployment_id=step.deployment_id)
    with acting(COMMAND), pytest.raises(DatabaseError, match="is not there"), operation("test:write") as op:
        op.track(gone, 0)
        gone.failure = "x"


def test_a_row_that_is_made_has_its_key_and_its_values(step: Step) -> None:
    made = StepAttempt(step=step, fencing_token=7, key="k", worker="w", started_at=now())
    with acting(COMMAND), operation("test:make") as op:
        op.to_insert.append(made)
    assert values_of(StepAttempt.objects.get(pk=made.pk)) == values_of(made)


def test_what_the_database_refuses_is_said_by_the_statement_that_it_refused(step: Step) -> None:
    """All are sent before the first answer is read: the others fail after it, and must not be what is told."""
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


def test_rows_are_locked_and_written_in_one_trip_each(step: Step) -> None:
    """Between the first and the last statement of either nobody waits for an answer."""
    waits: list[str] = []

    def seen(execute: Any, text: str, params: Any, many: bool, context: Any) -> Any:
        status = connection.connection.info.pipeline_status.name
        waits.append(f"{text.split()[0]} {status}")
        return execute(text, params, many, context)

    with connection.execute_wrapper(seen), acting(COMMAND):
        with operation("test:write", (Step, step.pk), (Deployment, step.deployment_id)) as op:
            op.get(Step).failure = "x"
    assert waits == ["SELECT ON"] * 3 + ["UPDATE ON", "WITH ON"]


def test_a_model_with_snapshots_keeps_them(world: Any) -> None:
    release = world.planned()
    assert not statements.plain(Release)
    before = release.history.count()
    with acting(COMMAND), operation("test:write", (Release, release.pk)) as op:
        op.get(Release).title = "another"
    assert release.history.count() == before + 1


def test_the_present_time_counts_what_was_waited_for(step: Step, database: str) -> None:
    """A lease is given from the end of the wait for a row; its beginning is that of the operation."""
    waits, seconds = threading.Event(), 0.7
    with psycopg.connect(database) as other:
        other.execute("SELECT FROM releases_step WHERE id = %s FOR UPDATE", [step.pk])
        threading.Thread(target=lambda: (waits.wait(10), time.sleep(seconds), other.rollback())).start()
        began = now()
        waits.set()
        with acting(COMMAND), operation("test:write", (Step, step.pk)) as op:
            present, true = op.now(), now()
    assert abs((true - present).total_seconds()) < 0.3 and (present - op.at).total_seconds() > seconds / 2
    assert (op.at - began).total_seconds() < seconds / 2
