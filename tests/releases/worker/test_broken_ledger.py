"""A ledger that breaks during a deployment: running work ends, a rollback starts, and nothing else does."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from django.conf import settings
from django.db import connection
from psycopg.conninfo import conninfo_to_dict

from audit import standing
from audit.actor import acting
from audit.clock import now
from audit.ledger.checkpoint import LedgerSigner
from audit.ledger.link import link_pending
from audit.models import Event, Verification
from audit.refusals import GateNotPassed
from audit.roles import Roles, grant
from environments.operations.ledger import resume
from releases.models import Deployment, Release
from releases.operations.approval.decide import approve
from releases.operations.deployment.enqueue import enqueue
from releases.operations.deployment.request import request
from releases.operations.deployment.schedule import cancel, schedule
from releases.operations.deployment.verify import verify
from releases.operations.rollback import decide, start as rollback
from releases.operations.window.request import request_window
from releases.worker import poll
from releases.worker.executor import run_from
from tests.audit.tampered import as_owner, set_event
from tests.conftest import sign_ledger
from tests.operation_roles import DECLARED
from tests.releases.gates.asking import alter, communicated, shown
from tests.releases.operations.test_standard_changes import CHANGE, procedure, ready, submitted

from .conftest import TRUE, WORKER, at_work, first, row

BROKEN = "decode('7b7d', 'hex')"


@pytest.fixture
def check(state_folder: Path) -> Callable[[], Verification]:
    """Return a function: sign all events, and verify the ledger as the scheduler has it done."""
    signer = LedgerSigner(state_folder / "ledger_signer")

    def make() -> Verification:
        sign_ledger(signer)
        with acting(WORKER):
            row = standing.run()
        assert row is not None
        return row

    return make


def broken() -> tuple[int, str]:
    """Alter the event of the first sign-in of the world; return its number and how it is repaired."""
    link_pending(connection)
    event = Event.objects.filter(kind="operation").order_by("ledger_entry__number").first()
    assert event is not None
    number, bytes_ = event.ledger_entry.number, bytes(event.bytes).hex()
    set_event(number, f"bytes = {BROKEN}")
    return number, f"bytes = decode('{bytes_}', 'hex')"


def test_running_work_ends_a_rollback_starts_and_new_work_does_not(
    world: Any,
    approved_deployment: Callable[..., Deployment],
    check: Callable[[], Verification],
    state_folder: Path,
    tmp_path: Path,
) -> None:
    flag = tmp_path / "go"
    deployment = approved_deployment(row(["/bin/sh", "-c", f"while [ ! -e {flag} ]; do sleep 0.05; done"]))
    with world.acting_as("manager"):
        window = request_window(
            deployment.environment_id,
            application_id=deployment.application_id,
            name="extra",
            reason="for the test",
            starts_at=deployment.release.scheduled_start_at,
            ends_at=deployment.release.scheduled_end_at,
        )
    with acting(WORKER):
        enqueue(deployment.pk)
    worker = at_work(first(deployment).pk)
    while world.fresh(deployment).state != "running":
        time.sleep(0.01)
    assert check().result == "passed"
    number, mended = broken()
    found = check()
    assert (found.result, found.number) == ("passed", None), "the hour looks at what is new"
    with acting(WORKER):
        found = standing.run(whole=True)
    assert (found.result, found.number, found.whole) == ("failed", number, True)
    flag.touch()
    worker.join()
    assert world.fresh(deployment).state == "verifying"
    with world.acting_as("second_operator"):
        verify(deployment.pk, confirmed=("data_integrity", "security_settings"))
    with world.acting_as("operator"), pytest.raises(GateNotPassed, match=f"event {number}"):
        request(deployment.release_id, environment_id=deployment.environment_id)
    with world.acting_as("committee_a"), pytest.raises(GateNotPassed, match=f"event {number}"):
        approve(window.pk, digest=window.digest)
    with world.acting_as("operator"):
        alarm = decide.raise_(deployment.pk, cause="performance_drop", note="the lists")
    with world.acting_as("manager"):
        decide.assess(alarm.pk, impact="all users", method="the whole plan", timing="now")
    with acting(WORKER):
        decide.pre_authorise(alarm.pk, rows={})
    communicated(alarm)
    with world.acting_as("second_operator"):
        decide.authorise(alarm.pk, digest=shown(alarm))
    with acting(WORKER):
        run_from(rollback.start_rollback(alarm.pk))
    assert world.fresh(deployment).state == "rolled_back"
    set_event(number, mended)
    found = check()
    assert (found.result, found.whole) == ("passed", True), "while it does not hold, all of it is verified each time"
    with world.acting_as("committee_a"):
        approve(window.pk, digest=window.digest)


def test_a_standard_change_is_not_submitted_with_a_broken_ledger(world: Any, check: Callable[[], Verification]) -> None:
    """Its submission is its approval: were only that refused, a release would stay in review, which no one decides."""
    release = ready(world, procedure(CHANGE))
    check()
    number, _mended = broken()
    with acting(WORKER):
        standing.run(whole=True)
    with pytest.raises(GateNotPassed, match=f"event {number}"):
        submitted(world, release)
    assert world.fresh(release).state == "testing_completed"


def test_a_scheduled_deployment_waits_until_two_people_accept_the_break(
    world: Any, approved_deployment: Callable[..., Deployment], check: Callable[[], Verification], state_folder: Path
) -> None:
    deployment = approved_deployment(row(TRUE))
    check()
    number, _mended = broken()
    with acting(WORKER):
        found = standing.run(whole=True)
    assert found is not None and found.number == number
    with acting(WORKER), pytest.raises(GateNotPassed, match="two people accept"):
        enqueue(deployment.pk)
    with world.acting_as("operator"):
        cancel(deployment.pk, reason="again")
    with world.acting_as("administrator"):
        requested = resume.request_resumption(reason="the disk flipped a bit, and no copy has the event")
    with acting(WORKER), pytest.raises(GateNotPassed):
        _again(world, deployment)
    with world.acting_as("committee_a"):
        resume.confirm(requested.pk)
    with acting(WORKER):
        enqueue(_again(world, deployment).pk)
    found = check()
    assert (found.result, found.number, found.accepted) == ("failed", number, True), "it is said for ever"
    other = number + 5
    set_event(other, "reason = 'nothing to see'")
    with acting(WORKER):
        found = standing.run(whole=True)
    assert (found.result, found.number, found.accepted) == ("failed", other, False), (
        "and hides nothing that comes after"
    )


def _again(world: Any, deployment: Deployment) -> Deployment:
    with world.acting_as("operator"):
        waiting = Deployment.objects.filter(release=deployment.release_id, state="requested").first()
        waiting = waiting or request(deployment.release_id, environment_id=deployment.environment_id)
        return schedule(waiting.pk)


def test_an_emergency_passes_a_broken_ledger(world: Any, check: Callable[[], Verification], state_folder: Path) -> None:
    from releases.gates import evaluation

    release = world.tested()
    check()
    number, _mended = broken()
    with acting(WORKER):
        standing.run(whole=True)
    asked = [one for one in evaluation.evaluate(release, world.environments["production"]) if one.gate == "ledger"]
    assert [one.result for one in asked] == ["not_passed"] and f"event {number}" in asked[0].reason
    assert not [one for one in evaluation.evaluate(release, world.environments["staging"]) if one.gate == "ledger"]
    emergency = alter(release, kind=Release.Kind.EMERGENCY)
    assert not [one for one in evaluation.evaluate(emergency, world.environments["production"]) if one.gate == "ledger"]


def test_a_missing_signature_stops_new_work(
    world: Any, approved_deployment: Callable[..., Deployment], check: Callable[[], Verification], settings: Any
) -> None:
    deployment = approved_deployment(row(TRUE))
    settings.HEARTBEAT_TIMEOUT = 0.001
    with acting(WORKER), pytest.raises(GateNotPassed, match="signer is unresponsive"):
        enqueue(deployment.pk)
    settings.HEARTBEAT_TIMEOUT = 60.0
    check()
    with acting(WORKER):
        enqueue(deployment.pk)


def test_an_inconclusive_verification_alarms_and_closes_no_gate(
    world: Any, approved_deployment: Callable[..., Deployment], state_folder: Path, check: Callable[[], Verification]
) -> None:
    from audit.models import Outbox

    deployment = approved_deployment(row(TRUE))
    assert check().result == "passed"
    (state_folder / "ledger_signer" / "key.pub").unlink()
    (state_folder / "verifier" / "verified.json").unlink()
    with acting(WORKER):
        found = standing.run()
        enqueue(deployment.pk)
    assert found is not None and found.result == "inconclusive" and "no public key" in found.finding
    assert Outbox.objects.filter(event="ledger:alarm", object=f"audit.Verification:{found.pk}").count() == 1
    set_event(1, f"bytes = {BROKEN}")
    assert check().result == "failed"
    (state_folder / "ledger_signer" / "key.pub").write_text("no key")
    with acting(WORKER):
        found = standing.run()
    assert found is not None and found.result == "inconclusive"
    assert standing.standing().fault is not None, "nor does it open a gate that a conclusive one has closed"


def test_the_scheduler_verifies_the_ledger_in_a_separate_process(
    world: Any, database: str, state_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With the scheduler's own role, and with the permitted changes of each role as declared."""
    with as_owner() as owner, owner.transaction():
        grant(owner.cursor(), Roles(**settings.DATABASE_ROLES), DECLARED)
    sign_ledger(LedgerSigner(state_folder / "ledger_signer"))
    own = urlsplit(os.environ["DATABASE_SCHEDULER_URL"])._replace(path=f"/{conninfo_to_dict(database)['dbname']}")
    monkeypatch.setenv("DATABASE_URL", own.geturl())
    assert not standing.due(now()), "the first one comes an hour after the first event"
    poll.ledger_verification(now() + timedelta(hours=2))
    (child,) = poll._running.values()
    child.wait(120)
    poll.ledger_verification(now())
    assert child.returncode == 0, caplog.text
    assert not poll._running and not standing.due(now())
    found = Verification.objects.get()
    assert (found.result, found.whole, found.altered) == ("passed", True, [])
    assert Event.objects.get(kind="operation", operation="ledger:verify").contents["session_user"] == own.username


def test_processes_that_run_release_programs_cannot_report_on_the_ledger(database: str) -> None:
    """A row that says the ledger is intact would open gates that a failed verification has closed."""
    own = urlsplit(os.environ["DATABASE_WORKER_URL"])._replace(path=f"/{conninfo_to_dict(database)['dbname']}")
    with psycopg.connect(own.geturl()) as worker, pytest.raises(psycopg.errors.InsufficientPrivilege):
        worker.execute(
            "INSERT INTO audit_verification (started_at, ended_at, whole, first, last, signed, result, "
            "finding, altered, digest)"
            " VALUES (now(), now(), true, 1, 9, 9, 'passed', '', '[]', '')"
        )
