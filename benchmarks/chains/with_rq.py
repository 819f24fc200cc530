"""RQ in one process: jobs over Redis, each enqueues the next."""

from __future__ import annotations

import os

from redis import Redis
from rq import Queue, SimpleWorker
from rq.worker import BaseWorker

from benchmarks.chains.__main__ import stamp


def job(left: int, file: str) -> None:
    """Say when, and enqueue what is left."""
    stamp(file)
    if left > 1:
        queue().enqueue(job, left - 1, file)


def queue() -> Queue:
    """Return the queue of the chain."""
    return Queue("chain", connection=Redis.from_url(os.environ["REDIS_URL"]))


def chain(steps: int, file: str, worker: type[BaseWorker] = SimpleWorker) -> None:
    """Enqueue the first job and work until none is left."""
    queue().enqueue(job, steps, file)
    worker([queue()], connection=queue().connection).work(burst=True, logging_level="ERROR")
