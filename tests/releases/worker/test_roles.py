"""Scheduler and workers do their work with the database roles that they really have."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from psycopg.conninfo import conninfo_to_dict

from audit.actor import acting
from audit.capture import set_context
from releases.models import FinalCheck, FollowUp, Milestone
from releases.operations.approval.decide import approve
from releases.operations.deployment.enqueue import enqueue
from releases.operations.deployment.request import request
from releases.operations.deployment.schedule import schedule
from releases.operations.release.end_approval import invalidate_stale
from releases.operations.step.claim import claim
from releases.operations.waiver import decide
from tests.conftest import connected
from tests.releases.gates.asking import alter
from tests.releases.operations.test_waiver import waiver_requested
from tests.releases.worker.conftest import TRUE, WORKER, first, plan, row

AsProcess = Callable[[str], AbstractContextManager[None]]


@pytest.fixture
def as_process(database: str) -> AsProcess:
    """Return a function: reach the test's database with the role of a process."""
    name = str(conninfo_to_dict(database)["dbname"])
    return lambda process: connected(os.environ[f"DATABASE_{process.upper()}_URL"], name)


def test_the_scheduler_ends_a_request_whose_final_check_was_signed(world: Any, as_process: AsProcess) -> None:
    release, approval_request = world.final_checked()
    alter(release, rollback_pre_authorised=True)
    with as_process("scheduler"), acting(WORKER):
        assert invalidate_stale() == [release.pk]
    assert world.fresh(approval_request).state == "invalidated"
    assert not FinalCheck.objects.filter(release=release, invalidated_at=None).exists()


def test_a_worker_starts_a_waived_deployment_and_completes_the_milestone(world: Any, as_process: AsProcess) -> None:
    release = alter(world.tested(), step_plan=plan(row(TRUE)))
    waiver = waiver_requested(world, release)
    with world.acting_as("project_manager"):
        decide.approve(waiver.pk)
    world.tested = lambda *_args, **_options: release
    release, _request = world.final_checked()
    with world.acting_as("operator"):
        deployment = request(release.pk, environment_id=world.environments["production"].pk)
        schedule(deployment.pk)
    with as_process("scheduler"), acting(WORKER):
        enqueue(deployment.pk)
    with as_process("worker"), acting(WORKER):
        assert claim(first(deployment).pk, worker="one") is not None
    assert world.fresh(waiver).follow_up == FollowUp.objects.get(key="waiver")
    assert Milestone.objects.get(release=release, guards="start").done_at is not None


REFUSED = {
    "UPDATE releases_approvalrequest SET state = 'approved'": "RI004",
    "UPDATE releases_approvalrequest SET digest = 'x'": "42501",
    "UPDATE releases_milestone SET done_by_id = 1": "42501",
    "UPDATE releases_milestone SET due_at = now()": "42501",
    "UPDATE releases_waiver SET approved_at = now()": "42501",
    "UPDATE releases_approvaldecision SET decision = 'approve'": "42501",
    "INSERT INTO releases_approvaldecision DEFAULT VALUES": "42501",
    "DELETE FROM releases_finalcheck": "42501",
    "INSERT INTO environments_changewindow DEFAULT VALUES": "42501",
    "UPDATE environments_changewindow SET in_effect_at = now()": "42501",
    "INSERT INTO releases_evidence DEFAULT VALUES": "42501",
    "UPDATE releases_evidence SET values = '{}'": "42501",
    "UPDATE releases_checklistitem SET signed_at = now()": "42501",
    "DELETE FROM releases_teammember": "42501",
    "INSERT INTO environments_configurationcheck DEFAULT VALUES": "42501",
}


@pytest.mark.parametrize("process", ["worker", "scheduler"])
def test_another_processs_password_cannot_approve(world: Any, as_process: AsProcess, process: str) -> None:
    """One of two approvals exists."""
    _release, approval_request = world.submitted()
    with world.acting_as("committee_a"):
        approve(approval_request.pk, digest=approval_request.digest)
    for statement, number in REFUSED.items():
        with as_process(process), pytest.raises(DatabaseError) as refused, transaction.atomic():
            set_context(WORKER, operation={"worker": "step:claim", "scheduler": "release:end_approval"}[process])
            with connection.cursor() as cursor:
                cursor.execute(statement)
        assert getattr(refused.value.__cause__, "sqlstate", "") == number, statement
    assert world.fresh(approval_request).state == "in_review"
