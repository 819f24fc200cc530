"""Wakes workers after a commit. Redis only learns that there is work; PostgreSQL holds the work itself."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import django_rq
from django.db import transaction
from redis.exceptions import RedisError

log = logging.getLogger(__name__)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def microseconds(moment: datetime) -> int:
    """Return a time in the form of a job's argument: whole microseconds since 1970 (UTC)."""
    return (moment - EPOCH) // timedelta(microseconds=1)


@contextmanager
def _reaching(queue: str) -> Iterator[None]:
    """Log that a queue is out of reach; the caller goes on."""
    try:
        yield
    except RedisError as fault:
        log.warning("queue %s is out of reach, the next poll will try again: %s", queue, fault)


def wake(queue: str, job: str, **arguments: int) -> None:
    """Put `releases.jobs.<job>` on a queue now, with whole numbers; the poll makes up for a lost wake-up."""
    with _reaching(queue):
        django_rq.get_queue(queue).enqueue(f"releases.jobs.{job}", kwargs=arguments, result_ttl=0, failure_ttl=3600)


def wake_once(queue: str, job: str, **arguments: int) -> None:
    """Put a job on a queue unless one waits there already: for a queue whose jobs find all that is due."""
    with _reaching(queue):
        if not django_rq.get_queue(queue).count:
            wake(queue, job, **arguments)


def wake_on_commit(queue: str, job: str, **arguments: int) -> None:
    """Put the job on the queue once the open transaction is committed."""
    transaction.on_commit(lambda: wake(queue, job, **arguments))
