"""The documented Redis, as a real server: TLS alone, the web's user may enqueue, the worker's may take, and no other
user anything.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import django_rq
import pytest
import redis
from django.core.cache import caches
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError
from rq.serializers import JSONSerializer

from config.development.ports import free_port
from config.development.processes import PROJECT
from config.queue_server import queue_settings
from releases import dispatch, liveness
from releases.worker.rq_worker import RingiJob
from tests.certificates import self_signed
from tests.releases.worker.test_rq_worker import SEEN, Worker, ours

DEPLOY = PROJECT / "deploy"


@dataclass(frozen=True)
class Server:
    port: int
    authority: Path

    def url(self, user: str, password: str) -> str:
        return f"rediss://{user}:{password}@127.0.0.1:{self.port}/0?ssl_ca_certs={self.authority}"

    def client(self, user: str, password: str) -> redis.Redis:
        return redis.Redis.from_url(self.url(user, password))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """The configuration and the users of the documentation, with paths, port and passwords of the test's own."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None or shutil.which("openssl") is None:
        pytest.skip("no redis-server or valkey-server, or no openssl, on this machine")
    key, pem = self_signed(tmp_path, "IP:127.0.0.1")
    users = (
        (DEPLOY / "redis-users.acl").read_text().replace("WEB_PASSWORD", "web-1").replace("WORKER_PASSWORD", "worker-1")
    )
    (tmp_path / "ringi.acl").write_text(users)
    port = free_port()
    text = (
        (DEPLOY / "redis.conf")
        .read_text()
        .replace("/etc/ringi-ca.pem", str(pem))
        .replace("tls-port 6379", f"tls-port {port}")
    )
    (tmp_path / "redis.conf").write_text(text.replace("/etc/valkey", str(tmp_path)) + "bind 127.0.0.1\n")
    child = subprocess.Popen([program, str(tmp_path / "redis.conf")], cwd=tmp_path, stdout=subprocess.DEVNULL)
    try:
        found = Server(port, pem)
        deadline = time.monotonic() + 30
        while True:
            try:
                found.client("ringi_web", "web-1").ping()
                break
            except RedisError:
                assert time.monotonic() < deadline and child.poll() is None
                time.sleep(0.05)
        yield found
    finally:
        child.terminate()
        child.wait()


def as_user(settings: Any, url: str) -> None:
    settings.RQ_QUEUES = {name: {**row, **queue_settings(url)} for name, row in settings.RQ_QUEUES.items()}
    caches_now = {**settings.CACHES, "rates": {**settings.CACHES["rates"], "LOCATION": [url]}}
    settings.CACHES = caches_now


@pytest.mark.usefixtures("database")
def test_the_web_may_enqueue_and_the_worker_may_take(
    server: Server, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RingiJob, "functions", {"releases.jobs.deliver_notifications": ours})
    SEEN.clear()
    as_user(settings, server.url("ringi_web", "web-1"))
    dispatch.wake("production", "deliver_notifications")
    assert django_rq.get_queue("production").count == 1
    caches["rates"].add("calls", 0, timeout=60)
    assert caches["rates"].incr("calls") == 1
    as_user(settings, server.url("ringi_worker", "worker-1"))
    queue = django_rq.get_queue("production")
    worker = Worker([queue], connection=queue.connection, serializer=JSONSerializer, worker_ttl=60)
    worker.register_birth()
    as_user(settings, server.url("ringi_web", "web-1"))
    assert len(liveness.listeners()["production"]) == 1
    worker.register_death()
    worker._install_signal_handlers = lambda: None
    worker.work(burst=True)
    assert SEEN == ["ours"]


def test_neither_may_more_and_no_other_user_anything(server: Server) -> None:
    web, worker = server.client("ringi_web", "web-1"), server.client("ringi_worker", "worker-1")
    every = (
        ("flushall",),
        ("config", "get", "*"),
        ("eval", "return 1", "0"),
        ("acl", "list"),
        ("keys", "*"),
        ("publish", "rq:pubsub:x", "x"),
        ("shutdown",),
        ("replicaof", "127.0.0.1", "1"),
    )
    for client, more in (
        (web, (("lpop", "rq:queue:x"), ("set", "other", "1"), ("sadd", "rq:workers:x", "y"))),
        (worker, (("get", "ringi:1:calls"), ("set", "other", "1"))),
    ):
        for words in (*every, *more):
            with pytest.raises(NoPermissionError):
                client.execute_command(*words)
    for user, password in (("default", ""), ("ringi_web", "wrong"), ("ringi_worker", "web-1")):
        with pytest.raises((AuthenticationError, redis.exceptions.ResponseError)):
            server.client(user, password).ping()
    with pytest.raises(RedisError):
        redis.Redis(port=server.port, username="ringi_web", password="web-1").ping()
