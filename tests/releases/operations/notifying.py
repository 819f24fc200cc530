"""Helpers for notification tests: group members, an empty outbox, and the worker's two steps."""

from __future__ import annotations

import uuid
from typing import Any

from django.db import connection

from audit.actor import Actor, acting
from audit.clock import now
from audit.models import Outbox
from audit.operation import label, operation
from releases.models import (
    GroupRecipient,
    InboxItem,
    Notification,
    NotificationChannel,
    NotificationDelivery,
    NotificationRule,
    RecipientGroup,
    Release,
)
from releases.operations.notification.create import process_outbox
from releases.worker.delivery_lanes import due_channels, run_lane
from tests.releases.gates.asking import COMMAND, alter, make

WORKER = Actor(account_id=None, name="notifications", kind="worker", channel="worker")


def forget() -> None:
    """Empty the outbox, so that only later events make notifications."""
    for row in Outbox.objects.filter(sent_at=None):
        row.sent_at = row.created_at
        row.save(update_fields=["sent_at"])


def make_notifications() -> list[Notification]:
    """Make notifications of the outbox entries, and of entries that these cause; return the notifications made."""
    before = set(Notification.objects.values_list("pk", flat=True))
    with acting(WORKER):
        while process_outbox():
            pass
    return list(Notification.objects.exclude(pk__in=before).order_by("pk"))


def deliver() -> int:
    """Send every delivery that is due."""
    with acting(WORKER):
        return sum(run_lane(pk) for pk in due_channels())


def due_now(delivery: NotificationDelivery) -> None:
    """Make the next attempt due now: the waiting time is the only thing that a test does not wait for."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE releases_notificationdelivery SET next_at = clock_timestamp() WHERE id = %s", [delivery.pk]
        )
        cursor.execute("UPDATE releases_notificationchannel SET next_send_at = NULL")


def join(group: str, account: Any, email: str = "") -> GroupRecipient:
    """Put a test person into a group, with an address."""
    if email:
        alter(account, email=email)
    return make(GroupRecipient, group=RecipientGroup.objects.get(key=group), account=account, language=account.language)


def outsider(group: str, address: str, language: str = "ja") -> GroupRecipient:
    """Put an external recipient into a group."""
    return make(
        GroupRecipient, group=RecipientGroup.objects.get(key=group), name=address, address=address, language=language
    )


def announced(release: Release, *members: GroupRecipient) -> Notification:
    """Record that the announcement of a release has reached external recipients."""
    words = {"subject": "予告", "body": "予告"}
    notification: Notification = make(
        Notification,
        event="release:announce",
        outbox=-release.pk,
        operation_id=uuid.uuid4(),
        object=label(release),
        release=release,
        texts={"ja": words, "en": words},
        path="/admin/",
        external=True,
        made_at=now(),
        external_approved_at=now(),
    )
    for member in members:
        message = make(
            InboxItem,
            notification=notification,
            recipient=f"address:{member.address}",
            group_recipient=member,
            name=str(member),
            language=member.language,
            external=True,
        )
        make(
            NotificationDelivery,
            inbox_item=message,
            channel=NotificationChannel.objects.get(key="mail"),
            address=member.address,
            outcome="sent",
            ended_at=now(),
            due_at=now(),
        )
    return notification


def rule(event: str, group: str | None, channel: str, lead: int | None = None) -> NotificationRule:
    """Add a rule."""
    to = RecipientGroup.objects.get(key=group) if group else None
    return make(
        NotificationRule, event=event, group=to, channel=NotificationChannel.objects.get(key=channel), lead_hours=lead
    )


def only(*rules: tuple[str, str | None, str]) -> None:
    """Leave no rules except these (event, group, channel)."""
    with acting(COMMAND), operation("test:alter"):
        NotificationRule.objects.filter(removed_at=None).update(removed_at=now())
    for event, group, channel in rules:
        rule(event, group, channel)


def outcomes(notification: Notification) -> dict[tuple[str, str], str]:
    """Return (name, channel) → outcome of each delivery of a notification."""
    rows = NotificationDelivery.objects.filter(inbox_item__notification=notification).select_related(
        "inbox_item", "channel"
    )
    return {(row.inbox_item.name, row.channel.key): row.outcome for row in rows}
