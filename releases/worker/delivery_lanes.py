"""Delivery lanes in parallel: each channel sends one delivery after the other, so that a slow channel delays only
itself.
"""

import logging
import threading
import time

from django.db import connection

from audit.actor import Actor, acting, current
from audit.models import Outbox
from releases.operations.notification.create import process_outbox
from releases.operations.notification_delivery.lane import claim
from releases.operations.notification_delivery.send import send

log = logging.getLogger(__name__)
# How many channels send at once in one process, and for how many seconds a job works on what is left.
MOST, TURN, POLL = 16, 60.0, 0.2
DUE = """
SELECT c.id FROM releases_notificationchannel c
 WHERE coalesce(c.next_send_at, '-infinity') <= clock_timestamp() AND EXISTS (
   SELECT 1 FROM releases_notificationdelivery d WHERE d.channel_id = c.id AND d.outcome = 'pending' AND d.next_at <=
     clock_timestamp())
 ORDER BY c.failures, c.id
"""


def deliver_all() -> None:
    """Create notifications from the outbox and send what is due, until nothing is; a thread for each channel."""
    lanes: dict[int, threading.Thread] = {}
    until = time.monotonic() + TURN
    while True:
        made = process_outbox()
        lanes = {pk: lane for pk, lane in lanes.items() if lane.is_alive()}
        for pk in due_channels() if time.monotonic() < until else []:
            if pk not in lanes and len(lanes) < MOST:
                lanes[pk] = threading.Thread(target=_lane, args=(pk, current(), until), daemon=True)
                lanes[pk].start()
        if not lanes and not made:
            return
        if not made:
            next(iter(lanes.values())).join(POLL)


def due_channels() -> list[int]:
    """Return the free channels with something to send, those without a fault first."""
    with connection.cursor() as cursor:
        cursor.execute(DUE)
        return [pk for (pk,) in cursor.fetchall()]


def run_lane(channel_id: int, until: float = float("inf")) -> int:
    """Send the due deliveries of a channel one after the other, until it is held or `until` (monotonic); return how
    many.
    """
    tried = 0
    while time.monotonic() < until and (taken := claim(channel_id)) is not None:
        send(*taken)
        tried += 1
    return tried


def _lane(channel_id: int, actor: Actor, until: float) -> None:
    try:
        with acting(actor):
            run_lane(channel_id, until)
    except Exception:  # its claim expires, and the next job goes on
        log.exception("channel %s", channel_id)
    finally:
        connection.close()


def waits() -> bool:
    """Tell whether the outbox has entries, or a delivery is due in a free lane."""
    return Outbox.objects.filter(sent_at=None).exists() or bool(due_channels())
