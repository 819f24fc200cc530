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

from releases.worker.rq_worker import RingiWorker


class Worker(RingiWorker):
    """One that leaves the alarm of the process to the tests' own limit of time."""

    death_penalty_class: Any = TimerDeathPenalty


def worker_of(queue: Any) -> Worker:
    return Worker([queue], connection=queue.connection, serializer=JSONSerializer, worker_ttl=60)


def sleep(seconds: float) -> None:
    """What the job does."""
    time.sleep(seconds)


def test_it_takes_one_queue() -> None:
    queues = [django_rq.get_queue("production"), django_rq.get_queue("staging")]
    with pytest.raises(ValueError, match="one queue"):
        Worker(queues, connection=queues[0].connection, serializer=JSONSerializer)


def test_beside_a_long_job_it_says_that_it_lives(valkey: redis.Redis) -> None:
    queue = django_rq.get_queue("production")
    worker = worker_of(queue)
    worker.job_monitoring_interval = 0.05
    worker.register_birth()
    job = queue.enqueue(sleep, 0.5, result_ttl=0)
    before = time.time()
    worker.execute_job(job, queue)
    # It said so last well after the job had begun, and would be missed soon after its death, however long a job may be.
    assert worker.last_heartbeat is not None and worker.last_heartbeat.timestamp() > before + 0.3
    assert 0 < int(valkey.ttl(worker.key)) <= 120  # type: ignore[arg-type]
    assert not valkey.exists(job.key)
    worker.register_death()


def test_told_to_end_during_a_job_it_asks_nothing_of_redis() -> None:
    worker = worker_of(django_rq.get_queue("production"))
    worker.connection = redis.Redis(host="127.0.0.1", port=1)  # nobody listens there
    worker._at_work = True
    worker.request_stop(signal.SIGTERM, None)
    assert worker._stop_requested
