"""A channel fault disables no address: its notification, its page, and the one operation that recovers it (P5, P6)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache

from audit.clock import now
from audit.refusals import NotPermitted, NotPossible
from releases.admin.pages.queue.page import unresponsive_lines
from releases.models import InboxItem, NotificationChannel, NotificationDelivery, SuppressedAddress
from releases.operations.notification_channel.change import enable
from releases.operations.notification_delivery.disable import OLD, enable_address
from tests.releases.channel_types.receivers import MailHost, receiver
from tests.releases.gates.asking import alter
from tests.releases.operations.notifying import deliver, due_now, join, make_notifications, only, rule
from tests.releases.operations.test_delivery import SECRET, cancel_release, place
from tests.releases.operations.test_lanes import draft, happens, the_lane_is_free

__all__ = ["draft"]
PEOPLE = ("developer", "operator", "tester", "project_manager")


def staffed(world: Any, *also: tuple[str, str | None, str]) -> NotificationChannel:
    """Put four people with addresses into a mail group; the manager hears of channels in the inbox."""
    only(
        ("release:cancel", "development_team", "mail"),
        ("notification_channel:mark_unavailable", None, "mail"),
        ("notification_channel:mark_unavailable", None, "admin"),
        ("notification_channel:mark_available", None, "admin"),
        *also,
    )
    for name in PEOPLE:
        join("development_team", world.people[name], f"{name}@datasets.example")
    return NotificationChannel.objects.get(key="mail")


def accounts_notified_of(event: str) -> set[str]:
    """Return the accounts whose inbox holds an event."""
    there = InboxItem.objects.filter(
        notification__event=event, deliveries__channel__channel_type="admin", deliveries__outcome="sent"
    )
    return {one.account.username for one in there if one.account is not None}


def to_the_end() -> None:
    """Deliver until nothing changes any more, whatever is held back."""
    for row in NotificationDelivery.objects.filter(outcome="pending"):
        due_now(row)
    the_lane_is_free()
    deliver()


@pytest.mark.parametrize("answer", ["554 5.7.1 relay access denied", "550 policy", "550 5.1.8 bad sender"])
def test_a_relay_that_refuses_everybody_disables_no_address_and_notifies_a_manager(
    world: Any, draft: Any, host: MailHost, settings: Any, answer: str
) -> None:
    settings.HEARTBEAT_TIMEOUT = 90
    mail = staffed(world)
    alter(world.people["manager"], email="manager@datasets.example")
    host.everybody = answer
    cancel_release(world, draft)
    for _time in range(3):
        to_the_end()
    assert not SuppressedAddress.objects.exists()
    mail = world.fresh(mail)
    assert mail.unavailable_since is not None and answer in mail.unavailable_because
    make_notifications()
    assert "manager" in accounts_notified_of("notification_channel:mark_unavailable")
    own = NotificationDelivery.objects.filter(
        inbox_item__notification__event="notification_channel:mark_unavailable", channel=mail
    )
    assert not own.exists(), "a channel's own fault is not sent by that channel"
    cache.clear()
    ((kind, line),) = [one for one in unresponsive_lines() if one[0] == "channel"]
    assert answer in line and "Mail" in line
    host.everybody = ""
    with world.acting_as("operator"), pytest.raises(NotPermitted):
        enable(mail.pk, reason="x")
    with world.acting_as("manager"):
        enable(mail.pk, reason="中継の設定を直した")
        with pytest.raises(NotPossible):
            enable(mail.pk, reason="x")
    to_the_end()
    assert sorted(host.to) == sorted(f"{name}@datasets.example" for name in PEOPLE), "what was missed is sent, once"


def test_an_equal_refusal_of_several_is_a_channel_fault_and_one_operation_recovers_all(
    world: Any, draft: Any, host: MailHost
) -> None:
    mail = staffed(world)
    host.everybody = "550 5.1.1 user unknown"
    cancel_release(world, draft)
    for _time in range(2):
        to_the_end()
    assert SuppressedAddress.objects.count() == 2, "what one alone would have meant"
    assert set(SuppressedAddress.objects.values_list("channel", flat=True)) == {mail.pk}
    assert world.fresh(mail).unavailable_since is not None
    make_notifications()
    assert "manager" in accounts_notified_of("notification_channel:mark_unavailable")
    host.everybody = ""
    with world.acting_as("manager"):
        enable(mail.pk, reason="名簿を直した")
    assert not SuppressedAddress.objects.filter(lifted_at=None).exists()
    to_the_end()
    assert sorted(host.to) == sorted(f"{name}@datasets.example" for name in PEOPLE)
    assert set(NotificationDelivery.objects.filter(channel=mail).values_list("outcome", flat=True)) == {"sent"}


def test_a_missed_outdated_notification_is_marked_as_overtaken(world: Any, draft: Any, host: MailHost) -> None:
    staffed(world, ("release:reschedule", "development_team", "mail"))
    host.refuses = {"developer@datasets.example": "550 5.1.1 no such user"}
    happens(draft, "release:reschedule")
    deliver()
    missed = NotificationDelivery.objects.get(address="developer@datasets.example")
    assert missed.outcome == "failed"
    alter(missed.inbox_item.notification, made_at=now() - timedelta(minutes=20))
    happens(draft, "release:cancel")
    host.refuses = {}
    with world.acting_as("manager"):
        enable_address(SuppressedAddress.objects.get().pk, reason="訂正した")
    to_the_end()
    assert world.fresh(missed).outcome == "superseded" and "newer" in world.fresh(missed).last_error
    assert host.to.count("developer@datasets.example") == 1, "the newer one"


def test_a_missed_old_notification_is_not_said_to_be_replaced(world: Any, draft: Any, host: MailHost) -> None:
    staffed(world)
    host.refuses = {"developer@datasets.example": "550 5.1.1 no such user"}
    cancel_release(world, draft)
    deliver()
    missed = NotificationDelivery.objects.get(address="developer@datasets.example")
    alter(missed.inbox_item.notification, made_at=now() - timedelta(hours=25))
    host.refuses = {}
    with world.acting_as("manager"):
        enable_address(SuppressedAddress.objects.get().pk, reason="訂正した")
    missed = world.fresh(missed)
    assert (missed.outcome, missed.last_error) == ("cancelled", OLD), "no newer notification has been sent"
    assert deliver() == 0 and "developer@datasets.example" not in host.to


def test_a_recovered_channel_is_notified_and_continues(world: Any, draft: Any) -> None:
    with receiver() as hook:
        channel = place("hook", "webhook", hook.base, SECRET)
        staffed(world)
        rule("release:reschedule", "development_team", "hook")
        hook.answers = [(503, "down", {})]
        happens(draft, "release:reschedule")
        held = []
        for _try in range(3):
            deliver()
            held.append(world.fresh(channel).next_send_at - now())
            the_lane_is_free()
        assert held == sorted(held) and held[0] > timedelta(0), "the longer it lasts, the rarer it is tried"
        make_notifications()
        assert (
            accounts_notified_of("notification_channel:mark_unavailable") >= {"manager"}
            and world.fresh(channel).failures == 3
        )
        hook.answers = [(200, "ok", {})]
        the_lane_is_free()
        deliver()
        make_notifications()
    channel = world.fresh(channel)
    assert (channel.failures, channel.last_failure, channel.unavailable_since) == (0, "", None)
    assert "manager" in accounts_notified_of("notification_channel:mark_available")


def test_a_message_refused_by_its_host_holds_up_no_other(world: Any, draft: Any) -> None:
    with receiver() as slack:
        place("slack", "slack", slack.base)
        only(("release:reschedule", "development_team", "slack"), ("release:cancel", "development_team", "slack"))
        slack.answers = [(400, "invalid_blocks", {}), (200, "ok", {})]
        happens(draft, "release:reschedule", "release:cancel")
        assert deliver() == 2
    assert sorted(NotificationDelivery.objects.values_list("outcome", flat=True)) == ["pending", "sent"]


def test_an_address_refused_by_a_rule_is_no_channel_fault(world: Any, draft: Any, host: MailHost) -> None:
    mail = staffed(world)
    host.refuses = {"developer@datasets.example": "554 5.7.1 not from you"}
    cancel_release(world, draft)
    for _time in range(4):
        to_the_end()
    assert len(host.to) == 3 and world.fresh(mail).unavailable_since is None and not SuppressedAddress.objects.exists()
    row = NotificationDelivery.objects.get(address="developer@datasets.example")
    alter(row, due_at=now() - timedelta(days=2))
    to_the_end()
    assert world.fresh(row).outcome == "failed" and not SuppressedAddress.objects.exists(), (
        "given up, and used the next time"
    )
