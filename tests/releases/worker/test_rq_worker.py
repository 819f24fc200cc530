"""The RQ worker: one queue, a heartbeat beside a long job, and an end that does not disturb the running job."""

from __future__ import annotations

import inspect
import json
import pickle
import signal
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import django_rq
import pytest
import redis
from django.db import OperationalError, connection
from rq.serializers import JSONSerializer
from rq.timeouts import TimerDeathPenalty
from rq.worker import BaseWorker

from audit.actor import acting
from audit.models import Event, Outbox
from releases import dispatch, jobs, liveness
from releases.models import Deployment
from releases.operations.deployment.enqueue import enqueue as enqueue_deployment
from releases.worker.executor import Leaving
from releases.worker.rq_worker import RingiJob, RingiWorker

from .conftest import TRUE, WORKER, first, row


class Worker(RingiWorker):
    """A worker that leaves the process's alarm signal to the tests' own time limit."""

    death_penalty_class: Any = TimerDeathPenalty


def worker_of(queue: Any) -> Worker:
    return Worker([queue], connection=queue.connection, serializer=JSONSerializer, worker_ttl=60)


def forget_then_sleep(key: str, seconds: float) -> None:
    """A job during which the worker's own heartbeat expires."""
    django_rq.get_connection("production").expire(key, 2)
    time.sleep(seconds)


def end_twice() -> None:
    """A job during which the worker is told to end, twice."""
    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGTERM)
    SEEN.append(Leaving.requested)


def test_a_worker_serves_one_queue() -> None:
    queues = [django_rq.get_queue("production"), django_rq.get_queue("staging")]
    with pytest.raises(ValueError, match="one queue"):
        Worker(queues, connection=queues[0].connection, serializer=JSONSerializer)


def test_a_worker_renews_its_heartbeat_beside_a_long_job(valkey: redis.Redis) -> None:
    queue = django_rq.get_queue("production")
    worker = worker_of(queue)
    worker.job_monitoring_interval = 1
    worker.register_birth()
    job = queue.enqueue(forget_then_sleep, worker.key, 1.6, result_ttl=0)
    worker.execute_job(job, queue)
    # Renewed well after the job had begun; its absence would be noticed soon after its death, however long a job is.
    assert 10 < int(valkey.ttl(worker.key)) <= 61
    assert not valkey.exists(job.key)
    worker.register_death()


def test_a_worker_ending_during_a_job_asks_nothing_of_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = django_rq.get_queue("production")
    worker, asked = worker_of(queue), []
    worker.register_birth()
    monkeypatch.setattr(BaseWorker, "request_stop", lambda *given: asked.append(given))
    job = queue.enqueue(end_twice, result_ttl=0)
    before = signal.signal(signal.SIGTERM, worker.request_stop)
    try:
        worker.execute_job(job, queue)
        assert worker._stop_requested and not asked
        assert SEEN.pop() and not Leaving.requested
        signal.raise_signal(signal.SIGTERM)
        assert asked, "at rest RQ's own ends it"
    finally:
        signal.signal(signal.SIGTERM, before)


def ours() -> None:
    """Stands for one of Ringi's jobs."""
    SEEN.append("ours")


def stepping(step_id: int) -> None:
    """Stands for one of Ringi's jobs with an argument."""
    SEEN.append(step_id)


def hostile(*given: Any) -> None:
    """A function named by an attacker: it must never be called."""
    SEEN.append("hostile")


def beside() -> None:
    """A function of the same file that is no job."""
    SEEN.append("beside")


SEEN: list[Any] = []
HERE = "tests.releases.worker.test_rq_worker"
JOBS = {f"{HERE}.ours": ours, f"{HERE}.stepping": stepping}


class Pickled:
    """Unpickled, it would call a function."""

    def __reduce__(self) -> Any:
        return hostile, ()


def call(name: str, listed: Any = (), named: Any = None, instance: Any = None) -> bytes:
    return zlib.compress(json.dumps([name, instance, list(listed), named or {}]).encode())


