"""The scheduler's loop: any number may run, one polls under an advisory lock; it sleeps until the next due time."""

import logging
import signal
import time
from types import FrameType

import psycopg
from django.conf import settings
from django.db import Error, connection

from audit.actor import Actor, acting
from audit.clock import now
from releases.liveness import record_heartbeat
from releases.models import Heartbeat
from releases.worker.poll import OFTEN, next_due, poll_once

log = logging.getLogger(__name__)
LOCK = "SELECT pg_try_advisory_lock(hashtext('ringi_scheduler'))"


class Scheduler:
    """Polls until it is told to end; waits for a lost database."""

    def __init__(self) -> None:
        self.ending = False

    def end(self, signum: int = 0, frame: FrameType | None = None) -> None:
        """Ask the loop to end after the present poll."""
        self.ending = True

    def run(self) -> None:
        """Loop: take the lock, poll, sleep until the next due time, a NOTIFY, or POLL_INTERVAL seconds."""
        signal.signal(signal.SIGTERM, self.end)
        signal.signal(signal.SIGINT, self.end)
        actor = Actor(account_id=None, name="scheduler", kind="worker", channel="scheduler")
        with acting(actor):
            while not self.ending:
                try:
                    self._hold()
                # The wait for a NOTIFY is psycopg's own: Django does not translate its exceptions.
                except (Error, psycopg.Error) as fault:
                    log.warning("the database is out of reach: %s", fault)
                    connection.close()
                    time.sleep(min(1.0, settings.POLL_INTERVAL))

    def _hold(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(LOCK)
            (mine,) = cursor.fetchone()
            if not mine:
                time.sleep(settings.POLL_INTERVAL)
                return
            cursor.execute("LISTEN ringi_due")
        rarely_at = heartbeat_at = 0.0
        while not self.ending:
            if time.monotonic() >= heartbeat_at:
                record_heartbeat(Heartbeat.SCHEDULER)
                heartbeat_at = time.monotonic() + settings.POLL_INTERVAL
            polled_at = now()
            if time.monotonic() < rarely_at:
                poll_once(polled_at, OFTEN)
            else:
                poll_once(polled_at)
                rarely_at = time.monotonic() + 10 * settings.POLL_INTERVAL
            # What was due for this poll and still is gets its next try in the next one.
            upcoming = next_due(polled_at)
            wait = settings.POLL_INTERVAL
            if upcoming is not None:
                wait = min(wait, max(0.002, (upcoming - now()).total_seconds()))
            raw = connection.connection
            for _notification in raw.notifies(timeout=wait, stop_after=1):
                break
