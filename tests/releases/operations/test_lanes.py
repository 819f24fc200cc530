"""Channels send side by side over receivers that hang, answer 429 or refuse: no delay of others, order kept (P5)."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from audit.clock import now
from audit.models import Outbox
from releases import jobs
from releases.channel_types import mail as mail_channel
from releases.channel_types.base import Address, NotDelivered
from releases.channel_types.mail import Mail
from releases.models import InboxItem, Notification, NotificationChannel, NotificationDelivery
from releases.operations.emergency_stop.activate import activate
from releases.operations.notification_delivery.lane import claim
from releases.worker.delivery_lanes import due_channels
from tests.releases.channel_types.messages import message
from tests.releases.channel_types.receivers import MailHost, Receiver, receiver
from tests.releases.gates.asking import alter, make
from tests.releases.operations.notifying import deliver, forget, join, make_notifications, only
from tests.releases.operations.test_delivery import SECRET, cancel_release, place

# Seconds within which an urgent notification has reached the inbox and every channel that answers.
PROMISE = 5.0


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


@contextmanager
def telling() -> Iterator[threading.Thread]:
    """Let a notification worker run beside the test, as often as the poll wakes it."""
    over = threading.Event()

    def work() -> None:
        try:
            while not over.wait(0.1):
                jobs.deliver_notifications()
        finally:
            connection.close()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        over.set()
        thread.join(60)
        assert not thread.is_alive(), "the worker did not come back"


def within(seconds: float, done: Callable[[], bool]) -> float:
    """Wait until it is done; return the seconds that passed."""
    began = time.monotonic()
    while not done():
        assert time.monotonic() - began < seconds, f"not within {seconds} s"
        time.sleep(0.02)
    return time.monotonic() - began


def stopped(world: Any) -> Callable[[], bool]:
    """Activate the emergency stop; return whether it is in the developer's inbox."""
    with world.acting_as("operator"):
        activate(reason="障害")
    mine = InboxItem.objects.filter(notification__event="emergency_stop:activate", account=world.people["developer"])
    return mine.filter(deliveries__channel__channel_type="admin", deliveries__outcome="sent").exists


def emergency(receiver: Receiver) -> bool:
    return any(
        "emergency_stop:activate" in one.body.decode()
        or "Emergency" in one.body.decode()
        or "緊急停止" in one.body.decode()
        for one in receiver.posted
    )


