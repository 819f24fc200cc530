"""Who is told that something waits for him, that nothing is known, or that his word holds no longer; and who outside."""

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
from tests.releases.operations.notifying import WORKER, announced, deliver, forget, join, only, outsider, tell
from tests.releases.operations.test_approval_forms import appointed

COMMITTEE = {"committee_a", "committee_b", "author_on_committee"}


def awake(world: Any, *names: str) -> None:
    """Give people an address, and no quiet hours."""
    for name in names:
        alter(world.people[name], email=f"{name}@datasets.example", quiet_from=time(0), quiet_until=time(0))


def told(event: str) -> Notification:
    """Make messages of what waits; return the one notification of an event."""
    (notification,) = [one for one in tell() if one.event == event]
    return notification


def names(notification: Notification) -> set[str]:
    return {message.account.username for message in notification.inbox_items.all() if message.account is not None}


def mailed(host: MailHost) -> set[str]:
    return {str(mail["To"]).partition("@")[0].strip("<> ") for mail in host.mails}


def extra_window(world: Any) -> Any:
    with world.acting_as("manager"):
        return request_window(world.environments["production"].pk, name="extra", reason="hotfix",
                       starts_at=now() + timedelta(days=1), ends_at=now() + timedelta(days=1, hours=2))  # fmt: skip


def test_who_decides_about_an_extra_window_is_told_by_mail_and_led_to_its_round(world: Any, host: MailHost) -> None:
    only(("approval:request", None, "mail"))
    awake(world, *COMMITTEE)
    forget()
    approval_request = extra_window(world)
    notification = told("approval:request")
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


def test_a_rule_of_windows_and_the_lift_of_the_emergency_stop_ask_too(world: Any) -> None:
    only(("approval:request", None, "admin"))
    forget()
    with world.acting_as("manager"):
        set_rule(world.environments["production"].pk, name="weekly", rrule="FREQ=WEEKLY;BYDAY=TU", start=time(1),
                 length_minutes=60, reason="more often")  # fmt: skip
    assert names(told("approval:request")) == COMMITTEE
    with world.acting_as("operator"):
        activate(reason="smoke")
        request_lift(EmergencyStop.objects.get().pk, reason="it was toast")
    notification = told("approval:request")
    assert names(notification) == COMMITTEE and "it was toast" in notification.texts["en"]["body"]


def test_the_next_stage_is_told_when_it_opens(world: Any) -> None:
    only(("release:submit", None, "admin"), ("approval:request", None, "admin"))
    _release, approval_request = world.submitted()
    approval_request = alter(
        approval_request, rules=[{"stage": stage, "role": "committee", "number": 1} for stage in (1, 2)]
    )
    forget()
    with world.acting_as("committee_a"):
        decide.approve(approval_request.pk, digest=approval_request.digest)
    notification = told("approval:request")
    assert names(notification) == {"committee_b"} and "#approvals" in notification.path
    assert notification.remind_at is None, "the first notice of the round asks whoever is asked by now"
    with world.acting_as("committee_b"):
        decide.approve(approval_request.pk, digest=approval_request.digest)
    assert world.fresh(approval_request).state == "approved" and not [
        one for one in tell() if one.event == "approval:request"
    ]


def test_a_delegate_is_told_beside_who_is_away_and_only_while_he_stands_in(world: Any, host: MailHost) -> None:
    only(("release:submit", None, "mail"))
    awake(world, "committee_a", "committee_b", "project_manager")
    row = appointed(world)
    forget()
    world.submitted()
    notification = told("release:submit")
    assert names(notification) == {"committee_a", "committee_b", "project_manager"}
    deliver()
    assert mailed(host) == names(notification)
    only(("approval:request", None, "admin"))
    assert "project_manager" in names((extra_window(world), told("approval:request"))[1])
    alter(row, until=now())
    assert "project_manager" not in names((extra_window(world), told("approval:request"))[1])


def test_who_may_answer_a_request_for_access_is_told_and_led_to_it(world: Any, host: MailHost) -> None:
    only(("access:request", None, "mail"))
    awake(world, "administrator", "second_administrator")
    forget()
    with world.acting_as("developer"):
        asked = request(
            role="operator", environment_id=world.environments["production"].pk, hours=4, reason="incident 7"
        )
    notification = told("access:request")
    assert names(notification) == {"administrator", "second_administrator"}
    assert notification.path == f"/admin/environments/accessrequest/{asked.pk}/change/" and notification.urgent
    assert deliver() == 2 and mailed(host) == names(notification)
    assert "incident 7" in notification.texts["en"]["body"] and "4 h" in notification.texts["en"]["body"]
    with world.acting_as("administrator"):
        reject(asked.pk, answer="ask the operator on duty")
    with acting(WORKER):
        assert remind_or_escalate(notification.pk) == "notification:complete"


