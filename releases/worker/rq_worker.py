"""The RQ worker: one queue per process; jobs run in that process, on a database connection that stays open.

Redis only wakes it. It calls the named functions with whole numbers and nothing else, whatever is written to Redis.
"""

import json
import logging
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from inspect import signature
from types import FrameType
from typing import Any, ClassVar, cast

from django.db import Error, close_old_connections
from redis.exceptions import ConnectionError, RedisError, TimeoutError
from rq import worker_registration
from rq.job import Job
from rq.queue import Queue
from rq.utils import now
from rq.worker import BaseWorker, WorkerStatus

from audit.actor import Actor, acting
from audit.isolated import is_unavailable
from audit.operation import operation
from environments.models import Environment
from releases.models import Rollback, Step
from releases.worker.executor import Leaving, worker_name

log = logging.getLogger(__name__)
# The fields that `dispatch.wake` and RQ write of such a job; no callback, webhook, dependency or retry is among them.
WRITTEN = {
    *("data", "description", "origin", "status", "timeout", "result_ttl", "failure_ttl", "created_at", "enqueued_at"),
    *("started_at", "ended_at", "last_heartbeat", "worker_name"),
}
OF_AN_ENVIRONMENT: Mapping[str, Any] = {"step_id": Step, "rollback_id": Rollback}
# Bytes of the call as JSON; and seconds between two alarms of one worker, however many jobs it refuses.
LONGEST, ALARM_SECONDS = 2000, 60.0


class JobRefused(Exception):
    """An entry of a queue is no job of Ringi; the message says why."""


class JobNotChecked(Exception):
    """The database could not be asked about a job. The job is dropped, and the next poll finds its step."""


class RingiJob(Job):
    """A job of which only the name of a known function and its arguments count, all of them whole numbers."""

    functions: ClassVar[Mapping[str, Callable[..., None]]] = {}

    def restore(self, raw_data: Mapping[bytes, bytes]) -> None:
        """Take the call from the fields of a job; raises JobRefused for anything else."""
        fields = {name.decode(): value for name, value in raw_data.items() if value}
        if strange := sorted(fields.keys() - WRITTEN):
            raise JobRefused(f"it has the fields {', '.join(strange)}"[:300])
        try:
            call = zlib.decompressobj().decompress(fields["data"], LONGEST)
            name, instance, listed, arguments = json.loads(call)
            function = self.functions[name]
        except (KeyError, TypeError, ValueError, zlib.error, RecursionError) as fault:
            raise JobRefused(f"it names no known function: {fault!r}"[:300]) from fault
        expected = set(signature(function).parameters)
        if instance is not None or listed != [] or not isinstance(arguments, dict) or set(arguments) != expected:
            raise JobRefused(f"{name} takes {sorted(expected)} by name")
        if any(type(value) is not int for value in arguments.values()):
            raise JobRefused(f"{name} takes whole numbers")
        kept = {"data": call, "origin": fields.get("origin", b""), "status": fields.get("status", b"queued")}
        super().restore(kept | {"timeout": b"86400", "result_ttl": b"0", "failure_ttl": b"3600"})  # type: ignore[no-untyped-call]

    @property
    def func(self) -> Callable[..., None]:
        """Return the function; RQ's own imports any function that is named."""
        return self.functions[str(self.func_name)]


def require_own(job: Job, queue: Queue) -> None:
    """Raise JobRefused for a step or rollback of another environment than the queue's: its own workers run it."""
    close_old_connections()
    for name, value in job.kwargs.items():
        rows = OF_AN_ENVIRONMENT[name].objects.filter(pk=value) if name in OF_AN_ENVIRONMENT else None
        if rows is not None and rows.exclude(deployment__environment__slug=queue.name).exists():
            raise JobRefused(f"{name} {value} is not of this environment")


class RingiQueue(Queue):
    """A queue whose jobs are read as RingiJob."""

    @classmethod
    def _fetch_dequeued_job(cls, connection: Any, queue_key: str, job_id: str, *args: Any, **options: Any) -> Any:
        try:
            found = super()._fetch_dequeued_job(connection, queue_key, job_id, *args, **options)
            if found is not None:
                require_own(*found)
            return found
        except (ConnectionError, TimeoutError):
            raise
        except Exception as fault:  # noqa: BLE001  whatever is wrong with it, the worker goes on to the next
            connection.delete(f"rq:job:{job_id}")
            if is_unavailable(fault):
                raise JobNotChecked(f"{job_id!r}: {fault}"[:400]) from fault
            raise JobRefused(f"{job_id!r}: {fault}"[:400]) from fault