@pytest.mark.parametrize("stage", ["connect", "drip", "EHLO", "RCPT", "DATA", "end"])
def test_an_emergency_stop_reaches_inbox_and_healthy_channels_while_the_mail_server_hangs(
    world: Any, draft: Any, host: MailHost, stage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    host.hangs = stage
    with receiver() as slack, receiver() as hook:
        place("slack", "slack", slack.base)
        place("hook", "webhook", hook.base, SECRET)
        only(
            ("release:cancel", "development_team", "mail"),
            *(("emergency_stop:activate", "development_team", way) for way in ("mail", "admin", "slack", "hook")),
        )
        join("development_team", world.people["developer"], "developer@datasets.example")
        join("development_team", world.people["operator"], "operator@datasets.example")
        cancel_release(world, draft)
        with telling():
            try:
                assert host.hanging.wait(10), "no client hangs"
                there = stopped(world)
                took = within(PROMISE, lambda: there() and emergency(slack) and emergency(hook))
            finally:
                host.go.set()
    with capsys.disabled():
        print(f"\nmail server hangs at {stage}: everything else told after {took:.2f} s")
    assert not host.mails


@pytest.mark.parametrize("answer", ["hangs", "429", "refuses"])
def test_an_emergency_stop_reaches_other_channels_while_a_webhook_refuses_it(
    world: Any, draft: Any, host: MailHost, answer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    go = threading.Event()
    with receiver() as slack, receiver() as hook:
        place("slack", "slack", slack.base)
        place("hook", "webhook", hook.base if answer != "refuses" else "http://127.0.0.1:1", SECRET)
        if answer == "hangs":
            hook.before = lambda: go.wait(60) and None
        hook.answers = [(429, "slow down", {"Retry-After": "600"})]
        only(
            ("release:cancel", "development_team", "hook"),
            *(("emergency_stop:activate", "development_team", way) for way in ("mail", "admin", "slack", "hook")),
        )
        join("development_team", world.people["developer"], "developer@datasets.example")
        cancel_release(world, draft)
        with telling():
            try:
                there = stopped(world)
                took = within(PROMISE, lambda: there() and emergency(slack) and len(host.mails) == 1)
            finally:
                go.set()
    with capsys.disabled():
        print(f"\nwebhook {answer}: everything else told after {took:.2f} s")
    waiting = NotificationDelivery.objects.filter(
        channel__key="hook", inbox_item__notification__event="emergency_stop:activate"
    ).get()
    assert waiting.outcome == "pending"


def happens(draft: Any, *events: str) -> None:
    """Record these events of a release, in this order."""
    for number, event in enumerate(events):
        make(Outbox, operation_id=uuid.UUID(int=number), event=event, object=f"releases.Release:{draft.pk}", payload={})
    make_notifications()


def the_lane_is_free() -> None:
    """End the waiting time of held lanes: it is the only thing that a test does not wait for."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE releases_notificationchannel SET next_send_at = NULL")


def test_an_answer_429_delays_its_channel_and_keeps_the_order_of_events(world: Any, draft: Any) -> None:
    with receiver() as slack:
        channel = place("slack", "slack", slack.base)
        events = ("release:announce", "release:reschedule", "release:cancel")
        only(*((event, "development_team", "slack") for event in events))
        slack.answers = [(429, "slow down", {"Retry-After": "30"}), (200, "ok", {})]
        happens(draft, *events)
        assert deliver() == 1 and deliver() == 0, "nothing overtakes what waits"
        held = world.fresh(channel).next_send_at - now()
        assert timedelta(seconds=25) < held <= timedelta(seconds=30)
        the_lane_is_free()
        assert deliver() == 3
    subjects = [json.loads(one.body)["blocks"][0]["text"]["text"][:5] for one in slack.posted[1:]]
    assert [subject[1:3] for subject in subjects] == ["リリ", "日程", "中止"]


def test_an_urgent_message_overtakes_others_except_those_to_the_same_reader(world: Any, draft: Any) -> None:
    with receiver() as slack:
        place("slack", "slack", slack.base)
        place("hook", "webhook", slack.base, SECRET)
        only(
            ("release:announce", "development_team", "slack"),
            ("release:cancel", "development_team", "slack"),
            ("emergency_stop:activate", "development_team", "slack"),
        )
        happens(draft, "release:announce", "release:cancel")
        with world.acting_as("operator"):
            activate(reason="障害")
        make_notifications()
        assert deliver() == 3
        order = [json.loads(one.body)["blocks"][0]["text"]["text"][1:3] for one in slack.posted]
        assert order == ["緊急", "リリ", "中止"]
        slack.posted.clear()
        happens(draft, "release:announce", "release:cancel")
        alter(Notification.objects.order_by("-pk")[0], urgent=True)
        assert deliver() == 2
    order = [json.loads(one.body)["blocks"][0]["text"]["text"][1:3] for one in slack.posted]
    assert order == ["リリ", "中止"], "of one release in the order of events"


def test_a_lane_has_one_process_at_a_time(world: Any, draft: Any, host: MailHost) -> None:
    only(("release:cancel", "development_team", "mail"))
    for name in ("developer", "operator"):
        join("development_team", world.people[name], f"{name}@datasets.example")
    cancel_release(world, draft)
    mail = NotificationChannel.objects.get(key="mail")
    assert claim(mail.pk) is not None and claim(mail.pk) is None and due_channels() == []


def test_a_mail_counts_as_sent_when_the_server_hangs_at_quit(world: Any, draft: Any, host: MailHost) -> None:
    host.hangs = "QUIT"
    only(("release:cancel", "development_team", "mail"))
    join("development_team", world.people["developer"], "developer@datasets.example")
    cancel_release(world, draft)
    assert deliver() == 1 and NotificationDelivery.objects.get().outcome == "sent"
    assert deliver() == 0 and len(host.mails) == 1


@pytest.mark.parametrize("stage", ["connect", "drip", "RCPT", "end"])
def test_a_mail_ends_at_its_deadline_whenever_the_server_hangs_or_drips(
    host: MailHost, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail_channel, "PATIENCE", 1.0)
    host.hangs = stage
    began = time.monotonic()
    with pytest.raises(NotDelivered, match="no complete answer within 1 s") as fault:
        Mail().send(message(), Address("sato@users.example"))
    assert time.monotonic() - began < 3 and not fault.value.lasting
    assert fault.value.whose == ("channel" if stage in ("connect", "drip") else "either")