STEP, OURS = call(f"{HERE}.stepping", named={"step_id": 1}), call(f"{HERE}.ours")
HOSTILE: dict[str, dict[str, Any]] = {
    "a program": {"data": call("subprocess.check_output", [["/bin/true"]])},
    "a function beside": {"data": call(f"{HERE}.beside")},
    "a function through a module": {"data": call("releases.jobs.subprocess.run")},
    "a pickle": {"data": zlib.compress(pickle.dumps((f"{HERE}.ours", None, Pickled(), {})))},
    "a pickle beside": {"data": OURS, "meta": pickle.dumps(Pickled())},
    "a pickled result": {"data": OURS, "result": pickle.dumps(Pickled())},
    "a method of an object": {"data": call("system", instance="os")},
    "an argument too many": {"data": call(f"{HERE}.ours", named={"step_id": 1})},
    "a listed argument": {"data": call(f"{HERE}.stepping", [1])},
    "an argument too few": {"data": call(f"{HERE}.stepping")},
    "a text": {"data": call(f"{HERE}.stepping", named={"step_id": "1"})},
    "a truth": {"data": call(f"{HERE}.stepping", named={"step_id": True})},
    "a list for a name": {"data": zlib.compress(b'[["a"],null,[],{}]')},
    "deep": {"data": zlib.compress(b"[" * 1900)},
    "bytes": {"data": b"[]"},
    "a bomb": {"data": zlib.compress(b" " * 10_000_000)},
    "no call": {"status": "queued"},
    "a success callback": {"data": OURS, "success_callback_name": f"{HERE}.hostile"},
    "a failure callback": {"data": STEP, "failure_callback_name": f"{HERE}.hostile"},
    "a stop callback": {"data": OURS, "stopped_callback_name": f"{HERE}.hostile"},
    "a webhook": {"data": OURS, "webhooks": '[{"url": "http://127.0.0.1:1/"}]'},
    "a dependency": {"data": OURS, "dependency_ids": '["x"]'},
    "a repetition": {"data": OURS, "repeats_left": "9", "repeat_intervals": "[0]"},
    "a field that is no text": {"data": OURS, b"\xff": "x"},
}


