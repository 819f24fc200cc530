"""The lane of one channel: claimed by one process for one delivery, freed, or held after a fault of the channel.

`next_send_at` of the channel says until when it is claimed or held. All deliveries of the channel share it: the next
one is the single try that shows whether the receiver accepts deliveries again.
"""

import re
from datetime import timedelta

from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils.translation import gettext_noop

from audit.clock import now
from audit.operation import operation
from releases import channel_types
from releases.channel_types.base import PATIENCE
from releases.models import NotificationChannel, SuppressedAddress
from releases.operations.notification_delivery.disable import disable_channel

# The mail address of a person in the answer of a server.
ADDRESS = re.compile(r"[^\s<>:;,()\[\]]+@[^\s<>:;,()\[\]]+")
# Seconds for which a process claims a lane; a process that holds it longer has died.
LEASE = 4 * PATIENCE
# Seconds for which a lane is held after each fault in a row, and after how many of them operators are notified.
HOLD, OPENS_AFTER = (2, 5, 15, 30, 60), 3
# A channel that accepted nothing for this time is disabled.
DEAD_AFTER = timedelta(days=1)
ALL_DAY = gettext_noop("The channel accepted nothing for one day.")

TAKE = """
UPDATE releases_notificationchannel SET next_send_at = clock_timestamp() + make_interval(secs => %s)
 WHERE id = %s AND coalesce(next_send_at, '-infinity') <= clock_timestamp() RETURNING id
"""
# Urgent deliveries come first; but before them, earlier ones to the same recipient about the same release.
NEXT = """
WITH due AS (
  SELECT d.id, m.recipient, n.release_id, n.urgent, n.outbox FROM releases_notificationdelivery d
    JOIN releases_inboxitem m ON m.id = d.inbox_item_id JOIN releases_notification n ON n.id = m.notification_id
   WHERE d.channel_id = %s AND d.outcome = 'pending' AND d.next_at <= clock_timestamp()),
first AS (SELECT * FROM due ORDER BY urgent DESC, outbox, id LIMIT 1)
UPDATE releases_notificationdelivery SET tries = tries + 1 WHERE id = (
  SELECT due.id FROM due, first
   WHERE due.id = first.id OR (due.recipient = first.recipient AND due.release_id = first.release_id)
   ORDER BY due.outbox, due.id LIMIT 1)
RETURNING id, tries
"""
FREE = """
UPDATE releases_notificationchannel SET next_send_at = clock_timestamp(), failures = CASE WHEN %s THEN 0 ELSE failures
  END,
       last_failure = CASE WHEN %s THEN '' ELSE last_failure END WHERE id = %s
"""
FAULT = """
UPDATE releases_notificationchannel SET failures = failures + 1, last_failure = %s, next_send_at = clock_timestamp() +
       make_interval(secs => greatest(%s, (%s::int[])[least(failures + 1, %s)])) WHERE id = %s RETURNING failures
"""


def claim(channel_id: int) -> tuple[int, int] | None:
    """Claim a channel's lane and its next delivery; return (delivery, number of this try), or None when none is due."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(TAKE, [LEASE, channel_id])
        if cursor.fetchone() is None:
            return None
        cursor.execute(NEXT, [channel_id])
        row = cursor.fetchone()
        if row is None:
            transaction.set_rollback(True)
            return None
    return int(row[0]), int(row[1])


def free(channel: NotificationChannel, *, took: bool) -> None:
    """Free a lane. took: the receiver accepted a delivery, so its earlier fault is over."""
    with connection.cursor() as cursor:
        cursor.execute(FREE, [took, took, channel.pk])
    if took and channel.unavailable_since is not None:
        with operation("notification_channel:mark_available", (NotificationChannel, channel.pk)) as op:
            row = op.get(NotificationChannel)
            op.details["cause"] = row.unavailable_because
            row.unavailable_since, row.unavailable_because = None, ""


def fault(channel: NotificationChannel, why: str, wait: float = 0.0) -> None:
    """Hold a lane after a fault of the channel, `wait` seconds at least; operators learn of the third in a row."""
    with connection.cursor() as cursor:
        cursor.execute(FAULT, [why[:300], wait, list(HOLD), len(HOLD), channel.pk])
        (faults,) = cursor.fetchone()
    if faults >= OPENS_AFTER:
        found_faulty(channel, why)
    since = channel.unavailable_since
    if since is not None and since < now() - DEAD_AFTER and not channel_types.by_name(channel.channel_type).personal:
        with operation("notification_channel:disable", (NotificationChannel, channel.pk), reason=ALL_DAY) as op:
            disable_channel(op.get(NotificationChannel), why)


def found_faulty(channel: NotificationChannel, why: str, disabled: QuerySet[SuppressedAddress] | None = None) -> None:
    """Record since when a channel accepts nothing, and notify its operators. disabled: the addresses blamed for it."""
    why = ADDRESS.sub("…", why)  # channels have no personal columns
    blamed = (SuppressedAddress.objects.none() if disabled is None else disabled).filter(channel=None)
    if channel.unavailable_since is not None and not blamed.exists():
        return
    with operation("notification_channel:mark_unavailable", (NotificationChannel, channel.pk)) as op:
        row = op.get(NotificationChannel)
        if row.unavailable_since is None:
            row.unavailable_since, row.unavailable_because = now(), why[:300]
        for address in blamed.select_for_update(no_key=True):
            address.channel = row
            address.save()
        op.details["cause"] = why[:300]
    channel.unavailable_since = row.unavailable_since
