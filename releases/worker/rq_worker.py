"""The RQ worker: one queue per process, and each job in that process, on a database connection that stays open."""

from __future__ import annotations

import logging
import threading
from types import FrameType
from typing import Any

from django.db import close_old_connections
from redis.exceptions import RedisError
from rq.worker import BaseWorker, WorkerStatus

log = logging.getLogger(__name__)


class RingiWorker(BaseWorker):
    """RQ's worker without its fork (see docs/decisions/a-worker-runs-its-jobs.md), and on one queue."""

    def __init__(self, queues: Any, *args: Any, **options: Any) -> None:
        super().__init__(queues, *args, **options)
        if len(self.queues) != 1:
            raise ValueError("a worker takes one queue; with more, a killed one can lose a job for ever")
        self._at_work = False

    def execute_job(self, job: Any, queue: Any) -> None:
        """Run a job while a thread tells Redis that this worker lives, as RQ's parent does beside its child."""
        self._at_work = True
        over = threading.Event()
        try:
            execution = self.prepare_execution(job)
            threading.Thread(target=self._signs_of_life, args=(job, execution, over), daemon=True).start()
            # A connection that the database has closed meanwhile is opened anew.
            close_old_connections()
            self.perform_job(job, queue, execution)
        finally:
            over.set()
            self._at_work = False
        self.set_state(WorkerStatus.IDLE)

    def _signs_of_life(self, job: Any, execution: Any, over: threading.Event) -> None:
        while not over.wait(self.job_monitoring_interval):
            try:
                self.maintain_heartbeats(job, execution)
            except RedisError as fault:
                log.warning("the queue does not answer: %s", fault)

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        """Stop after the job at work, however often it is asked: who will not wait kills. RQ's own asks Redis inside
        the signal's handler, and the second time ends the job where it is: either would be a failure of the step that
        happens to run.
        """
        if self._at_work:
            self._stop_requested = True
        else:
            super().request_stop(signum, frame)  # type: ignore[no-untyped-call]