def test_author_and_approvers_are_told_why_an_approval_has_lapsed(world: Any, host: MailHost) -> None:
    only(("release:end_approval", None, "mail"))
    awake(world, "author_on_committee", "committee_a", "committee_b", "manager")
    release, approval_request = world.submitted()
    with world.acting_as("committee_a"):
        decide.approve(approval_request.pk, digest=approval_request.digest)
    forget()
    alter(release, title="Another title")
    with acting(WORKER):
        assert invalidate_stale() == [release.pk]
    notification = told("release:end_approval")
    assert names(notification) == {"author_on_committee", "committee_a", "committee_b", "manager"}
    assert "content of the request" in notification.texts["en"]["body"] and "申請" in notification.texts["ja"]["body"]
    assert notification.remind_at is None
    deliver()
    assert mailed(host) == names(notification)


def test_an_approval_whose_window_is_over_says_so(world: Any) -> None:
    only(("release:end_approval", None, "admin"))
    release, approval_request = world.granted()
    forget()
    alter(approval_request, valid_until=now() - timedelta(seconds=1))
    with acting(WORKER):
        invalidate_stale()
    assert "the approval has expired" in told("release:end_approval").texts["en"]["body"]


@pytest.mark.parametrize("lapses", [True, False])
def test_a_run_whose_approval_ends_is_told_as_cancelled_to_those_who_wait_for_it(world: Any, lapses: bool) -> None:
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
    notification = told("deployment:cancel")
    assert (
        names(notification) == {"operator"}
        and "The approval of this release has ended." in notification.texts["en"]["body"]
    )


def test_a_new_procedure_asks_the_committee_and_tells_whose_approval_it_has_ended(world: Any) -> None:
    only(("approval:request", None, "admin"), ("release:end_approval", None, "admin"))
    moved, _round = world.granted()
    raw = active_procedure().document.model_dump(mode="json")
    entry = {"date": "2026-11-25", "version": "1.1.0", "ja": "改訂", "en": "Revised", "origin": "default"}
    raw |= {"version": "1.1.0", "history": [*raw["history"], entry]}
    forget()
    with world.acting_as("manager"):
        asked = submit(load(Content.checked(raw), reason="revised").pk, reason="better", moved=(moved.pk,))
    notification = told("approval:request")
    assert names(notification) == COMMITTEE and "1.1.0" in notification.texts["en"]["subject"]
    for name in ("committee_a", "committee_b"):
        with world.acting_as(name):
            decide.approve(asked.pk, digest=asked.digest)
    ended_requests = told("release:end_approval")
    assert names(ended_requests) == {"author_on_committee", "manager", "committee_a", "committee_b"}
    assert "procedure" in ended_requests.texts["en"]["body"].lower() and ended_requests.release == moved


@pytest.fixture
def monitoring(world: Any) -> MonitoringPeriod:
    """A watch in production that has looked for ten minutes."""
    deployment = walk(world.scheduled(), "enqueue", "start", "start_verification", "start_monitoring")
    trigger = {"key": "error_rate", "critical": True, "metric": "error_rate", "comparison": "absolute",
               "limit": "0.10", "k": 3, "n": 5, "required": True}  # fmt: skip
    forget()
    began = now() - timedelta(minutes=10)
    return make(MonitoringPeriod, deployment=deployment, interval_seconds=60, duration_seconds=3600, triggers=[trigger],  # type: ignore[no-any-return]
                started_at=began, next_at=now())  # fmt: skip


def seen(monitoring: MonitoringPeriod, value: float | None, at: datetime) -> None:
    entry = {"value": value, "result": "stale" if value is None else "passed"}
    make(Measurement, period=monitoring, due_at=at, at=at, up=True, values={"error_rate": entry})


def look(later: timedelta = timedelta()) -> None:
    with acting(WORKER):
        notify_inconclusive(now() + later)


def test_the_procedure_says_after_how_many_measurements_without_a_value_monitoring_is_unclear(
    monitoring: MonitoringPeriod,
) -> None:
    procedure = monitoring.deployment.procedure
    content = procedure.document.model_dump(mode="json")
    for limit, inconclusive in ((12, False), (8, True)):
        content["monitoring"]["error_limit"] = limit
        alter(procedure, content=content)
        look()
        assert (MonitoringPeriod.objects.get(pk=monitoring.pk).no_data_at is not None) is inconclusive, limit


