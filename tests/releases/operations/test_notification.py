"""The notification of an event: recipients, once each, in their language, and a second person's approval (P5)."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest

from audit.actor import acting
from audit.models import Event, Outbox
from audit.refusals import InvalidInput, NotPermitted, NotPossible
from releases.models import InboxItem, Notification, NotificationDelivery, NotificationTemplate
from releases.operations.notification.approve_external import approve_external, cancel, digest_of
from releases.operations.notification.create import create as make_messages
from releases.operations.notification_template.edit import edit, restore
from releases.queries.assignees import assignees
from releases.queries.notification_subject import Subject
from releases.queries.recipients import Recipient, not_before
from tests.releases.gates.asking import alter, make
from tests.releases.operations.notifying import (
    WORKER,
    announced,
    forget,
    join,
    make_notifications,
    only,
    outcomes,
    outsider,
)


@pytest.fixture
def draft(world: Any) -> Any:
    """A release in preparation; the outbox is empty."""
    row = world.planned()
    forget()
    return row


def cancelled(world: Any, row: Any, why: str = "計画変更") -> Notification:
    """Cancel a release as its manager, and return its notification."""
    from releases.operations.release.prepare import cancel as cancel_release

    with world.acting_as("manager"):
        cancel_release(row.pk, reason=why)
    return next(notification for notification in make_notifications() if notification.event == "release:cancel")


def test_each_recipient_is_notified_once_in_their_language_by_every_channel(world: Any, draft: Any) -> None:
    only(
        *(
            ("release:cancel", group, channel)
            for group in ("development_team", "operations_team")
            for channel in ("mail", "admin")
        )
    )
    alter(world.people["operator"], language="en")
    for group in ("development_team", "operations_team"):
        join(group, world.people["operator"], "operator@datasets.example")
    join("development_team", world.people["developer"], "developer@datasets.example")
    notification = cancelled(world, draft)
    names = sorted(message.name for message in notification.inbox_items.all())
    assert names == ["Developer", "Operator"], "in two groups, notified once"
    assert set(outcomes(notification)) == {(name, key) for name in names for key in ("mail", "admin")}
    texts = {message.name: message.words["subject"] for message in notification.inbox_items.all()}
    assert texts["Operator"] == "[Cancelled] Release of Datasets 1.3.0" and "【中止】" in texts["Developer"]


def test_two_accounts_of_one_person_are_one_recipient(world: Any, draft: Any) -> None:
    only(("release:cancel", "development_team", "admin"))
    for name in ("operator", "developer"):
        join("development_team", alter(world.people[name], employee_id="E-7"))
    assert cancelled(world, draft).inbox_items.count() == 1


def test_an_outbox_entry_is_notified_once_however_often_it_is_processed(world: Any, draft: Any) -> None:
    only(("release:cancel", "development_team", "admin"))
    join("development_team", world.people["developer"])
    notification = cancelled(world, draft)
    with acting(WORKER):
        assert not make_messages(notification.outbox)
    assert Notification.objects.count() == 1 and InboxItem.objects.count() == 1
    assert not Outbox.objects.filter(sent_at=None).exists()


def test_an_entry_without_recipients_leaves_the_outbox_without_an_operation(world: Any, draft: Any) -> None:
    only()
    events = Event.objects.count()
    with world.acting_as("manager"):
        from releases.operations.release.prepare import cancel as cancel_release

        cancel_release(draft.pk, reason="x")
    assert make_notifications() == [] and not Outbox.objects.filter(sent_at=None).exists()
    assert not Event.objects.filter(operation="notification:create").exists() and Event.objects.count() > events


def test_external_recipients_wait_for_a_second_person(world: Any, draft: Any) -> None:
    only(("release:cancel", "users", "mail"), ("release:cancel", "development_team", "admin"))
    announced(draft, outsider("users", "kita@users.example"))
    join("development_team", world.people["developer"])
    notification = cancelled(world, draft)
    assert notification.waits and outcomes(notification) == {
        ("kita@users.example", "mail"): "pending",
        ("Developer", "admin"): "sent",
    }
    mail = NotificationDelivery.objects.get(inbox_item__notification=notification, channel__key="mail")
    assert mail.next_at is None
    with world.acting_as("manager"), pytest.raises(NotPermitted, match="caused"):
        approve_external(notification.pk, digest=digest_of(notification))
    with world.acting_as("operator"), pytest.raises(NotPermitted, match="the permission “Approve for external"):
        approve_external(notification.pk, digest=digest_of(notification))
    with world.acting_as("project_manager"):
        with pytest.raises(InvalidInput, match="The text or the recipients shown to you differ"):
            approve_external(notification.pk, digest="0" * 64)
        approve_external(notification.pk, digest=digest_of(notification))
        with pytest.raises(NotPossible):
            approve_external(notification.pk, digest=digest_of(notification))
    assert world.fresh(mail).next_at is not None
    event = Event.objects.get(operation="notification:approve_external", kind="operation")
    assert event.contents["after"]["signature"]["meaning"] == "notification:approve_external"


def test_the_writer_of_a_text_does_not_approve_it(world: Any, draft: Any) -> None:
    only(("release:cancel", "users", "mail"))
    announced(draft, outsider("users", "kita@users.example"))
    with world.acting_as("author_on_committee"):
        text = NotificationTemplate.objects.get(event="release:cancel")
        edit(text.pk, subject_ja="中止", body_ja="{{ version }}", subject_en="off", body_en="{{ version }}")
    notification = cancelled(world, draft)
    assert notification.texts["ja"] == {"subject": "中止", "body": "1.3.0"}
    with world.acting_as("author_on_committee"), pytest.raises(NotPermitted, match="written"):
        approve_external(notification.pk, digest=digest_of(notification))
    with world.acting_as("author_on_committee"):
        restore(text.pk, reason="the shipped one is better")
    with world.acting_as("author_on_committee"), pytest.raises(NotPermitted, match="written"):
        approve_external(notification.pk, digest=digest_of(notification))


def test_a_recipient_without_account_is_external_in_any_group(world: Any, draft: Any) -> None:
    only(("release:cancel", "development_team", "mail"))
    announced(draft, outsider("development_team", "rival@competitor.example"))
    notification = cancelled(world, draft)
    assert notification.waits and [
        row.next_at for row in NotificationDelivery.objects.filter(inbox_item__notification=notification)
    ] == [None]


def test_a_cancelled_notification_reaches_no_external_recipient(world: Any, draft: Any) -> None:
    only(("release:cancel", "users", "mail"))
    announced(draft, outsider("users", "kita@users.example"))
    notification = cancelled(world, draft)
    with world.acting_as("project_manager"):
        with pytest.raises(InvalidInput):
            cancel(notification.pk, reason=" ")
        cancel(notification.pk, reason="誤報")
    assert (
        outcomes(notification) == {("kita@users.example", "mail"): "cancelled"} and not world.fresh(notification).waits
    )


def test_approvers_are_notified_of_a_pending_notification_without_further_ones(world: Any, draft: Any) -> None:
    only(("release:cancel", "users", "mail"), ("notification:await_external_approval", None, "admin"))
    announced(draft, outsider("users", "kita@users.example"))
    notification = cancelled(world, draft)
    pending = Notification.objects.get(event="notification:await_external_approval")
    notified = {message.account.username for message in pending.inbox_items.all()}
    assert notified == {"project_manager"}, "all who may, but neither who caused it nor who planned the release"
    assert pending.parent == notification and pending.path.endswith(f"/releases/notification/{notification.pk}/change/")
    assert not pending.external and Notification.objects.exclude(event="release:announce").count() == 2
    written = Subject(alter(notification, writer=world.people["project_manager"].person_key), None)
    assert not assignees(pending.event, written, {}), "nor who wrote its text"


def test_an_account_in_an_internal_and_an_external_group_is_internal(world: Any, draft: Any) -> None:
    only(("release:cancel", "vendors", "admin"), ("release:cancel", "development_team", "admin"))
    for group in ("vendors", "development_team"):
        join(group, world.people["developer"])
    notification = cancelled(world, draft)
    assert not notification.external and outcomes(notification) == {("Developer", "admin"): "sent"}


def test_a_value_in_a_text_is_never_a_placeholder(world: Any, draft: Any) -> None:
    only(("release:cancel", "development_team", "admin"))
    join("development_team", world.people["developer"])
    alter(draft, title="{{ actor }} <b>")
    with world.acting_as("manager"):
        text = NotificationTemplate.objects.get(event="release:cancel")
        edit(text.pk, subject_ja="{{ title }}", body_ja="x", subject_en="{{ title }}", body_en="x")
    assert cancelled(world, draft).texts["en"]["subject"] == "{{ actor }} <b>"


def test_a_text_with_an_unknown_placeholder_is_refused(world: Any, people: dict[str, Any]) -> None:
    text = NotificationTemplate.objects.get(event="release:cancel")
    with world.acting_as("manager"):
        for body in ("{{ password }}", "{% debug %}", "{{ release.author }}"):
            with pytest.raises(InvalidInput):
                edit(text.pk, subject_ja="", body_ja=body, subject_en="", body_en="")
    with world.acting_as("operator"), pytest.raises(NotPermitted):
        edit(text.pk, subject_ja="x", body_ja="x", subject_en="x", body_en="x")
    assert world.fresh(text).version == 0


def test_the_versions_of_a_text_are_kept(world: Any) -> None:
    text = NotificationTemplate.objects.get(event="release:cancel")
    with world.acting_as("manager"):
        for words in ("一", "二"):
            edit(text.pk, subject_ja=words, body_ja=words, subject_en="", body_en="")
    assert [row.subject_ja for row in text.history.order_by("history_id")] == ["", "一", "二"]
    assert NotificationTemplate.words("release:cancel")["ja"]["subject"] == "二"
    assert NotificationTemplate.words("release:cancel")["en"]["subject"].startswith("[Cancelled]"), "the shipped one"


TOKYO_NIGHT = (time(22), time(7), "Asia/Tokyo")


@pytest.mark.parametrize(
    ("at", "first"),
    [
        ("2026-12-15T21:59", "2026-12-15T21:59"),
        ("2026-12-15T22:00", "2026-12-16T07:00"),
        ("2026-12-16T03:00", "2026-12-16T07:00"),
        ("2026-12-16T07:00", "2026-12-16T07:00"),
    ],
)
def test_quiet_hours_hold_a_notification_until_their_end(at: str, first: str) -> None:
    one = Recipient("x", "x", "ja", False, quiet=[TOKYO_NIGHT])
    moment = datetime.fromisoformat(at + "+09:00")
    assert not_before(one, moment, urgent=False) == datetime.fromisoformat(first + "+09:00")
    assert not_before(one, moment, urgent=True) == moment


def test_the_first_end_of_several_quiet_hours_counts_and_an_empty_span_does_not() -> None:
    moment = datetime(2026, 12, 15, 18, tzinfo=UTC)  # 03:00 in Tokyo
    several = Recipient("x", "x", "ja", False, quiet=[TOKYO_NIGHT, (time(1), time(4), "Asia/Tokyo")])
    assert not_before(several, moment, urgent=False) == moment + timedelta(hours=1)
    never = Recipient("x", "x", "ja", False, quiet=[(time(0), time(0), "Asia/Tokyo")])
    assert not_before(never, moment, urgent=False) == moment


def test_quiet_hours_of_a_person_override_those_of_the_group(world: Any, draft: Any) -> None:
    from audit.clock import now

    only(("release:cancel", "development_team", "mail"))
    local = now().astimezone().replace(minute=0, second=0, microsecond=0)
    begins, ends = (local - timedelta(hours=2)).time(), (local + timedelta(hours=3)).time()
    member = join("development_team", world.people["developer"], "developer@datasets.example")
    alter(member.group, quiet_from="00:00", quiet_until="00:00", zone="UTC")
    alter(world.people["developer"], quiet_from=begins, quiet_until=ends)
    cancelled(world, draft)
    due = NotificationDelivery.objects.get().next_at
    assert due is not None and timedelta(hours=1) < due - now() < timedelta(hours=4)


def test_the_rollback_text_is_approved_with_the_release(world: Any) -> None:
    """It is part of the approved content; a later change needs the approval of a second person like any other text."""
    only(("rollback:authorise", "users", "mail"))
    deployment = world.scheduled()
    announced(deployment.release, outsider("users", "kita@users.example"))
    assert deployment.approval_request.document["notification_templates"].keys() == {
        "rollback:authorise",
        "rollback:complete",
        "rollback:notify_stakeholders",
        "rollback:notify_users",
    }
    forget()
    for change_first, released in ((False, True), (True, False)):
        if change_first:
            with world.acting_as("manager"):
                text = NotificationTemplate.objects.get(event="rollback:authorise")
                edit(text.pk, subject_ja="別の文", body_ja="別", subject_en="other", body_en="other")
        make(
            Outbox,
            operation_id=f"00000000-0000-0000-0000-00000000000{int(change_first)}",
            event="rollback:authorise",
            object=f"releases.Deployment:{deployment.pk}",
            payload={},
        )
        (notification,) = make_notifications()
        assert (notification.external_approved_at is not None) is released and notification.waits is not released
        assert (notification.approved_with_request == deployment.approval_request) is released


@pytest.mark.parametrize("place", ["reason", "actor", "affected_item"])
def test_a_text_with_later_placeholders_is_not_pre_approved(world: Any, place: str) -> None:
    """The approvers have not read them."""
    only(("rollback:authorise", "users", "mail"))
    with world.acting_as("manager"):
        text = NotificationTemplate.objects.get(event="rollback:authorise")
        edit(text.pk, subject_ja="戻す", body_ja=f"{{{{ {place} }}}}", subject_en="back", body_en="{{ version }}")
    deployment = world.scheduled()
    announced(deployment.release, outsider("users", "kita@users.example"))
    forget()
    make(
        Outbox,
        operation_id="00000000-0000-0000-0000-000000000000",
        event="rollback:authorise",
        object=f"releases.Deployment:{deployment.pk}",
        payload={},
    )
    (notification,) = make_notifications()
    assert notification.waits and notification.approved_with_request is None


def test_changing_the_rollback_text_invalidates_the_approval_and_says_why(world: Any) -> None:
    from releases.operations.release.end_approval import invalidate_stale

    row, approval_request = world.approved()
    with world.acting_as("manager"):
        text = NotificationTemplate.objects.get(event="rollback:complete")
        edit(text.pk, subject_ja="別の文", body_ja="別", subject_en="other", body_en="other")
    with acting(WORKER):
        invalidate_stale()
    assert (world.fresh(approval_request).state, world.fresh(approval_request).invalidated_by) == (
        "invalidated",
        "notification_templates",
    )
    assert world.fresh(row).state == "testing_completed"


def test_only_the_responsible_people_are_asked(world: Any) -> None:
    only(("release:submit", None, "admin"))
    forget()
    world.submitted()
    notification = next(one for one in make_notifications() if one.event == "release:submit")
    assert {message.account.username for message in notification.inbox_items.all()} == {"committee_a", "committee_b"}
    assert notification.remind_at is not None and "ApprovalRequest" in notification.required_action


def test_a_deployment_outside_production_notifies_no_external_recipient_and_no_success(world: Any) -> None:
    only(
        *((event, "users", "mail") for event in ("deployment:succeed", "deployment:fail")),
        *((event, "development_team", "admin") for event in ("deployment:succeed", "deployment:fail")),
    )
    outsider("users", "kita@users.example")
    join("development_team", world.people["developer"])
    deployment = world.verified_deployment(world.planned(), "development")
    forget()
    for number, event in enumerate(("deployment:succeed", "deployment:fail")):
        make(
            Outbox,
            operation_id=f"00000000-0000-0000-0000-00000000000{number}",
            event=event,
            object=f"releases.Deployment:{deployment.pk}",
            payload={},
        )
    (notification,) = make_notifications()
    assert notification.event == "deployment:fail" and outcomes(notification) == {("Developer", "admin"): "sent"}


def test_a_failing_outbox_entry_delays_no_other(world: Any, draft: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stays in the outbox, and its notification is made once its fault is gone."""
    from releases.operations.notification import create as made
    from releases.queries import notification_plan

    only(("release:cancel", "development_team", "admin"), ("deployment:mark_missed", "development_team", "admin"))
    join("development_team", world.people["developer"])
    deployment = world.verified_deployment(draft, "production")
    forget()
    entry = {"operation_id": "00000000-0000-0000-0000-000000000001", "event": "deployment:mark_missed", "payload": {}}
    stuck = make(Outbox, object=f"releases.Deployment:{deployment.pk}", **entry)
    gone = make(Outbox, object="releases.Deployment:999999", **entry)
    values_of = notification_plan.values_of

    def broken(subject: Any, **given: Any) -> dict[str, str]:
        if subject.deployment is not None:
            raise RuntimeError("broken")
        return values_of(subject, **given)

    monkeypatch.setattr(notification_plan, "values_of", broken)
    with world.acting_as("manager"):
        from releases.operations.release.prepare import cancel as cancel_release

        cancel_release(draft.pk, reason="x")
    with acting(WORKER):
        made.process_outbox()
    assert Notification.objects.get().event == "release:cancel"
    assert (
        list(Outbox.objects.filter(sent_at=None, event="deployment:mark_missed")) == [stuck]
        and world.fresh(gone).sent_at
    )
    monkeypatch.undo()
    assert [notification.event for notification in make_notifications()] == ["deployment:mark_missed"]
