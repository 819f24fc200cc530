"""The RQ worker: one queue, a sign of life beside a long job, and an end that does not disturb the job at work."""

from __future__ import annotations

import signal
import time
from typing import Any

import django_rq
import pytest
import redis
from rq.serializers import JSONSerializer
from rq.timeouts import TimerDeathPenalty
from rq.worker import BaseWorker

from releases.worker.rq_worker import RingiWorker


class Worker(RingiWorker):
    """One that leaves the alarm of the process to the tests' own limit of time."""

    death_penalty_class: Any = TimerDeathPenalty


def worker_of(queue: Any) -> Worker:
    return Worker([queue], connection=queue.connection, serializer=JSONSerializer, worker_ttl=60)


def forget_then_sleep(key: str, seconds: float) -> None:
    """A job in which the worker's own sign of life runs out."""
    django_rq.get_connection("production").expire(key, 2)
    time.sleep(seconds)


def be_told_to_end() -> None:
    """A job in which the worker is told to end, twice."""
    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGTERM)


def test_it_takes_one_queue() -> None:
    queues = [django_rq.get_queue("production"), django_rq.get_queue("staging")]
    with pytest.raises(ValueError, match="one queue"):
        Worker(queues, connection=queues[0].connection, serializer=JSONSerializer)


def test_beside_a_long_job_it_says_that_it_lives(valkey: redis.Redis) -> None:
    queue = django_rq.get_queue("production")
    worker = worker_of(queue)
    worker.job_monitoring_interval = 1
    worker.register_birth()
    job = queue.enqueue(forget_then_sleep, worker.key, 1.6, result_ttl=0)
    worker.execute_job(job, queue)
    # Said anew well after the job had begun; and it would be missed soon after its death, however long a job may be.
    assert 10 < int(valkey.ttl(worker.key)) <= 61  # type: ignore[arg-type]
    assert not valkey.exists(job.key)
    worker.register_death()


def test_told_to_end_during_a_job_it_asks_nothing_of_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = django_rq.get_queue("production")
    worker, asked = worker_of(queue), []
    monkeypatch.setattr(BaseWorker, "request_stop", lambda *given: asked.append(given))
    job = queue.enqueue(be_told_to_end, result_ttl=0)
    before = signal.signal(signal.SIGTERM, worker.request_stop)
    try:
        worker.execute_job(job, queue)
        assert worker._stop_requested and not asked
        signal.raise_signal(signal.SIGTERM)
        assert asked, "at rest RQ's own ends it"
    finally:
        signal.signal(signal.SIGTERM, before)
