"""Notifications about pending decisions, missing data and ended approvals; and those for external recipients."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import Any

import pytest

from audit.actor import acting
from audit.clock import now
from audit.models import Outbox
from environments.models import AccessGrant
from environments.operations.access.request import reject, request
from releases.models import EmergencyStop, Measurement, MonitoringPeriod, Notification, NotificationDelivery
from releases.operations.approval import decide
from releases.operations.emergency_stop.activate import activate
from releases.operations.emergency_stop.request_lift import request_lift
from releases.operations.monitoring.end import end_due
from releases.operations.monitoring.report_no_data import notify_inconclusive
from releases.operations.notification.remind import remind_or_escalate
from releases.operations.procedure.put_into_effect import load, submit
from releases.operations.release.end_approval import invalidate_stale
from releases.operations.release.plan import active_procedure
from releases.operations.release.prepare import reopen_scope
from releases.operations.window.request import request_window
from releases.operations.window.set_rule import set_rule
from releases.procedures.document import Procedure as Content
from releases.queries.assignees import holding
from tests.releases.channel_types.receivers import MailHost
from tests.releases.gates.asking import alter, make, walk
from tests.releases.operations.notifying import (
    WORKER,
    announced,
    deliver,
    forget,
    join,
    make_notifications,
    only,
    outsider,
)
from tests.releases.operations.test_approval_forms import appointed

COMMITTEE = {"committee_a", "committee_b", "author_on_committee"}


def awake(world: Any, *names: str) -> None:
    """Give people an address, and no quiet hours."""
    for name in names:
        alter(world.people[name], email=f"{name}@datasets.example", quiet_from=time(0), quiet_until=time(0))


def notified(event: str) -> Notification:
    """Make notifications of the outbox; return the only one of an event."""
    (notification,) = [one for one in make_notifications() if one.event == event]
    return notification


def names(notification: Notification) -> set[str]:
    return {message.account.username for message in notification.inbox_items.all() if message.account is not None}


def mailed(host: MailHost) -> set[str]:
    return {str(mail["To"]).partition("@")[0].strip("<> ") for mail in host.mails}


def extra_window(world: Any) -> Any:
    with world.acting_as("manager"):
        return request_window(
            world.environments["production"].pk,
            name="extra",
            reason="hotfix",
            starts_at=now() + timedelta(days=1),
            ends_at=now() + timedelta(days=1, hours=2),
        )


def test_deciders_about_an_extra_window_are_notified_by_mail_with_a_link(world: Any, host: MailHost) -> None:
    only(("approval:request", None, "mail"))
    awake(world, *COMMITTEE)
    forget()
    approval_request = extra_window(world)
    notification = notified("approval:request")
    assert names(notification) == COMMITTEE and notification.path == f"/admin/approval-request/{approval_request.pk}/"
    deliver()
    assert mailed(host) == COMMITTEE
    text = notification.texts["en"]["subject"] + notification.texts["en"]["body"]
    assert "extra" in text and "hotfix" in text and "Manager" in text and "JST" in text
    assert notification.remind_at is not None
    with world.acting_as("committee_a"):
        decide.send_back(approval_request.pk, digest=approval_request.digest, comment="not now")
    with acting(WORKER):
        assert remind_or_escalate(notification.pk) == "notification:complete"


def test_window_rules_and_the_lift_of_an_emergency_stop_notify_their_deciders(world: Any) -> None:
    only(("approval:request", None, "admin"))
    forget()
    with world.acting_as("manager"):
        set_rule(
            world.environments["production"].pk,
            name="weekly",
            rrule="FREQ=WEEKLY;BYDAY=TU",
            start=time(1),
            length_minutes=60,
            reason="more often",
        )
    assert names(notified("approval:request")) == COMMITTEE
    with world.acting_as("operator"):
        activate(reason="smoke")
        request_lift(EmergencyStop.objects.get().pk, reason="it was toast")
    notification = notified("approval:request")
    assert names(notification) == COMMITTEE and "it was toast" in notification.texts["en"]["body"]


def test_the_next_stage_is_notified_when_it_opens(world: Any) -> None:
    only(("release:submit", None, "admin"), ("approval:request", None, "admin"))
    _release, approval_request = world.submitted()
    approval_request = alter(
        approval_request, rules=[{"stage": stage, "role": "committee", "number": 1} for stage in (1, 2)]
    )
    forget()
    with world.acting_as("committee_a"):
        decide.approve(approval_request.pk, digest=approval_request.digest)
    notification = notified("approval:request")
    assert names(notification) == {"committee_b"} and "#approvals" in notification.path
    assert notification.remind_at is None, "the first notification of the request asks the present approvers"
    with world.acting_as("committee_b"):
        decide.approve(approval_request.pk, digest=approval_request.digest)
    assert world.fresh(approval_request).state == "approved" and not [
        one for one in make_notifications() if one.event == "approval:request"
    ]


def test_a_delegate_is_notified_beside_the_absent_person_during_the_delegation_only(world: Any, host: MailHost) -> None:
    only(("release:submit", None, "mail"))
    awake(world, "committee_a", "committee_b", "project_manager")
    row = appointed(world)
    forget()
    world.submitted()
    notification = notified("release:submit")
    assert names(notification) == {"committee_a", "committee_b", "project_manager"}
    deliver()
    assert mailed(host) == names(notification)
    only(("approval:request", None, "admin"))
    assert "project_manager" in names((extra_window(world), notified("approval:request"))[1])
    alter(row, until=now())
    assert "project_manager" not in names((extra_window(world), notified("approval:request"))[1])


def test_deciders_about_an_access_request_are_notified_with_a_link(world: Any, host: MailHost) -> None:
    only(("access:request", None, "mail"))
    awake(world, "administrator", "second_administrator")
    forget()
    with world.acting_as("developer"):
        asked = request(
            role="operator", environment_id=world.environments["production"].pk, hours=4, reason="incident 7"
        )
    notification = notified("access:request")
    assert names(notification) == {"administrator", "second_administrator"}
    assert notification.path == f"/admin/environments/accessrequest/{asked.pk}/change/" and notification.urgent
    assert deliver() == 2 and mailed(host) == names(notification)
    assert "incident 7" in notification.texts["en"]["body"] and "4 h" in notification.texts["en"]["body"]
    with world.acting_as("administrator"):
        reject(asked.pk, answer="ask the operator on duty")
    with acting(WORKER):
        assert remind_or_escalate(notification.pk) == "notification:complete"


def test_author_and_approvers_are_notified_why_an_approval_ended(world: Any, host: MailHost) -> None:
    only(("release:end_approval", None, "mail"))
    awake(world, "author_on_committee", "committee_a", "committee_b", "manager")
    release, approval_request = world.submitted()
    with world.acting_as("committee_a"):
        decide.approve(approval_request.pk, digest=approval_request.digest)
    forget()
    alter(release, title="Another title")
    with acting(WORKER):
        assert invalidate_stale() == [release.pk]
    notification = notified("release:end_approval")
    assert names(notification) == {"author_on_committee", "committee_a", "committee_b", "manager"}
    assert "content of the request" in notification.texts["en"]["body"] and "申請" in notification.texts["ja"]["body"]
    assert notification.remind_at is None
    deliver()
    assert mailed(host) == names(notification)


def test_an_approval_whose_window_has_passed_says_so(world: Any) -> None:
    only(("release:end_approval", None, "admin"))
    release, approval_request = world.approved()
    forget()
    alter(approval_request, valid_until=now() - timedelta(seconds=1))
    with acting(WORKER):
        invalidate_stale()
    assert "the approval has expired" in notified("release:end_approval").texts["en"]["body"]


@pytest.mark.parametrize("lapses", [True, False])
def test_a_deployment_whose_approval_ends_is_notified_as_cancelled(world: Any, lapses: bool) -> None:
    only(("deployment:cancel", "operations_team", "admin"))
    join("operations_team", world.people["operator"])
    deployment = world.scheduled()
    forget()
    if lapses:
        alter(deployment.approval_request, valid_until=now() - timedelta(seconds=1))
        with acting(WORKER):
            invalidate_stale()
    else:
        with world.acting_as("manager"):
            reopen_scope(deployment.release_id, reason="a fault")
    assert world.fresh(deployment).state == "cancelled"
    notification = notified("deployment:cancel")
    assert (
        names(notification) == {"operator"}
        and "The approval of this release has ended." in notification.texts["en"]["body"]
    )


def test_a_new_procedure_asks_the_committee_and_names_the_ended_approvals(world: Any) -> None:
    only(("approval:request", None, "admin"), ("release:end_approval", None, "admin"))
    moved, _request = world.approved()
    raw = active_procedure().document.model_dump(mode="json")
    entry = {"date": "2026-11-25", "version": "1.1.0", "ja": "改訂", "en": "Revised", "origin": "default"}
    raw |= {"version": "1.1.0", "history": [*raw["history"], entry]}
    forget()
    with world.acting_as("manager"):
        asked = submit(load(Content.checked(raw), reason="revised").pk, reason="better", moved=(moved.pk,))
    notification = notified("approval:request")
    assert names(notification) == COMMITTEE and "1.1.0" in notification.texts["en"]["subject"]
    for name in ("committee_a", "committee_b"):
        with world.acting_as(name):
            decide.approve(asked.pk, digest=asked.digest)
    ended_requests = notified("release:end_approval")
    assert names(ended_requests) == {"author_on_committee", "manager", "committee_a", "committee_b"}
    assert "procedure" in ended_requests.texts["en"]["body"].lower() and ended_requests.release == moved


@pytest.fixture
def monitoring(world: Any) -> MonitoringPeriod:
    """A monitoring period in production that has run for ten minutes."""
    deployment = walk(world.scheduled(), "enqueue", "start", "start_verification", "start_monitoring")
    trigger = {
        "key": "error_rate",
        "critical": True,
        "metric": "error_rate",
        "comparison": "absolute",
        "limit": "0.10",
        "k": 3,
        "n": 5,
        "required": True,
    }
    forget()
    began = now() - timedelta(minutes=10)
    return make(
        MonitoringPeriod,
        deployment=deployment,
        interval_seconds=60,
        duration_seconds=3600,
        triggers=[trigger],
        started_at=began,
        next_at=now(),
    )


def seen(monitoring: MonitoringPeriod, value: float | None, at: datetime) -> None:
    entry = {"value": value, "result": "stale" if value is None else "passed"}
    make(Measurement, period=monitoring, due_at=at, at=at, up=True, values={"error_rate": entry})


def look(later: timedelta = timedelta()) -> None:
    with acting(WORKER):
        notify_inconclusive(now() + later)


def test_the_procedure_sets_the_number_of_missing_measurements_before_a_notification(
    monitoring: MonitoringPeriod,
) -> None:
    procedure = monitoring.deployment.procedure
    content = procedure.document.model_dump(mode="json")
    for limit, inconclusive in ((12, False), (8, True)):
        content["monitoring"]["error_limit"] = limit
        alter(procedure, content=content)
        look()
        assert (MonitoringPeriod.objects.get(pk=monitoring.pk).no_data_at is not None) is inconclusive, limit


def test_monitoring_without_values_notifies_the_team_once_until_values_return(
    world: Any, monitoring: MonitoringPeriod, host: MailHost
) -> None:
    only(("monitoring:report_no_data", None, "mail"))
    team = {"operator", "second_operator", "manager"}
    awake(world, *team)
    for name in team:
        alter(world.people[name], quiet_from=time(0), quiet_until=time(23, 59))
    seen(monitoring, 0.0, now() - timedelta(minutes=2))
    look()
    assert make_notifications() == [], "a value two minutes ago is known"
    seen(monitoring, None, now() - timedelta(minutes=1))
    for _again in range(2):
        look(timedelta(minutes=6))
    notification = notified("monitoring:report_no_data")
    assert (
        names(notification) == team and notification.path == f"/admin/deployment/{monitoring.deployment_id}/#monitoring"
    )
    assert "Error rate" in notification.texts["en"]["body"] and "エラーレート" in notification.texts["ja"]["body"]
    deliver()
    assert mailed(host) == team, "quiet hours do not hold it"
    seen(monitoring, 0.0, now())
    look()
    assert world.fresh(monitoring).no_data_at is None and make_notifications() == []
    with acting(WORKER):
        assert remind_or_escalate(notification.pk) == "notification:complete"


def test_monitoring_without_measurements_is_notified_too(world: Any, monitoring: MonitoringPeriod) -> None:
    only(("monitoring:report_no_data", None, "admin"))
    look()
    assert notified("monitoring:report_no_data").payload["without_values"] == ["error_rate"]


def test_new_or_paused_monitoring_is_not_notified(world: Any, monitoring: MonitoringPeriod) -> None:
    only(("monitoring:report_no_data", None, "admin"))
    alter(monitoring, paused_at=now())
    look()
    alter(monitoring, paused_at=None, resumed_at=now() - timedelta(minutes=3))
    look()
    assert make_notifications() == [] and world.fresh(monitoring).no_data_at is None


def test_monitoring_that_ends_without_a_result_asks_for_one(world: Any, monitoring: MonitoringPeriod) -> None:
    only(("monitoring:report_no_data", None, "admin"))
    alter(monitoring, started_at=now() - timedelta(hours=2))
    with acting(WORKER):
        assert end_due(monitoring.pk) == "inconclusive"
    notification = notified("monitoring:report_no_data")
    assert notification.remind_at is not None and "Error rate" in notification.texts["en"]["body"]
    alter(monitoring, ended_at=now(), result="passed_by_person")
    with acting(WORKER):
        assert remind_or_escalate(notification.pk) == "notification:complete"


@pytest.mark.parametrize("event", ["deployment:succeed", "deployment:fail", "rollback:authorise", "rollback:complete"])
def test_external_recipients_learn_the_end_only_if_the_announcement_reached_them(world: Any, event: str) -> None:
    only((event, "users", "mail"))
    heard, new = outsider("users", "kita@users.example"), outsider("users", "minami@users.example")
    deployment = walk(world.scheduled(), "enqueue", "start")
    forget()

    def outcome(number: int) -> set[str]:
        make(
            Outbox,
            operation_id=f"00000000-0000-0000-0000-00000000000{number}",
            event=event,
            object=f"releases.Deployment:{deployment.pk}",
            payload={},
        )
        return {
            message.recipient for notification in make_notifications() for message in notification.inbox_items.all()
        }

    assert outcome(1) == set()
    announcement = announced(deployment.release, heard)
    assert outcome(2) == {f"address:{heard.address}"}
    announced_to_new = NotificationDelivery.objects.filter(inbox_item__notification=announcement).get()
    alter(announced_to_new, outcome="failed")
    assert outcome(3) == set(), f"it never arrived; {new.address} was never told"
    alter(announced_to_new, outcome="pending", ended_at=None, next_at=now() + timedelta(hours=8))
    assert outcome(4) == set(), "it waits for the morning, and is not sent then, since the plan has ended"
    alter(announced_to_new, tries=1)
    assert outcome(5) == {f"address:{heard.address}"}, "it was tried, so it may have arrived"


def test_a_role_in_one_environment_is_not_asked_for_a_decision_about_all(world: Any) -> None:
    manager, staging = world.people["manager"], world.environments["staging"]
    assert manager in holding("confirm_waiver", without=None) or manager in holding("assess_rollback")
    for grant in AccessGrant.objects.filter(account=manager):
        alter(grant, environment=staging)
    assert manager not in holding("confirm_waiver") and manager not in holding("assess_rollback")


def test_external_recipients_are_not_notified_that_an_unannounced_release_is_cancelled(world: Any) -> None:
    from releases.operations.release.prepare import cancel

    only(("release:cancel", "users", "mail"))
    outsider("users", "kita@users.example")
    row = world.planned()
    with world.acting_as("manager"):
        cancel(row.pk, reason="計画変更")
    assert make_notifications() == []
