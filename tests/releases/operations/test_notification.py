"""What is told of an event: to whom, once each, in which language, and what waits for a second person (P5)."""

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
from releases.queries.recipients import Recipient, not_before
from tests.releases.gates.asking import alter, make
from tests.releases.operations.notifying import WORKER, announced, forget, join, only, outcomes, outsider, tell


@pytest.fixture
def draft(world: Any) -> Any:
    """A release in preparation; nothing has been told so far."""
    row = world.planned()
    forget()
    return row


def called_off(world: Any, row: Any, why: str = "計画変更") -> Notification:
    """Withdraw a release as its manager, and return what is told of it."""
    from releases.operations.release.prepare import cancel as call_off

    with world.acting_as("manager"):
        call_off(row.pk, reason=why)
    return next(notification for notification in tell() if notification.event == "release:cancel")


def test_each_person_is_told_once_in_his_language_by_every_channel(world: Any, draft: Any) -> None:
    only(*(("release:cancel", group, channel) for group in ("development_team", "operations_team")
           for channel in ("mail", "admin")))  # fmt: skip
    alter(world.people["operator"], language="en")
    for group in ("development_team", "operations_team"):
        join(group, world.people["operator"], "operator@datasets.example")
    join("development_team", world.people["developer"], "developer@datasets.example")
    notification = called_off(world, draft)
    names = sorted(message.name for message in notification.inbox_items.all())
    assert names == ["Developer", "Operator"], "in two groups, told once"
    assert set(outcomes(notification)) == {(name, key) for name in names for key in ("mail", "admin")}
    texts = {message.name: message.words["subject"] for message in notification.inbox_items.all()}
    assert texts["Operator"] == "[Cancelled] Release of Datasets 1.3.0" and "【中止】" in texts["Developer"]


def test_two_accounts_of_one_person_are_one(world: Any, draft: Any) -> None:
    only(("release:cancel", "development_team", "admin"))
    for name in ("operator", "developer"):
        join("development_team", alter(world.people[name], employee_id="E-7"))
    assert called_off(world, draft).inbox_items.count() == 1


def test_an_entry_is_told_once_however_often_it_is_taken(world: Any, draft: Any) -> None:
    only(("release:cancel", "development_team", "admin"))
    join("development_team", world.people["developer"])
    notification = called_off(world, draft)
    with acting(WORKER):
        assert not make_messages(notification.outbox)
    assert Notification.objects.count() == 1 and InboxItem.objects.count() == 1
    assert not Outbox.objects.filter(sent_at=None).exists()


def test_what_tells_nobody_leaves_the_outbox_without_an_operation(world: Any, draft: Any) -> None:
    only()
    events = Event.objects.count()
    with world.acting_as("manager"):
        from releases.operations.release.prepare import cancel as call_off

        call_off(draft.pk, reason="x")
    assert tell() == [] and not Outbox.objects.filter(sent_at=None).exists()
    assert not Event.objects.filter(operation="notification:create").exists() and Event.objects.count() > events


def test_people_outside_wait_for_a_second_person(world: Any, draft: Any) -> None:
    only(("release:cancel", "users", "mail"), ("release:cancel", "development_team", "admin"))
    announced(draft, outsider("users", "kita@users.example"))
    join("development_team", world.people["developer"])
    notification = called_off(world, draft)
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


def test_who_wrote_the_text_does_not_release_it(world: Any, draft: Any) -> None:
    only(("release:cancel", "users", "mail"))
    announced(draft, outsider("users", "kita@users.example"))
    with world.acting_as("author_on_committee"):
        text = NotificationTemplate.objects.get(event="release:cancel")
        edit(text.pk, subject_ja="中止", body_ja="{{ version }}", subject_en="off", body_en="{{ version }}")
    notification = called_off(world, draft)
    assert notification.texts["ja"] == {"subject": "中止", "body": "1.3.0"}
    with world.acting_as("author_on_committee"), pytest.raises(NotPermitted, match="written"):
        approve_external(notification.pk, digest=digest_of(notification))
    with world.acting_as("author_on_committee"):
        restore(text.pk, reason="the shipped one is better")
    with world.acting_as("author_on_committee"), pytest.raises(NotPermitted, match="written"):
        approve_external(notification.pk, digest=digest_of(notification))