class RingiWorker(BaseWorker):
    """RQ's worker without its fork (see docs/decisions/a-worker-runs-its-jobs.md), and on one queue.

    It takes no commands from Redis, is not suspended by it, and leaves RQ's maintenance, which runs what a job names.
    """

    job_class, queue_class = RingiJob, RingiQueue

    def __init__(self, queues: Any, *args: Any, **options: Any) -> None:
        super().__init__([queue.name for queue in queues], *args, **options)
        if len(self.queues) != 1:
            raise ValueError("a worker takes one queue; with more, a killed one can lose a job for ever")
        self._at_work = False
        self._refused, self._alarm_at = 0, 0.0

    def dequeue_job_and_maintain_ttl(self, *args: Any, **options: Any) -> Any:
        """Take the next job of Ringi; any other is dropped with an alarm."""
        while True:
            try:
                return super().dequeue_job_and_maintain_ttl(*args, **options)
            except (JobRefused, UnicodeDecodeError) as refused:
                log.error("queue %s: a job was refused: %s", self.queues[0].name, refused)
                self._refused += 1
                if time.monotonic() >= self._alarm_at:
                    self._raise_alarm(str(refused))
            except JobNotChecked as missed:
                log.warning("queue %s: a job was not checked: %s", self.queues[0].name, missed)

    def _raise_alarm(self, why: str) -> None:
        """Record that jobs were refused, and notify operators, at most once in ALARM_SECONDS."""
        queue = self.queues[0].name
        try:
            close_old_connections()
            environments = Environment.objects.order_by("-protected", "pk")
            row = environments.filter(slug=queue).first() or environments.first()
            with (
                acting(Actor(account_id=None, name=worker_name(), kind="worker", channel="worker")),
                operation("job:refuse", *([(Environment, row.pk)] if row else []), reason=why) as op,
            ):
                op.details |= {"queue": queue, "jobs": self._refused}
        except Error as fault:
            log.warning("that jobs were refused could not be recorded yet: %s", fault)
            return
        self._refused, self._alarm_at = 0, time.monotonic() + ALARM_SECONDS

    def execute_job(self, job: Any, queue: Any) -> None:
        """Run a job while a thread sends the worker's heartbeats to Redis, as RQ's parent does beside its child."""
        self._at_work = True
        over = threading.Event()
        try:
            execution = self.prepare_execution(job)
            threading.Thread(target=self._signs_of_life, args=(job, execution, over), daemon=True).start()
            # A connection that the database has closed meanwhile is opened again.
            close_old_connections()
            self.perform_job(job, queue, execution)
        finally:
            over.set()
            self._at_work = Leaving.requested = False
        self.set_state(WorkerStatus.IDLE)

    def _signs_of_life(self, job: Any, execution: Any, over: threading.Event) -> None:
        while not over.wait(self.job_monitoring_interval):
            try:
                self.maintain_heartbeats(job, execution)
            except RedisError as fault:
                log.warning("the queue does not answer: %s", fault)

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        """Send the worker's heartbeat with its own record: a Redis that was restarted or emptied has lost it."""
        with nullcontext(pipeline) if pipeline is not None else self.connection.pipeline() as batch:
            super().heartbeat(timeout, batch)
            batch.hset(self.key, mapping=self.serialize())  # type: ignore[no-untyped-call]
            worker_registration.register(self, batch)
            if pipeline is None:
                batch.execute()

    def subscribe(self) -> None:
        """Take no commands: anyone who may write to Redis could end workers by them."""

    def check_for_suspension(self, burst: bool) -> None:
        """Do nothing: the emergency stop is in PostgreSQL."""

    def run_maintenance_tasks(self) -> None:
        """Remove workers that are gone and their jobs, whose work PostgreSQL knows. RQ's own runs callbacks of jobs."""
        self.last_cleaned_at: Any = now()
        (queue,), redis = self.queues, cast(Any, self.connection)
        worker_registration.clean_worker_registry(queue)
        started, ended = queue.started_job_registry.key, time.time()
        for entry in redis.zrangebyscore(started, 0, ended):
            redis.delete(b"rq:job:" + entry.partition(b":")[0])
        for key in (started, queue.failed_job_registry.key):
            redis.zremrangebyscore(key, 0, ended)
        redis.delete(queue.intermediate_queue_key)

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        """Stop after the current step or other job, however often the signal comes; only a kill ends it earlier.

        RQ's own asks Redis inside the signal's handler, and the second signal ends the job where it is: either would
        fail the step that happens to run.
        """
        if self._at_work:
            self._stop_requested = Leaving.requested = True
        else:
            super().request_stop(signum, frame)  # type: ignore[no-untyped-call]