@pytest.fixture
def worker(valkey: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    monkeypatch.setattr(RingiJob, "functions", JOBS)
    SEEN.clear()
    made = worker_of(django_rq.get_queue("production"))
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    yield made
    for number, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
        signal.signal(number, handler)


def put(valkey: redis.Redis, key: Any, fields: dict[str, Any]) -> None:
    """Queue a job with a bare client, like anybody who may write to Redis."""
    valkey.hset(f"rq:job:{key}", mapping=fields)
    valkey.rpush("rq:queue:production", key)


def asked_of_ledger() -> list[tuple[str, str]]:
    return list(Event.objects.filter(operation="job:refuse", kind="operation").values_list("reason", "object"))


def test_a_foreign_job_is_dropped_with_an_alarm_and_the_worker_continues(
    worker: Worker, valkey: redis.Redis, world: Any
) -> None:
    for number, (what, fields) in enumerate(HOSTILE.items()):
        put(valkey, "hostile-1", fields)
        put(valkey, "ours-1", {"data": call(f"{HERE}.stepping", named={"step_id": number}), "status": "queued"})
        worker._alarm_at = 0.0
        worker.work(burst=True)
        assert SEEN.pop() == number and not SEEN, f"{what}: the job of Ringi's behind it is done, and nothing else"
        reason, row = asked_of_ledger()[-1]
        assert "hostile-1" in reason and row.startswith("environments.Environment:"), what
        assert not valkey.exists("rq:job:hostile-1")
    assert len(asked_of_ledger()) == len(HOSTILE)
    entries = Outbox.objects.filter(event="job:refuse")
    assert [entry.payload for entry in entries] == [{"queue": "production", "jobs": 1}] * len(HOSTILE)


def test_many_foreign_jobs_are_one_alarm_and_end_no_worker(worker: Worker, valkey: redis.Redis, world: Any) -> None:
    for number in range(30):
        put(valkey, f"flood-{number}", HOSTILE["a program"])
    for key in (b"\xff\xfe", "no id !", "x" * 5000):
        valkey.rpush("rq:queue:production", key)
    valkey.set("rq:job:wrong", "no hash")
    valkey.rpush("rq:queue:production", "wrong", "gone")
    put(valkey, "ours-1", {"data": OURS, "origin": "production", "status": "queued"})
    worker.work(burst=True)
    assert SEEN == ["ours"] and len(asked_of_ledger()) == 1


def test_foreign_registry_entries_are_removed_and_never_called(worker: Worker, valkey: redis.Redis) -> None:
    """RQ's maintenance calls the failure callback of a job whose worker is gone, and unpickles results of groups."""
    fields = {"data": STEP, "failure_callback_name": f"{HERE}.hostile", "status": "started", "origin": "production"}
    valkey.hset("rq:job:left", mapping=fields)
    valkey.zadd("rq:wip:production", {"left:1": 1.0})
    valkey.sadd("rq:groups", "g")
    valkey.sadd("rq:group:g", "grouped")
    valkey.hset("rq:job:grouped", mapping={**HOSTILE["a pickled result"], "status": "queued"})
    worker.work(burst=True)
    assert SEEN == [] and not valkey.exists("rq:job:left", "rq:wip:production")


def test_redis_can_neither_end_nor_suspend_a_worker(worker: Worker, valkey: redis.Redis) -> None:
    valkey.set("rq:suspended", 1)
    put(valkey, "ours-1", {"data": OURS, "origin": "production", "status": "queued"})
    worker.bootstrap("WARNING")
    assert valkey.publish(worker.pubsub_channel_name, '{"command": "shutdown"}') == 0, "no process listens"
    worker.register_death()
    worker.work(burst=True)
    assert SEEN == ["ours"]


def test_emptied_redis_knows_the_worker_again_at_its_next_heartbeat(
    worker: Worker, valkey: redis.Redis, database: str
) -> None:
    worker.register_birth()
    valkey.flushdb()
    assert not liveness.listeners()["production"]
    worker.heartbeat()
    (known,) = liveness.listeners()["production"]
    assert known[0] == worker.name and known[2]
    valkey.flushdb()
    queue = django_rq.get_queue("production")
    job = queue.enqueue(forget_then_sleep, worker.key, 0, result_ttl=0)
    worker.maintain_heartbeats(job, worker.prepare_execution(job))
    assert len(liveness.listeners()["production"]) == 1
    worker.register_death()
    assert not liveness.listeners()["production"]


def test_the_allowed_jobs_are_those_of_the_module_by_name() -> None:
    assert {name.rpartition(".")[0] for name in jobs.JOBS} == {"releases.jobs"}
    for job in jobs.JOBS.values():
        assert all(kind.annotation is int for kind in inspect.signature(job).parameters.values()), job


@contextmanager
def no_database() -> Iterator[None]:
    """Let no server answer at the database's address."""
    port = connection.settings_dict["PORT"]
    connection.close()
    connection.settings_dict["PORT"] = 1
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict["PORT"] = port


def test_an_unreachable_database_refuses_no_job_and_ends_no_worker(
    worker: Worker, valkey: redis.Redis, world: Any
) -> None:
    """The next poll finds the step; a foreign job makes no notification."""
    step = {"data": STEP, "origin": "production", "status": "queued"}
    for key in ("step-0", "step-1"):
        put(valkey, key, step)
    with no_database():
        with pytest.raises(OperationalError):
            connection.ensure_connection()
        worker.work(burst=True)
    assert SEEN == [] and not valkey.exists("rq:queue:production", "rq:job:step-0", "rq:job:step-1")
    put(valkey, "step-2", step)
    put(valkey, "hostile-1", HOSTILE["a program"])
    worker.work(burst=True)
    assert SEEN == [1] and Outbox.objects.get(event="job:refuse").payload["jobs"] == 1


def test_a_foreign_job_ends_no_worker_while_the_database_is_unreachable(
    worker: Worker, valkey: redis.Redis, world: Any
) -> None:
    for key in ("hostile-1", "hostile-2"):
        put(valkey, key, HOSTILE["a program"])
    with no_database():
        worker.work(burst=True)
    assert not valkey.exists("rq:queue:production") and asked_of_ledger() == []
    put(valkey, "hostile-3", HOSTILE["a program"])
    worker.work(burst=True)
    assert len(asked_of_ledger()) == 1
    assert Outbox.objects.get(event="job:refuse").payload == {"queue": "production", "jobs": 3}


def test_a_worker_takes_no_step_of_another_environment(
    approved_deployment: Callable[..., Deployment], world: Any, valkey: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person who writes to Redis cannot deploy to production from the host of development."""
    deployment = approved_deployment(row(TRUE))
    with acting(WORKER):
        enqueue_deployment(deployment.pk)
    monkeypatch.setattr(RingiJob, "functions", jobs.JOBS)
    for name, state in (("development", "ready"), ("production", "succeeded")):
        dispatch.wake(name, "run_step", step_id=first(deployment).pk)
        worker_of(django_rq.get_queue(name)).work(burst=True)
        assert first(deployment).state == state, name
    assert [event.object for event in Event.objects.filter(operation="job:refuse", kind="operation")] == [
        f"environments.Environment:{world.environments['development'].pk}"
    ]