def test_whoever_has_no_account_is_outside_in_whatever_group(world: Any, draft: Any) -> None:
    only(("release:cancel", "development_team", "mail"))
    announced(draft, outsider("development_team", "rival@competitor.example"))
    notification = called_off(world, draft)
    assert notification.waits and [
        row.next_at for row in NotificationDelivery.objects.filter(inbox_item__notification=notification)
    ] == [None]


def test_what_is_withdrawn_reaches_nobody_outside(world: Any, draft: Any) -> None:
    only(("release:cancel", "users", "mail"))
    announced(draft, outsider("users", "kita@users.example"))
    notification = called_off(world, draft)
    with world.acting_as("project_manager"):
        with pytest.raises(InvalidInput):
            cancel(notification.pk, reason=" ")
        cancel(notification.pk, reason="誤報")
    assert (
        outcomes(notification) == {("kita@users.example", "mail"): "cancelled"} and not world.fresh(notification).waits
    )


def test_who_may_release_is_told_that_something_waits_and_it_tells_no_further(world: Any, draft: Any) -> None:
    only(("release:cancel", "users", "mail"), ("notification:await_external_approval", None, "admin"))
    announced(draft, outsider("users", "kita@users.example"))
    notification = called_off(world, draft)
    waits = Notification.objects.get(event="notification:await_external_approval")
    told = {message.account.username for message in waits.inbox_items.all()}
    assert told == {"project_manager"}, "all who may, but neither who caused it nor who planned the release"
    assert waits.parent == notification and waits.path.endswith(f"/releases/notification/{notification.pk}/change/")
    assert not waits.external and Notification.objects.exclude(event="release:announce").count() == 2


def test_an_account_in_a_group_inside_and_one_outside_is_inside(world: Any, draft: Any) -> None:
    only(("release:cancel", "vendors", "admin"), ("release:cancel", "development_team", "admin"))
    for group in ("vendors", "development_team"):
        join(group, world.people["developer"])
    notification = called_off(world, draft)
    assert not notification.external and outcomes(notification) == {("Developer", "admin"): "sent"}


def test_a_value_in_a_text_is_never_a_place_itself(world: Any, draft: Any) -> None:
    only(("release:cancel", "development_team", "admin"))
    join("development_team", world.people["developer"])
    alter(draft, title="{{ actor }} <b>")
    with world.acting_as("manager"):
        text = NotificationTemplate.objects.get(event="release:cancel")
        edit(text.pk, subject_ja="{{ title }}", body_ja="x", subject_en="{{ title }}", body_en="x")
    assert called_off(world, draft).texts["en"]["subject"] == "{{ actor }} <b>"


def test_a_text_asks_for_no_place_that_is_not_there(world: Any, people: dict[str, Any]) -> None:
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
    [("2026-12-15T21:59", "2026-12-15T21:59"), ("2026-12-15T22:00", "2026-12-16T07:00"),
     ("2026-12-16T03:00", "2026-12-16T07:00"), ("2026-12-16T07:00", "2026-12-16T07:00")],
)  # fmt: skip
def test_quiet_hours_hold_a_message_until_their_end(at: str, first: str) -> None:
    one = Recipient("x", "x", "ja", False, quiet=[TOKYO_NIGHT])
    moment = datetime.fromisoformat(at + "+09:00")
    assert not_before(one, moment, urgent=False) == datetime.fromisoformat(first + "+09:00")
    assert not_before(one, moment, urgent=True) == moment


def test_of_several_quiet_hours_the_first_end_counts_and_the_same_hour_twice_is_none() -> None:
    moment = datetime(2026, 12, 15, 18, tzinfo=UTC)  # 03:00 in Tokyo
    several = Recipient("x", "x", "ja", False, quiet=[TOKYO_NIGHT, (time(1), time(4), "Asia/Tokyo")])
    assert not_before(several, moment, urgent=False) == moment + timedelta(hours=1)
    never = Recipient("x", "x", "ja", False, quiet=[(time(0), time(0), "Asia/Tokyo")])
    assert not_before(never, moment, urgent=False) == moment


