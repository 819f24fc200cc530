"""A watch that a newer run cuts short brings about all that its end does: completion, publication, messages, a report."""

from __future__ import annotations

from datetime import time, timedelta
from typing import Any

import pytest

from audit.clock import now
from audit.models import Event
from releases.models import Deployment, MonitoringPeriod, Release, Rollback
from releases.operations.deployment.resolve import resolve
from releases.operations.deployment.verify import verify
from releases.operations.monitoring.measure import record_result
from releases.operations.release.plan import active_procedure
from tests.releases.channel_types.receivers import MailHost
from tests.releases.gates.asking import alter, make, walk
from tests.releases.operations.notifying import announced, deliver, forget, join, only, outcomes, outsider, tell

CONFIRMED = ("data_integrity", "security_settings")


@pytest.fixture
def watched(world: Any) -> Deployment:
    """The run of 1.3.0 in production, which is watched; its documents are ready."""
    run = world.scheduled()
    walk(run.release, "start", "start_monitoring")
    run = walk(run, "enqueue", "start", "start_verification", "start_monitoring")
    watching(run)
    return run  # type: ignore[no-any-return]


def watching(run: Deployment, rollback: Rollback | None = None) -> MonitoringPeriod:
    """Watch a run, or the rollback of it."""
    return make(MonitoringPeriod, deployment=run, rollback=rollback, purpose="deployment" if rollback is None else "rollback",  # type: ignore[no-any-return]
                interval_seconds=60, duration_seconds=86400, started_at=now() - timedelta(hours=3), next_at=now())  # fmt: skip


def newer(world: Any) -> Deployment:
    """A run of 1.4.0 in production that waits to be verified."""
    release = alter(world.planned("1.4.0"), procedure=active_procedure())
    run = make(Deployment, release=release, application=world.application, environment=world.environments["production"],
               requested_by=world.people["ci"], scheduled_by=world.people["operator"])  # fmt: skip
    run = walk(run, "schedule", "enqueue", "start", "start_verification")
    return alter(run, measured={"verification": {"code": "a", "configuration": "b", "data": "c"}})  # type: ignore[no-any-return]


def verified(world: Any) -> Deployment:
    """Let the newer run be verified, which is all that happens."""
    run = newer(world)
    forget()
    with world.acting_as("second_operator"):
        verify(run.pk, confirmed=CONFIRMED)
    return run


def test_the_earlier_release_is_complete_and_its_documents_are_published(world: Any, watched: Deployment) -> None:
    assert {document.state for document in watched.release.documents.all()} == {"ready_to_publish"}
    verified(world)
    release = Release.objects.get(pk=watched.release_id)
    assert (release.state, world.fresh(watched).state) == ("completed", "succeeded")
    assert {document.state for document in release.documents.all()} == {"published"}
    watch = MonitoringPeriod.objects.get(deployment=watched)
    assert (watch.result, watch.next_at) == ("superseded", None) and watch.ended_at is not None


def test_people_are_told_that_the_earlier_run_has_ended_well(world: Any, watched: Deployment, host: MailHost) -> None:
    only(("deployment:succeed", "development_team", "mail"), ("deployment:succeed", "users", "mail"))
    join("development_team", world.people["developer"], "developer@datasets.example")
    alter(world.people["developer"], quiet_from=time(0), quiet_until=time(0))
    announced(watched.release, outsider("users", "kita@users.example"))
    run = verified(world)
    (notice,) = tell()
    assert (notice.event, notice.release) == ("deployment:succeed", watched.release)
    assert "1.3.0" in notice.texts["en"]["subject"] and notice.path == f"/admin/deployment/{watched.pk}/"
    assert notice.cause == world.people["second_operator"].person_key and notice.waits
    deliver()
    assert outcomes(notice) == {("Developer", "mail"): "sent", ("kita@users.example", "mail"): "pending"}
    assert len(host.mails) == 1
    act = Event.objects.get(
        kind="operation", operation="deployment:verify", object=f"releases.Deployment:{run.pk}"
    ).operation_id
    assert notice.operation_id == act, "it is the same act that said so"


def test_a_rollback_that_is_watched_goes_on_to_its_report(world: Any) -> None:
    run = walk(world.scheduled(), "enqueue", "start", "fail", "start_rollback", "complete_rollback")
    rollback = make(Rollback, deployment=run, cause="error_rate", raised_at=now())
    rollback = walk(rollback, "assess", "authorise", "start", "start_verification", "start_monitoring")
    watch = watching(run, rollback)
    verified(world)
    assert world.fresh(rollback).state == "reporting" and world.fresh(watch).result == "superseded"
    assert world.fresh(run).state == "rolled_back" and not [one for one in tell() if one.release == run.release]


def test_with_an_alarm_that_is_open_nobody_is_told_that_it_has_ended_well(world: Any, watched: Deployment) -> None:
    make(Rollback, deployment=watched, cause="error_rate", raised_at=now())
    verified(world)
    release = Release.objects.get(pk=watched.release_id)
    assert (release.state, world.fresh(watched).state) == ("failed", "succeeded")
    assert {document.state for document in release.documents.all()} == {"ready_to_publish"}
    assert not [one for one in tell() if one.release == watched.release]


def test_monitoring_that_waits_for_a_persons_verdict_waits_on(world: Any, watched: Deployment) -> None:
    watch = MonitoringPeriod.objects.get(deployment=watched)
    alter(watch, result="inconclusive", next_at=None)
    verified(world)
    assert world.fresh(watched).state == "monitoring" and world.fresh(watch).ended_at is None
    with world.acting_as("second_operator"):
        record_result(watch.pk, result="passed", reason="looked at the service myself")
    assert world.fresh(watched).state == "succeeded"


def test_a_newer_run_that_is_resolved_takes_its_place_as_well(world: Any, watched: Deployment) -> None:
    """Settled as unknown: what was watched is over, and nobody says that it has ended well."""
    run = walk(newer(world), "await_decision", "fail")
    forget()
    with world.acting_as("second_operator"):
        resolve(run.pk, how="unknown", reason="the host is lost")
    watch, release = MonitoringPeriod.objects.get(deployment=watched), Release.objects.get(pk=watched.release_id)
    assert (watch.result, release.state, world.fresh(watched).state) == ("superseded", "completed", "succeeded")
    assert not [one for one in tell() if one.event == "deployment:succeed"]