def test_monitoring_without_values_wakes_the_team_once_until_there_are_some(
    world: Any, monitoring: MonitoringPeriod, host: MailHost
) -> None:
    only(("monitoring:report_no_data", None, "mail"))
    roster = {"operator", "second_operator", "manager"}
    awake(world, *roster)
    for name in roster:
        alter(world.people[name], quiet_from=time(0), quiet_until=time(23, 59))
    seen(monitoring, 0.0, now() - timedelta(minutes=2))
    look()
    assert tell() == [], "a value two minutes ago is known"
    seen(monitoring, None, now() - timedelta(minutes=1))
    for _again in range(2):
        look(timedelta(minutes=6))
    notification = told("monitoring:report_no_data")
    assert (
        names(notification) == roster
        and notification.path == f"/admin/deployment/{monitoring.deployment_id}/#monitoring"
    )
    assert "Error rate" in notification.texts["en"]["body"] and "エラーレート" in notification.texts["ja"]["body"]
    deliver()
    assert mailed(host) == roster, "quiet hours do not hold it"
    seen(monitoring, 0.0, now())
    look()
    assert world.fresh(monitoring).no_data_at is None and tell() == []
    with acting(WORKER):
        assert remind_or_escalate(notification.pk) == "notification:complete"


def test_monitoring_that_nobody_samples_any_more_is_told_too(world: Any, monitoring: MonitoringPeriod) -> None:
    only(("monitoring:report_no_data", None, "admin"))
    look()
    assert told("monitoring:report_no_data").payload["without_values"] == ["error_rate"]


def test_monitoring_that_has_just_begun_or_is_paused_is_not(world: Any, monitoring: MonitoringPeriod) -> None:
    only(("monitoring:report_no_data", None, "admin"))
    alter(monitoring, paused_at=now())
    look()
    alter(monitoring, paused_at=None, resumed_at=now() - timedelta(minutes=3))
    look()
    assert tell() == [] and world.fresh(monitoring).no_data_at is None


def test_monitoring_that_ends_without_a_verdict_asks_for_one(world: Any, monitoring: MonitoringPeriod) -> None:
    only(("monitoring:report_no_data", None, "admin"))
    alter(monitoring, started_at=now() - timedelta(hours=2))
    with acting(WORKER):
        assert end_due(monitoring.pk) == "inconclusive"
    notification = told("monitoring:report_no_data")
    assert notification.remind_at is not None and "Error rate" in notification.texts["en"]["body"]
    alter(monitoring, ended_at=now(), result="passed_by_person")
    with acting(WORKER):
        assert remind_or_escalate(notification.pk) == "notification:complete"


@pytest.mark.parametrize("event", ["deployment:succeed", "deployment:fail", "rollback:authorise", "rollback:complete"])
def test_people_outside_hear_how_it_ended_only_if_the_announcement_reached_them(world: Any, event: str) -> None:
    only((event, "users", "mail"))
    heard, new = outsider("users", "kita@users.example"), outsider("users", "minami@users.example")
    deployment = walk(world.scheduled(), "enqueue", "start")
    forget()

    def outcome(number: int) -> set[str]:
        make(Outbox, operation_id=f"00000000-0000-0000-0000-00000000000{number}", event=event,
             object=f"releases.Deployment:{deployment.pk}", payload={})  # fmt: skip
        return {message.recipient for notification in tell() for message in notification.inbox_items.all()}

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


def test_who_may_act_in_one_environment_alone_is_not_asked_for_what_needs_all(world: Any) -> None:
    manager, staging = world.people["manager"], world.environments["staging"]
    assert manager in holding("confirm_waiver", without=None) or manager in holding("assess_rollback")
    for grant in AccessGrant.objects.filter(account=manager):
        alter(grant, environment=staging)
    assert manager not in holding("confirm_waiver") and manager not in holding("assess_rollback")


def test_nobody_outside_is_told_that_what_he_never_heard_of_is_called_off(world: Any) -> None:
    from releases.operations.release.prepare import cancel

    only(("release:cancel", "users", "mail"))
    outsider("users", "kita@users.example")
    row = world.planned()
    with world.acting_as("manager"):
        cancel(row.pk, reason="計画変更")
    assert tell() == []
