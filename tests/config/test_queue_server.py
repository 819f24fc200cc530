"""Where Redis is: a plain address, or real sentinels over a real master and its replica."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from django.core.cache import caches
from django.test import Client

from config.development.processes import PROJECT
from config.health import queue_answers
from config.queue_server import NoAddress, behind, client, queue_settings
from releases import dispatch
from tests.sentinels import PASSWORD, WATCHMAN, Site, monitored, until


def use(settings: Any, url: str) -> None:
    """Let this process find the queue there, as the settings do it."""
    where = queue_settings(url, WATCHMAN)
    kept = {name: value for name, value in settings.RQ_QUEUES["measurements"].items() if name != "URL"}
    settings.RQ_QUEUES = dict.fromkeys(settings.RQ_QUEUES, where | kept)
    rates = settings.CACHES["rates"]
    rates = rates | {"LOCATION": [url], "OPTIONS": rates["OPTIONS"] | {"own_password": WATCHMAN}}
    settings.CACHES = settings.CACHES | {"rates": rates}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """The three servers; ended after the test."""
    with monitored(tmp_path) as made:
        yield made


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
def test_a_server_that_is_down_delays_no_page(site: Site, settings: Any) -> None:
    """The first sentinel of the address is down; then the master is, and no sentinel has named another one."""

    def took(look: Callable[[], object]) -> float:
        began = time.monotonic()
        look()
        return time.monotonic() - began

    use(settings, site.url)
    assert min(took(queue_answers) for _number in range(3)) < 0.3
    assert min(took(client(site.url, WATCHMAN).ping) for _number in range(3)) < 0.3
    site.started["first"].kill()
    site.started["first"].wait()
    assert not queue_answers() and min(took(queue_answers) for _number in range(3)) < 0.3


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
