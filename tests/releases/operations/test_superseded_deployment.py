"""Monitoring superseded by a newer deployment has all effects of its end: completion, publication, notifications."""

from __future__ import annotations

from datetime import time, timedelta
from typing import Any

import pytest

from audit.clock import now
from audit.models import Event
from releases.models import Deployment, MonitoringPeriod, Release, Rollback
from releases.operations.deployment.resolve import resolve
from releases.operations.deployment.verify import verify
from releases.operations.monitoring.end import record_result
from releases.operations.release.plan import active_procedure
from tests.releases.channel_types.receivers import MailHost
from tests.releases.gates.asking import alter, make, walk
from tests.releases.operations.notifying import (
    announced,
    deliver,
    forget,
    join,
    make_notifications,
    only,
    outcomes,
    outsider,
)

CONFIRMED = ("data_integrity", "security_settings")


@pytest.fixture
def monitored(world: Any) -> Deployment:
    """The monitored deployment of 1.3.0 in production; its documents are ready."""
    deployment = world.scheduled()
    walk(deployment.release, "start", "start_monitoring")
    deployment = walk(deployment, "enqueue", "start", "start_verification", "start_monitoring")
    monitored_now(deployment)
    return deployment


def monitored_now(deployment: Deployment, rollback: Rollback | None = None) -> MonitoringPeriod:
    """Start monitoring of a deployment, or of its rollback."""
    return make(
        MonitoringPeriod,
        deployment=deployment,
        rollback=rollback,
        purpose="deployment" if rollback is None else "rollback",
        interval_seconds=60,
        duration_seconds=86400,
        started_at=now() - timedelta(hours=3),
        next_at=now(),
    )


def newer(world: Any) -> Deployment:
    """A deployment of 1.4.0 in production that waits for verification."""
    release = alter(world.planned("1.4.0"), procedure=active_procedure())
    deployment = make(
        Deployment,
        release=release,
        application=world.application,
        environment=world.environments["production"],
        requested_by=world.people["ci"],
        scheduled_by=world.people["operator"],
    )
    deployment = walk(deployment, "schedule", "enqueue", "start", "start_verification")
    return alter(deployment, measured={"verification": {"code": "a", "configuration": "b", "data": "c"}})


def verified(world: Any) -> Deployment:
    """Verify the newer deployment, and do nothing else."""
    deployment = newer(world)
    forget()
    with world.acting_as("second_operator"):
        verify(deployment.pk, confirmed=CONFIRMED)
    return deployment


def test_the_earlier_release_is_completed_and_its_documents_are_published(world: Any, monitored: Deployment) -> None:
    assert {document.state for document in monitored.release.documents.all()} == {"ready_to_publish"}
    verified(world)
    release = Release.objects.get(pk=monitored.release_id)
    assert (release.state, world.fresh(monitored).state) == ("completed", "succeeded")
    assert {document.state for document in release.documents.all()} == {"published"}
    monitoring = MonitoringPeriod.objects.get(deployment=monitored)
    assert (monitoring.result, monitoring.next_at) == ("superseded", None) and monitoring.ended_at is not None


def test_recipients_are_notified_that_the_earlier_deployment_succeeded(
    world: Any, monitored: Deployment, host: MailHost
) -> None:
    only(("deployment:succeed", "development_team", "mail"), ("deployment:succeed", "users", "mail"))
    join("development_team", world.people["developer"], "developer@datasets.example")
    alter(world.people["developer"], quiet_from=time(0), quiet_until=time(0))
    announced(monitored.release, outsider("users", "kita@users.example"))
    deployment = verified(world)
    (notification,) = make_notifications()
    assert (notification.event, notification.release) == ("deployment:succeed", monitored.release)
    assert "1.3.0" in notification.texts["en"]["subject"] and notification.path == f"/admin/deployment/{monitored.pk}/"
    assert notification.cause == world.people["second_operator"].person_key and notification.waits
    deliver()
    assert outcomes(notification) == {("Developer", "mail"): "sent", ("kita@users.example", "mail"): "pending"}
    assert len(host.mails) == 1
    event = Event.objects.get(
        kind="operation", operation="deployment:verify", object=f"releases.Deployment:{deployment.pk}"
    ).operation_id
    assert notification.operation_id == event, "it is the same act that said so"


def test_a_monitored_rollback_continues_to_its_report(world: Any) -> None:
    deployment = walk(world.scheduled(), "enqueue", "start", "fail", "start_rollback", "complete_rollback")
    rollback = make(Rollback, deployment=deployment, cause="error_rate", raised_at=now())
    rollback = walk(rollback, "assess", "authorise", "start", "start_verification", "start_monitoring")
    monitoring = monitored_now(deployment, rollback)
    verified(world)
    assert world.fresh(rollback).state == "reporting" and world.fresh(monitoring).result == "superseded"
    assert world.fresh(deployment).state == "rolled_back" and not [
        one for one in make_notifications() if one.release == deployment.release
    ]


def test_an_open_alarm_prevents_the_success_notification(world: Any, monitored: Deployment) -> None:
    make(Rollback, deployment=monitored, cause="error_rate", raised_at=now())
    verified(world)
    release = Release.objects.get(pk=monitored.release_id)
    assert (release.state, world.fresh(monitored).state) == ("failed", "succeeded")
    assert {document.state for document in release.documents.all()} == {"ready_to_publish"}
    assert not [one for one in make_notifications() if one.release == monitored.release]


def test_monitoring_that_awaits_a_persons_result_keeps_waiting(world: Any, monitored: Deployment) -> None:
    monitoring = MonitoringPeriod.objects.get(deployment=monitored)
    alter(monitoring, result="inconclusive", next_at=None)
    verified(world)
    assert world.fresh(monitored).state == "monitoring" and world.fresh(monitoring).ended_at is None
    with world.acting_as("second_operator"):
        record_result(monitoring.pk, result="passed", reason="looked at the service myself")
    assert world.fresh(monitored).state == "succeeded"


def test_a_newer_resolved_deployment_supersedes_it_too(world: Any, monitored: Deployment) -> None:
    """Resolved as unknown: the monitoring ends, and no notification reports success."""
    deployment = walk(newer(world), "await_decision", "fail")
    forget()
    with world.acting_as("second_operator"):
        resolve(deployment.pk, how="unknown", reason="the host is lost")
    monitoring, release = (
        MonitoringPeriod.objects.get(deployment=monitored),
        Release.objects.get(pk=monitored.release_id),
    )
    assert (monitoring.result, release.state, world.fresh(monitored).state) == ("superseded", "completed", "succeeded")
    assert not [one for one in make_notifications() if one.event == "deployment:succeed"]
