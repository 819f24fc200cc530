"""Deliveries over real receivers: attempts, answers, one key, disabled addresses, and dropped reminders (P6)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from audit.actor import acting
from audit.clock import now
from audit.models import Event
from audit.refusals import GateNotPassed, InvalidInput, NotPermitted, NotPossible
from environments.secrets import encrypt
from releases.models import Milestone, Notification, NotificationChannel, NotificationDelivery, SuppressedAddress
from releases.operations.notification.remind import remind_open, remind_or_escalate
from releases.operations.notification_channel.change import create, enable, send_test, set_address
from releases.operations.notification_delivery import send as sending
from releases.operations.notification_delivery.disable import bounce, enable_address
from releases.operations.notification_delivery.lane import HOLD, OPENS_AFTER, claim
from tests.releases.channel_types.receivers import MailHost, Receiver, receiver
from tests.releases.gates.asking import alter
from tests.releases.operations.notifying import (
    WORKER,
    announced,
    deliver,
    due_now,
    forget,
    join,
    make_notifications,
    only,
    outcomes,
    outsider,
    rule,
)

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def draft(world: Any, settings: Any) -> Any:
    """A release in preparation; groups have no quiet hours, and the outbox is empty."""
    from releases.models import RecipientGroup

    settings.NOTIFICATION_NETWORKS = ["127.0.0.0/8"]
    for group in RecipientGroup.objects.all():
        alter(group, quiet_from="00:00", quiet_until="00:00")
    row = world.planned()
    forget()
    return row


@pytest.fixture
def hook() -> Iterator[Receiver]:
    """A receiver of webhooks."""
    with receiver() as running:
        yield running


def cancel_release(world: Any, row: Any) -> Notification:
    """Cancel a release; return its notification."""
    from releases.operations.release.prepare import cancel

    with world.acting_as("manager"):
        cancel(row.pk, reason="計画変更")
    return next(one for one in make_notifications() if one.event == "release:cancel")


def place(key: str, kind: str, url: str, secret: str = "") -> NotificationChannel:
    """Make a channel that posts to a receiver of the test."""
    row, _made = NotificationChannel.objects.get_or_create(key=key) if kind == "slack" else (None, False)
    with acting(WORKER):
        from audit.operation import operation

        with operation("test:channel") as op:
            if row is None:
                row = NotificationChannel.objects.create(key=key, channel_type=kind, label_ja=key, label_en=key)
            values = {"url": url, **({"secret": secret} if secret else {})}
            row.encrypted = {name: encrypt(text, row.bound_to(name)) for name, text in values.items()}
            row.save()
            op.about(row)
    return row


def test_a_mail_arrives_once_and_its_answer_is_kept(world: Any, draft: Any, host: MailHost) -> None:
    only(("release:cancel", "development_team", "mail"))
    join("development_team", world.people["developer"], "developer@datasets.example")
    notification = cancel_release(world, draft)
    assert deliver() == 1 and deliver() == 0
    row = NotificationDelivery.objects.get()
    assert (row.outcome, row.tries, row.address) == ("sent", 1, "developer@datasets.example") and row.response
    (mail,) = host.mails
    assert mail["Subject"] == notification.texts["ja"]["subject"]
    assert mail["Message-ID"] == f"<msg_{row.inbox_item.key.hex}@releases.example>"
    text = mail.get_body(("plain",)).get_content()
    assert f"http://127.0.0.1:8000/admin/release/{draft.pk}/" in text
    event = Event.objects.get(operation="notification_delivery:record", kind="operation")
    assert event.contents["after"]["outcome"] == "sent"


def test_external_recipients_get_nothing_before_approval_and_no_link_after(
    world: Any, draft: Any, host: MailHost
) -> None:
    from releases.operations.notification.approve_external import approve_external, digest_of

    only(("release:cancel", "users", "mail"))
    announced(draft, outsider("users", "kita@users.example", "en"))
    notification = cancel_release(world, draft)
    assert deliver() == 0 and not host.mails
    with world.acting_as("project_manager"):
        approve_external(notification.pk, digest=digest_of(notification))
    assert deliver() == 1
    text = host.mails[0].get_body(("plain",)).get_content()
    assert "[Cancelled]" in host.mails[0]["Subject"] and "/admin/" not in text


def test_a_failed_attempt_is_repeated_and_every_attempt_is_counted(world: Any, draft: Any, hook: Receiver) -> None:
    place("hook", "webhook", hook.base + "/in", SECRET)
    only()
    rule("release:cancel", "development_team", "hook")
    hook.answers = [(500, "down", {}), (200, "ok", {})]
    cancel_release(world, draft)
    deliver()
    row = NotificationDelivery.objects.get()
    assert (row.outcome, row.tries) == ("pending", 1) and "500" in row.last_error
    held = world.fresh(row.channel).next_send_at
    assert timedelta(0) < held - now() <= timedelta(seconds=HOLD[0]) and deliver() == 0
    due_now(row)
    deliver()
    row = world.fresh(row)
    assert (row.outcome, row.tries, row.response) == ("sent", 2, "200")
    assert len({got.headers["webhook-id"] for got in hook.posted}) == 1, "the second try has the key of the first"


def test_a_webhook_failing_for_a_day_is_disabled_and_missed_messages_follow_when_enabled(
    world: Any, draft: Any, hook: Receiver
) -> None:
    channel = place("hook", "webhook", hook.base, SECRET)
    only()
    rule("release:cancel", "development_team", "hook")
    hook.answers = [(500, "down", {})]
    cancel_release(world, draft)
    row = NotificationDelivery.objects.get()
    for _try in range(OPENS_AFTER):
        due_now(row)
        deliver()
    assert world.fresh(row).outcome == "pending" and world.fresh(channel).disabled_at is None
    alter(row, due_at=now() - timedelta(hours=25))
    alter(channel, unavailable_since=now() - timedelta(hours=25))
    due_now(row)
    deliver()
    row = world.fresh(row)
    assert (row.outcome, row.tries) == ("failed", OPENS_AFTER + 1) and row.ended_at is not None
    assert "500" in world.fresh(channel).disabled_because
    hook.answers = [(200, "ok", {})]
    with world.acting_as("manager"):
        enable(channel.pk, reason="直った")
    assert world.fresh(channel).disabled_at is None
    assert deliver() == 1 and world.fresh(row).outcome == "sent"


def test_a_webhook_that_is_gone_is_disabled_at_once_and_the_next_notification_says_so(
    world: Any, draft: Any, hook: Receiver
) -> None:
    channel = place("slack", "slack", hook.base)
    only(("release:cancel", "development_team", "slack"), ("release:reschedule", "development_team", "slack"))
    hook.answers = [(404, "no_service", {})]
    cancel_release(world, draft)
    deliver()
    assert world.fresh(channel).disabled_at is not None and NotificationDelivery.objects.get().outcome == "failed"
    from audit.models import Outbox
    from tests.releases.gates.asking import make

    make(
        Outbox,
        operation_id="00000000-0000-0000-0000-000000000001",
        event="release:reschedule",
        object=f"releases.Release:{draft.pk}",
        payload={},
    )
    make_notifications()
    assert deliver() == 0 and len(hook.posted) == 1
    assert (
        "disabled" in NotificationDelivery.objects.get(inbox_item__notification__event="release:reschedule").last_error
    )


def test_a_bounced_address_is_disabled_shown_and_enabled_by_a_person(world: Any, draft: Any, host: MailHost) -> None:
    only(("release:cancel", "development_team", "mail"))
    join("development_team", world.people["developer"], "gone@datasets.example")
    host.refuses = {"gone@datasets.example": "550 5.1.1 no such user"}
    cancel_release(world, draft)
    deliver()
    dead = SuppressedAddress.objects.get()
    assert (
        dead.address == "gone@datasets.example"
        and "5.1.1" in dead.reason
        and NotificationDelivery.objects.get().outcome == "failed"
    )
    with world.acting_as("operator"), pytest.raises(NotPermitted):
        enable_address(dead.pk, reason="x")
    with world.acting_as("manager"):
        enable_address(dead.pk, reason="訂正した")
        with pytest.raises(NotPossible):
            enable_address(dead.pk, reason="x")
    assert SuppressedAddress.of("GONE@datasets.example") is None


def test_a_late_bounce_disables_the_address_too(world: Any, draft: Any, host: MailHost) -> None:
    only(("release:cancel", "development_team", "mail"))
    join("development_team", world.people["developer"], "developer@datasets.example")
    cancel_release(world, draft)
    deliver()
    with world.acting_as("manager"):
        bounce(NotificationDelivery.objects.get().pk, reason="user unknown")
        with pytest.raises(NotPossible):
            bounce(NotificationDelivery.objects.get().pk, reason="again")
    assert SuppressedAddress.of("Developer@datasets.example") is not None


def test_a_missing_mail_server_fails_at_once_with_its_reason(world: Any, draft: Any, settings: Any) -> None:
    settings.MAIL_HOST = ""
    only(("release:cancel", "development_team", "mail"))
    join("development_team", world.people["developer"], "developer@datasets.example")
    cancel_release(world, draft)
    deliver()
    row = NotificationDelivery.objects.get()
    assert (row.outcome, row.tries) == ("failed", 1) and "no mail server" in row.last_error
    assert not SuppressedAddress.objects.exists()


def test_a_person_without_an_address_is_shown_unless_the_inbox_reaches_them(world: Any, draft: Any) -> None:
    only(("release:cancel", "development_team", "mail"))
    join("development_team", world.people["developer"])
    cancel_release(world, draft)
    assert (NotificationDelivery.objects.get().outcome, NotificationDelivery.objects.get().last_error) == (
        "failed",
        "No mail address is entered.",
    )


def test_a_delivery_is_claimed_by_one_process_and_reclaimed_after_its_death(
    world: Any, draft: Any, host: MailHost
) -> None:
    only(("release:cancel", "development_team", "mail"))
    join("development_team", world.people["developer"], "developer@datasets.example")
    cancel_release(world, draft)
    mail = NotificationChannel.objects.get(key="mail")
    taken = claim(mail.pk)
    assert taken is not None and claim(mail.pk) is None
    with connection.cursor() as cursor:
        cursor.execute("UPDATE releases_notificationchannel SET next_send_at = clock_timestamp() - interval '1 second'")
    again = claim(mail.pk)
    assert again == (taken[0], 2)
    with acting(WORKER):
        sending.send(*again)
        sending.send(
            *taken
        )  # the first one was only slow: its message has the same key, and its outcome is not kept twice
    assert Event.objects.filter(operation="notification_delivery:record", kind="operation").count() <= 2
    assert world.fresh(NotificationDelivery.objects.get()).outcome == "sent"
    assert len({mail["Message-ID"] for mail in host.mails}) == 1


def late(world: Any, draft: Any) -> Milestone:
    """Make a milestone of the release late, and remind of it."""
    from releases.operations.milestone.remind import remind_due

    for row in draft.milestones.all():
        alter(row, due_immediately=False, reminded=[72, 24, 0])
    milestone = draft.milestones.get(key="scope_locked")
    alter(milestone, reminded=[72, 24], due_at=now() - timedelta(hours=1))
    with acting(WORKER):
        remind_due()
    return milestone


def test_a_pending_reminder_is_dropped_once_the_task_is_done(world: Any, draft: Any, host: MailHost) -> None:
    only(("milestone:remind", None, "mail"))
    alter(world.people["manager"], email="manager@datasets.example", quiet_from="00:00", quiet_until="00:00")
    milestone = late(world, draft)
    (notification,) = make_notifications()
    assert outcomes(notification)[("Manager", "mail")] == "pending"
    alter(milestone, done_at=now())
    deliver()
    assert outcomes(notification)[("Manager", "mail")] == "cancelled" and not host.mails


def test_an_open_task_is_reminded_then_escalated_until_it_is_done(world: Any, draft: Any) -> None:
    only(*((event, None, "admin") for event in ("milestone:remind", "notification:remind", "notification:escalate")))
    milestone = late(world, draft)
    (root,) = make_notifications()
    assert root.remind_at is not None and root.event == "milestone:remind"
    notified = []
    for _time in range(3):
        alter(root, remind_at=now() - timedelta(seconds=1))
        with acting(WORKER):
            assert remind_open() == [root.pk]
            assert remind_open() == []
        (notification,) = make_notifications()
        notified.append((notification.event, {one.account.username for one in notification.inbox_items.all()}))
        assert notification.parent == root and "scope locked" in notification.texts["en"]["body"].lower()
    managers = {"manager", "author_on_committee"}
    assert notified == [
        ("notification:remind", managers),
        ("notification:remind", managers),
        ("notification:escalate", managers | {"project_manager"}),
    ]
    alter(milestone, done_at=now())
    alter(root, remind_at=now() - timedelta(seconds=1))
    with acting(WORKER):
        assert remind_or_escalate(root.pk) == "notification:complete"
        assert remind_open() == [] and make_notifications() == []
    assert world.fresh(root).completed_at is not None and world.fresh(root).remind_at is None


def test_reminders_have_an_end(world: Any, draft: Any) -> None:
    only(*((event, None, "admin") for event in ("milestone:remind", "notification:escalate")))
    late(world, draft)
    (root,) = make_notifications()
    approval_requests = 0
    while world.fresh(root).remind_at is not None:
        alter(root, remind_at=now() - timedelta(seconds=1))
        with acting(WORKER):
            remind_open()
        approval_requests += 1
        assert approval_requests < 20
    assert approval_requests == 6


def test_a_channels_address_is_checked_encrypted_and_never_shown(world: Any, settings: Any, hook: Receiver) -> None:
    settings.NOTIFICATION_NETWORKS = ["127.0.0.0/8"]
    url = hook.base + "/services/T0/B0/hidden-key"
    with world.acting_as("manager"):
        made = create(key="partners", kind="webhook", label_ja="取引先", label_en="Partners", language="ja")
        for wrong in ("http://169.254.169.254/", "http://8.8.8.8/", "ftp://x/"):
            with pytest.raises(InvalidInput):
                set_address(made.pk, url=wrong, language="ja", reason="x")
        row = set_address(made.pk, url=url, language="en", reason="初期設定")
        assert row.secret.startswith("whsec_")
        assert send_test(made.pk) and len(hook.posted) == 1
        hook.answers = [(500, "down", {})]
        with pytest.raises(GateNotPassed, match="500"):
            send_test(made.pk)
    row = world.fresh(made)
    assert row.host == "http://127.0.0.1" and "hidden-key" not in str(row.encrypted) and row.language == "en"
    for event in Event.objects.filter(operation__startswith="channel:"):
        assert "hidden-key" not in bytes(event.bytes).decode() and "whsec_" not in bytes(event.bytes).decode()
    assert "hidden-key" not in str(list(row.history.values()))
    with world.acting_as("operator"), pytest.raises(NotPermitted):
        set_address(made.pk, url=url, language="en", reason="x")


def test_an_unlisted_private_network_is_reached_by_no_channel(world: Any, settings: Any, hook: Receiver) -> None:
    settings.NOTIFICATION_NETWORKS = []
    made = place("partners", "webhook", hook.base, SECRET)
    with world.acting_as("manager"):
        with pytest.raises(InvalidInput, match="private"):
            set_address(made.pk, url=hook.base, language="ja", reason="x")
        with pytest.raises(GateNotPassed, match="private"):
            send_test(made.pk)
    assert not hook.posted
