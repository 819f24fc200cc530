"""Recipient groups, users and the plan: each item of a rollback's preparation is an operation with a record (B3)."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse

from audit.actor import acting
from audit.refusals import GateNotPassed, InvalidInput, NotPermitted
from releases.models import Deployment, Document, FollowUp, Notification, Rollback
from releases.operations.rollback import decide
from releases.operations.rollback.communicate import communicate
from releases.queries.rollback_communication import communications, uncommunicated
from tests.releases.gates.asking import COMMAND, alter, make, shown, walk
from tests.releases.operations.notifying import forget, join, make_notifications, only

ITEMS = ("notify_stakeholders", "notify_users", "share_plan")


@pytest.fixture
def deployment(world: Any) -> Deployment:
    """A monitored deployment in production."""
    deployment: Deployment = walk(world.scheduled(), "enqueue", "start", "start_verification", "start_monitoring")
    return deployment


def raised(deployment: Deployment) -> Rollback:
    """Raise a critical alarm as monitoring does, and count the rows that would be lost."""
    with acting(COMMAND):
        found = decide.raise_(deployment.pk, cause="error_rate", note="3 of 5")
        decide.pre_authorise(found.pk, rows={})
    return Rollback.objects.get(pk=found.pk)


@pytest.fixture
def alarm(world: Any, deployment: Deployment) -> Rollback:
    """An alarm in production, assessed and counted, of which nobody has been notified."""
    found = raised(deployment)
    with world.acting_as("manager"):
        decide.assess(found.pk, impact="writes fail", method="restore the dump", timing="at once")
    decided = world.fresh(found)
    forget()
    return decided


def test_a_rollback_is_authorised_only_after_everybody_is_notified(world: Any, alarm: Rollback) -> None:
    with (
        world.acting_as("second_operator"),
        pytest.raises(GateNotPassed, match="Notify stakeholders, Notify users, Share"),
    ):
        decide.authorise(alarm.pk, digest=shown(alarm))
    with world.acting_as("manager"):
        communicate(alarm.pk, items=ITEMS[:2], stated="called the help desk of both")
    with world.acting_as("second_operator"), pytest.raises(GateNotPassed, match="Not communicated yet: Share"):
        decide.authorise(alarm.pk, digest=shown(alarm))
    with world.acting_as("manager"):
        communicate(alarm.pk, items=ITEMS[2:], stated="read out on the bridge")
    with world.acting_as("second_operator"):
        assert decide.authorise(alarm.pk, digest=shown(alarm)).state == "authorised"


def test_ringi_sends_to_known_recipients_and_the_record_names_them(world: Any, alarm: Rollback, browsers: Any) -> None:
    only(*((f"rollback:{key}", "operations_team", "admin") for key in ITEMS[:1] + ITEMS[2:]))
    join("operations_team", world.people["second_operator"])
    with world.acting_as("manager"):
        with pytest.raises(InvalidInput, match="have no recipient for “Notify users”"):
            communicate(alarm.pk, items=ITEMS)
        communicate(alarm.pk, items=("notify_stakeholders", "share_plan"))
    made = {notification.event: notification for notification in make_notifications()}
    assert set(made) == {"rollback:notify_stakeholders", "rollback:share_plan"}
    assert "restore the dump" in made["rollback:share_plan"].texts["en"]["body"]
    notified, users, plan = communications(world.fresh(alarm))
    assert notified.by == "Manager" and notified.at is not None and users.at is None
    assert notified.notification == Notification.objects.get(event="rollback:notify_stakeholders")
    assert [(group.group, group.sent) for group in plan.groups] == [("Operations team", 1)]
    with world.acting_as("manager"):
        communicate(alarm.pk, items=["notify_users"], stated="the status page says so")
        with pytest.raises(InvalidInput, match="not been communicated yet"):
            communicate(alarm.pk, items=["notify_users"], stated="again")
    for page in (reverse("rollback", args=[alarm.pk]), reverse("rollback-report", args=[alarm.pk])):
        text = browsers("manager").get(page).content.decode()
        assert "the status page says so" in text and "Operations team" in text and "Manager" in text


def test_only_an_assessor_or_decision_maker_records_communication(world: Any, alarm: Rollback) -> None:
    with world.acting_as("developer"), pytest.raises(NotPermitted):
        communicate(alarm.pk, items=ITEMS, stated="x")
    with world.acting_as("manager"), pytest.raises(InvalidInput):
        communicate(alarm.pk, items=[], stated="x")


def test_the_rollback_plan_is_shared_only_once_it_exists(world: Any, deployment: Deployment) -> None:
    alarm = raised(deployment)
    with world.acting_as("manager"):
        with pytest.raises(InvalidInput, match="impact, method and timing first"):
            communicate(alarm.pk, items=["share_plan"], stated="x")
        communicate(alarm.pk, items=["notify_users"], stated="the status page says so")


def test_communication_skipped_by_a_pre_authorised_rollback_is_due_before_its_close(
    world: Any, deployment: Deployment
) -> None:
    alter(
        deployment.approval_request,
        document={**deployment.approval_request.document, "rollback_pre_authorised": {"on": True, "rows": 0}},
    )
    alarm = raised(deployment)
    assert alarm.state == "authorised"
    follow_up = FollowUp.objects.get(key="communication")
    assert follow_up.completed_at is None and follow_up.release == deployment.release
    for kind in ("report", "cause", "prevention"):
        walk(make(Document, rollback=alarm, kind=kind, body="x"), "check_content", "approve")
    walk(alarm, "start", "start_verification", "start_reporting")
    with world.acting_as("manager"):
        decide.assess(alarm.pk, impact="i", method="m", timing="t")
        with pytest.raises(GateNotPassed, match="Not communicated yet"):
            decide.close(alarm.pk)
        communicate(alarm.pk, items=ITEMS, stated="told them afterwards")
        decide.close(alarm.pk)
    follow_up = world.fresh(follow_up)
    assert follow_up.completed_at is not None and follow_up.completed_by.username == "manager"


def test_an_unprotected_environment_needs_no_communication(world: Any, deployment: Deployment) -> None:
    alter(deployment.environment, protected=False)
    assert uncommunicated(raised(world.fresh(deployment))) == []
