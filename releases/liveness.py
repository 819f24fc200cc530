"""The unresponsive components: the scheduler, the ledger signer, the queue, its workers.

Pages, probes and metrics read it and need none of these components. PostgreSQL holds the scheduler's last heartbeat,
the unclaimed steps and the unsigned events. Redis, when it answers, knows the listening workers.
"""

import logging
import os
import socket
from dataclasses import dataclass, field
from typing import Any

import django_rq
from django.conf import settings
from django.core.cache import cache
from django.db import connection
from redis.exceptions import RedisError
from rq.worker_registration import WORKERS_BY_QUEUE_KEY

from audit.standing import Standing, standing
from environments.models import Environment
from environments.queues import OWN_QUEUES

log = logging.getLogger(__name__)
# Pages of all readers look no more often than this.
KEPT_SECONDS = 10
RECORD_HEARTBEAT = """
INSERT INTO releases_heartbeat (process, at, worker) VALUES (%s, clock_timestamp(), %s)
ON CONFLICT (process) DO UPDATE SET at = excluded.at, worker = excluded.worker
"""
HEARTBEAT_AGE = (
    "SELECT extract(epoch FROM clock_timestamp() - at)::float FROM releases_heartbeat WHERE process = 'scheduler'"
)
# Steps that a worker should have claimed: ready, or left by a worker whose lease is over.
UNCLAIMED = """
SELECT e.slug,
  extract(epoch FROM clock_timestamp() - min(CASE s.state WHEN 'ready' THEN s.ready_at ELSE s.lease_until END))::float
FROM releases_step s JOIN releases_deployment d ON d.id = s.deployment_id
  JOIN environments_environment e ON e.id = d.environment_id
WHERE (s.state = 'ready' AND s.ready_at IS NOT NULL) OR (s.state = 'running' AND s.lease_until < clock_timestamp())
GROUP BY e.slug
"""
# Outbox entries without a notification, and deliveries due in an unclaimed lane; a held lane counts as responsive.
UNSENT = """
SELECT extract(epoch FROM clock_timestamp() - least(
  (SELECT min(created_at) FROM audit_outbox WHERE sent_at IS NULL),
  (SELECT min(greatest(d.next_at, c.next_send_at)) FROM releases_notificationdelivery d
    JOIN releases_notificationchannel c ON c.id = d.channel_id
    WHERE d.outcome = 'pending' AND d.next_at < clock_timestamp())))::float
"""
UNAVAILABLE = (
    "SELECT key FROM releases_notificationchannel"
    " WHERE unavailable_since IS NOT NULL AND disabled_at IS NULL ORDER BY id"
)


def record_heartbeat(process: str) -> None:
    """Record the heartbeat of a process."""
    with connection.cursor() as cursor:
        cursor.execute(RECORD_HEARTBEAT, [process, f"{socket.gethostname()}:{os.getpid()}"])


@dataclass(frozen=True)
class Liveness:
    """The result of one look. Spans are seconds; None: never, or nothing waits."""

    scheduler: float | None
    unclaimed: dict[str, float] = field(default_factory=dict)
    unsent: float | None = None
    ledger: Standing = Standing()
    unavailable: tuple[str, ...] = ()
    queue: bool = True
    waiting: dict[str, int] = field(default_factory=dict)
    workers: dict[str, int] = field(default_factory=dict)

    def unresponsive(self) -> list[tuple[str, str]]:
        """Return (kind, name) of each unresponsive component.

        They are the scheduler, the ledger signer, the verification of the ledger, the queue itself, the workers of one
        queue, and a channel that accepts nothing; where it is off only what a verification of the ledger found.
        """
        longest = settings.HEARTBEAT_TIMEOUT
        found = [("ledger", str(self.ledger.alarm.pk))] if self.ledger.alarm is not None else []
        if not longest:
            return found
        found += [("ledger", "")] if self.ledger.late and not found else []
        found += [] if self.scheduler is not None and self.scheduler <= longest else [("scheduler", "")]
        found += [("ledger_signer", "")] if self.ledger.unsigned is not None and self.ledger.unsigned > longest else []
        found += [] if self.queue else [("queue", "")]
        late = {name for name, seconds in self.unclaimed.items() if seconds > longest}
        late |= {"notifications"} if self.unsent is not None and self.unsent > longest else set()
        late |= {name for name, listening in self.workers.items() if not listening} if self.queue else set()
        found += [("channel", key) for key in self.unavailable]
        return [*found, *(("workers", name) for name in sorted(late))]


def read_liveness() -> Liveness:
    """Look once, in PostgreSQL and in Redis."""
    with connection.cursor() as cursor:
        cursor.execute(HEARTBEAT_AGE)
        since = cursor.fetchone()
        cursor.execute(UNCLAIMED)
        unclaimed = dict(cursor.fetchall())
        cursor.execute(UNSENT)
        (unsent,) = cursor.fetchone()
        cursor.execute(UNAVAILABLE)
        unavailable = tuple(key for (key,) in cursor.fetchall())
    known: dict[str, Any] = {
        "scheduler": since and since[0],
        "unclaimed": unclaimed,
        "unsent": unsent,
        "unavailable": unavailable,
        "ledger": standing(),
    }
    try:
        waiting = {name: int(django_rq.get_queue(name).count) for name in Environment.queues()}
        return Liveness(**known, waiting=waiting, workers={name: len(found) for name, found in listeners().items()})
    except RedisError as fault:
        log.warning("the queue does not answer: %s", fault)
        return Liveness(**known, queue=False)


def listeners() -> dict[str, list[tuple[str, str, str]]]:
    """Return name, state and last heartbeat of the workers of each queue. Raises RedisError.

    It is read as text: RQ's own reader builds objects from whatever Redis holds.
    """
    redis: Any = django_rq.get_connection(OWN_QUEUES[0])
    found: dict[str, list[tuple[str, str, str]]] = {}
    for name in Environment.queues():
        keys = sorted(redis.smembers(WORKERS_BY_QUEUE_KEY % name))
        read = [(key, *redis.hmget(key, "state", "last_heartbeat")) for key in keys]
        texts = [tuple((part or b"").decode(errors="replace") for part in row) for row in read if row[2]]
        found[name] = [(key.rpartition(":")[2], state, seen) for key, state, seen in texts]
    return found


def unresponsive_components() -> list[tuple[str, str]]:
    """Return the unresponsive components for pages: read at most every few seconds."""
    known: list[tuple[str, str]] | None = cache.get("unresponsive")
    if known is None:
        known = (
            read_liveness().unresponsive()
            if settings.HEARTBEAT_TIMEOUT
            else Liveness(None, ledger=standing()).unresponsive()
        )
        # A server that accepts a request and does not answer costs five seconds each time.
        cache.set("unresponsive", known, KEPT_SECONDS if ("queue", "") not in known else 6 * KEPT_SECONDS)
    return known