def test_quiet_hours_of_a_person_go_before_those_of_the_group(world: Any, draft: Any) -> None:
    from audit.clock import now

    only(("release:cancel", "development_team", "mail"))
    local = now().astimezone().replace(minute=0, second=0, microsecond=0)
    begins, ends = (local - timedelta(hours=2)).time(), (local + timedelta(hours=3)).time()
    member = join("development_team", world.people["developer"], "developer@datasets.example")
    alter(member.group, quiet_from="00:00", quiet_until="00:00", zone="UTC")
    alter(world.people["developer"], quiet_from=begins, quiet_until=ends)
    called_off(world, draft)
    due = NotificationDelivery.objects.get().next_at
    assert due is not None and timedelta(hours=1) < due - now() < timedelta(hours=4)


def test_the_text_for_going_back_is_released_with_the_approval(world: Any) -> None:
    """It is part of what was approved; changed since, it waits for a second person as any other."""
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
        make(Outbox, operation_id=f"00000000-0000-0000-0000-00000000000{int(change_first)}", event="rollback:authorise",
             object=f"releases.Deployment:{deployment.pk}", payload={})  # fmt: skip
        (notification,) = tell()
        assert (notification.external_approved_at is not None) is released and notification.waits is not released
        assert (notification.approved_with_request == deployment.approval_request) is released


@pytest.mark.parametrize("place", ["reason", "actor", "affected_item"])
def test_a_text_with_words_that_are_written_later_is_not_released_beforehand(world: Any, place: str) -> None:
    """Who consented has not read them."""
    only(("rollback:authorise", "users", "mail"))
    with world.acting_as("manager"):
        text = NotificationTemplate.objects.get(event="rollback:authorise")
        edit(text.pk, subject_ja="戻す", body_ja=f"{{{{ {place} }}}}", subject_en="back", body_en="{{ version }}")
    deployment = world.scheduled()
    announced(deployment.release, outsider("users", "kita@users.example"))
    forget()
    make(Outbox, operation_id="00000000-0000-0000-0000-000000000000", event="rollback:authorise",
         object=f"releases.Deployment:{deployment.pk}", payload={})  # fmt: skip
    (notification,) = tell()
    assert notification.waits and notification.approved_with_request is None


def test_changing_that_text_voids_the_approval_and_names_why(world: Any) -> None:
    from releases.operations.release.end_approval import invalidate_stale

    row, approval_request = world.granted()
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


def test_those_who_must_act_are_asked_and_nobody_else(world: Any) -> None:
    only(("release:submit", None, "admin"))
    forget()
    world.submitted()
    notification = next(one for one in tell() if one.event == "release:submit")
    assert {message.account.username for message in notification.inbox_items.all()} == {"committee_a", "committee_b"}
    assert notification.remind_at is not None and "ApprovalRequest" in notification.required_action


def test_a_run_outside_production_tells_nobody_outside_and_nothing_of_its_success(world: Any) -> None:
    only(*((event, "users", "mail") for event in ("deployment:succeed", "deployment:fail")),
         *((event, "development_team", "admin") for event in ("deployment:succeed", "deployment:fail")))  # fmt: skip
    outsider("users", "kita@users.example")
    join("development_team", world.people["developer"])
    deployment = world.verified_run(world.planned(), "development")
    forget()
    for number, event in enumerate(("deployment:succeed", "deployment:fail")):
        make(Outbox, operation_id=f"00000000-0000-0000-0000-00000000000{number}", event=event,
             object=f"releases.Deployment:{deployment.pk}", payload={})  # fmt: skip
    (notification,) = tell()
    assert notification.event == "deployment:fail" and outcomes(notification) == {("Developer", "admin"): "sent"}


def test_an_entry_that_fails_keeps_no_other_from_its_turn(
    world: Any, draft: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stays in the outbox, and is told once its fault is gone."""
    from releases.operations.notification import create as made
    from releases.queries import notification_plan

    only(("release:cancel", "development_team", "admin"), ("deployment:mark_missed", "development_team", "admin"))
    join("development_team", world.people["developer"])
    deployment = world.verified_run(draft, "production")
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
        from releases.operations.release.prepare import cancel as call_off

        call_off(draft.pk, reason="x")
    with acting(WORKER):
        made.process_outbox()
    assert Notification.objects.get().event == "release:cancel"
    assert (
        list(Outbox.objects.filter(sent_at=None, event="deployment:mark_missed")) == [stuck]
        and world.fresh(gone).sent_at
    )
    monkeypatch.undo()
    assert [notification.event for notification in tell()] == ["deployment:mark_missed"]
