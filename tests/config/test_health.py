"""Probes, pages and monitoring about an unresponsive scheduler, queue or worker, with real processes."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.utils import translation
from prometheus_client.parser import text_string_to_metric_families

from audit.actor import acting
from audit.ledger.checkpoint import LedgerSigner
from audit.operation import operation
from config.development.processes import PROJECT, spawn
from environments.code_version import code_version
from environments.models import Environment
from releases.liveness import read_liveness
from tests.conftest import sign_ledger
from tests.releases.gates.asking import COMMAND
from tests.releases.operations.notifying import forget

pytestmark = pytest.mark.timeout(600)
Start = Callable[..., Any]
WELL = dict.fromkeys(("ok", "database", "queue", "scheduler", "ledger_signer", "workers", "ledger"), True) | {
    "reason": ""
}


@pytest.fixture(autouse=True)
def monitored(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Pages and probes look again each time; the queue is a database of this file's own."""
    settings.HEARTBEAT_TIMEOUT = 90.0
    monkeypatch.setattr(Environment, "queues", lambda: ["production"])
    url = os.environ["REDIS_URL"].rsplit("/", 1)[0] + "/8"
    settings.RQ_QUEUES = {name: {**row, "URL": url} for name, row in settings.RQ_QUEUES.items()}
    with redis.Redis.from_url(url) as client:
        client.flushdb()
        yield
        client.flushdb()
    cache.clear()


@pytest.fixture
def start(database: str, tmp_path: Path, settings: Any) -> Iterator[Start]:
    """Return a function: start a management command as a process of its own."""
    from tests.chaos.running import children, ended as has_ended

    forget()  # pending notifications of the template are as old as the template, and so are its unsigned events
    sign_ledger(LedgerSigner(tmp_path / "ledger_signer"))
    started: list[Any] = []
    from urllib.parse import urlsplit

    from psycopg.conninfo import conninfo_to_dict

    address = urlsplit(os.environ["DATABASE_URL"])
    own = address._replace(path=f"/{conninfo_to_dict(database)['dbname']}").geturl()
    given = {"DATABASE_URL": own, "REDIS_URL": settings.RQ_QUEUES["production"]["URL"], "RINGI_POLL_INTERVAL": "0.2"}

    def begin(*words: str, **extra: str) -> Any:
        log, argv = tmp_path / f"{words[0]}.log", [sys.executable, "manage.py", *words]
        environment = os.environ | given | extra
        child = spawn(argv, environment=environment, folder=PROJECT, log=log, death_signal=signal.SIGKILL)
        started.append(child)
        return child

    yield begin
    for child in started:
        for pid in (child.pid, *children(child.pid)):
            if not has_ended(pid):
                os.kill(pid, signal.SIGKILL)
        child.wait()


def until(look_: Callable[[], Any], seconds: float = 300.0) -> Any:
    """Look until something true comes back."""
    deadline = time.monotonic() + seconds
    while not (found := look_()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def probe(address: str = "/health/work/") -> tuple[int, dict[str, Any]]:
    """Ask as a probe does, without cached parts of an earlier answer."""
    cache.clear()
    answer = Client().get(address)
    return answer.status_code, answer.json()


def test_a_scheduler_that_hangs_raises_the_alarm_everywhere_and_its_return_ends_it(
    start: Start, browsers: Callable[[str], Any], settings: Any
) -> None:
    assert read_liveness().scheduler is None, "it never ran here"
    assert probe()[1]["scheduler"] is False
    child = start("scheduler")
    until(lambda: probe()[1]["scheduler"])
    os.kill(child.pid, signal.SIGSTOP)
    settings.HEARTBEAT_TIMEOUT = 1.0
    until(lambda: not probe()[1]["scheduler"])
    assert probe()[0] == 503 and probe("/health/")[0] == 200, "pages are served all the same"
    for name, words in (("auditor", "The scheduler is unresponsive"), ("committee_a", "The scheduler is unresponsive")):
        page = browsers(name).get("/admin/").content.decode()
        assert words in page and 'data-unresponsive="scheduler"' in page
    os.kill(child.pid, signal.SIGCONT)
    settings.HEARTBEAT_TIMEOUT = 90.0
    until(lambda: probe()[1]["scheduler"])
    assert 'data-unresponsive="scheduler"' not in browsers("auditor").get("/admin/").content.decode()


def test_a_queue_without_a_worker_differs_from_one_that_does_not_answer(
    start: Start, browsers: Callable[[str], Any], settings: Any
) -> None:
    from releases.liveness import record_heartbeat

    record_heartbeat("scheduler")
    assert read_liveness().unresponsive() == [("workers", "production")]
    page = browsers("auditor").get("/admin/queues/", headers={"accept-language": "ja"}).content.decode()
    assert 'data-unresponsive="workers"' in page and "production" in page
    worker = start("worker", "production")
    until(lambda: read_liveness().workers == {"production": 1})
    assert read_liveness().unresponsive() == [] and probe() == (200, WELL)
    worker.terminate()
    worker.wait()
    assert read_liveness().unresponsive() == [("workers", "production")]
    settings.RQ_QUEUES = {name: {**row, "URL": "redis://127.0.0.1:9/0"} for name, row in settings.RQ_QUEUES.items()}
    assert read_liveness().unresponsive() == [("queue", "")]
    status, parts = probe()
    assert (status, parts["queue"], parts["scheduler"]) == (503, False, True)
    assert 'data-unresponsive="queue"' in browsers("auditor").get("/admin/").content.decode()


def test_an_emptied_queue_is_no_alarm_after_heartbeats_of_its_workers(start: Start, settings: Any) -> None:
    from releases.liveness import listeners, record_heartbeat

    record_heartbeat("scheduler")
    worker = start("worker", "production")
    with redis.Redis.from_url(settings.RQ_QUEUES["production"]["URL"]) as client:
        # A worker that is still starting ends with its connection, and its service starts another.
        ((name, _state, _seen),) = until(lambda: [row for row in listeners()["production"] if row[1] == "idle"])
        os.kill(worker.pid, signal.SIGSTOP)
        client.flushdb()
        assert read_liveness().unresponsive() == [("workers", "production")]
        os.kill(worker.pid, signal.SIGCONT)
        # As after a restart: its connection is gone, and it opens another.
        for known in client.client_list():
            if known["name"] == name:
                client.client_kill(known["addr"])
        until(lambda: read_liveness().unresponsive() == [])


def test_the_page_of_the_queues_calls_nothing_that_a_job_names(
    database: str, browsers: Callable[[str], Any], settings: Any
) -> None:
    with redis.Redis.from_url(settings.RQ_QUEUES["production"]["URL"]) as client:
        named = {"data": "[]", "status": "started", "failure_callback_name": "this.s", "origin": "production"}
        client.hset("rq:job:left", mapping=named)
        client.zadd("rq:wip:production", {"left:1": 1.0})
        assert browsers("auditor").get("/admin/queues/").status_code == 200
        assert "this" not in sys.modules


def test_an_unsigned_ledger_raises_the_alarm_until_it_is_signed(
    database: str, browsers: Callable[[str], Any], settings: Any, tmp_path: Path
) -> None:
    from releases.liveness import record_heartbeat

    record_heartbeat("scheduler")
    settings.HEARTBEAT_TIMEOUT = 0.001
    assert ("ledger_signer", "") in read_liveness().unresponsive() and probe()[1]["ledger_signer"] is False
    settings.HEARTBEAT_TIMEOUT = 0.0
    assert read_liveness().unresponsive() == [], "off"
    settings.HEARTBEAT_TIMEOUT = 0.001
    page = browsers("auditor").get("/admin/", headers={"accept-language": "ja"}).content.decode()
    assert 'data-unresponsive="ledger_signer"' in page and "台帳署名プロセスの応答がありません" in page
    sign_ledger(LedgerSigner(tmp_path / "ledger_signer"))
    assert ("ledger_signer", "") not in read_liveness().unresponsive() and read_liveness().ledger.unsigned is None
    with acting(COMMAND), operation("test:write"):
        pass
    assert ("ledger_signer", "") in read_liveness().unresponsive(), "what came after it waits again"
    settings.HEARTBEAT_TIMEOUT = 90.0
    assert probe()[1]["ledger_signer"] is True


def test_untaken_work_is_found_although_a_worker_is_there(database: str, settings: Any) -> None:
    """A message waits to be sent, and no worker sends it."""
    from audit.models import Outbox

    with acting(COMMAND), operation("test:write") as op:
        op.notify_as("ledger:alarm")
    assert Outbox.objects.filter(sent_at=None).exists()
    settings.HEARTBEAT_TIMEOUT = 86400.0
    assert ("workers", "notifications") not in read_liveness().unresponsive()
    settings.HEARTBEAT_TIMEOUT = 0.001
    assert ("workers", "notifications") in read_liveness().unresponsive()


def test_metrics_need_the_token(database: str, settings: Any, tmp_path: Path) -> None:
    forget()
    sign_ledger(LedgerSigner(tmp_path / "ledger_signer"))
    assert Client().get("/metrics").status_code == 404, "no token, no page"
    settings.METRICS_TOKEN = "a-word-for-prometheus"
    assert Client().get("/metrics").status_code == 401
    assert Client().get("/metrics", headers={"authorization": "Bearer another"}).status_code == 401
    answer = Client().get("/metrics", headers={"authorization": "Bearer a-word-for-prometheus"})
    families = {family.name: family for family in text_string_to_metric_families(answer.content.decode())}
    unresponsive = {tuple(one.labels.values()) for one in families["ringi_unresponsive"].samples}
    assert unresponsive == {("scheduler", ""), ("workers", "production")}
    assert families["ringi_queue_up"].samples[0].value == 1
    assert families["ringi_build_info"].samples[0].labels == {"version": code_version()} != {"version": ""}
    assert families["ringi_queue_workers"].samples[0].labels == {"queue": "production"}
    assert "ringi_scheduler_heartbeat_age_seconds" not in families, "it never gave one"
    from releases.liveness import record_heartbeat

    record_heartbeat("scheduler")
    answer = Client().get("/metrics", headers={"authorization": "Bearer a-word-for-prometheus"})
    assert "ringi_scheduler_heartbeat_age_seconds" in answer.content.decode()


def test_visitors_get_no_names(database: str) -> None:
    assert set(probe()[1]) == set(WELL) and "production" not in Client().get("/health/work/").content.decode()
    with translation.override("ja"):
        assert "data-unresponsive" not in Client().get("/account/login/").content.decode()


def test_a_probe_needs_neither_a_name_nor_tls(database: str, settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT, settings.ALLOWED_HOSTS = True, ["ringi.example"]
    assert Client().get("/health/", headers={"host": "10.1.2.3"}).status_code == 200
    assert Client().post("/health/", headers={"host": "10.1.2.3"}).status_code == 405
    assert Client().get("/account/login/", headers={"host": "10.1.2.3"}).status_code == 400, "pages do"


def test_a_read_only_database_is_reported_as_such(database: str, settings: Any) -> None:
    settings.METRICS_TOKEN = "a-word-for-prometheus"
    people, asked = Client(raise_request_exception=False), {"authorization": "Bearer a-word-for-prometheus"}
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")
    status, parts = probe("/health/")
    assert (status, parts["database"], parts["reason"], parts["queue"]) == (503, False, "database_read_only", True)
    assert "ringi_up 0.0" in people.get("/metrics", headers=asked).content.decode()
    for language, words in (("en", "cannot use its database"), ("ja", "データベースを利用できません")):
        people.cookies["django_language"] = language
        answer = people.post("/account/login/", {"login": "manager", "password": "wrong"})
        assert answer.status_code == 503 and words in answer.content.decode()


def test_a_database_that_is_down_is_reported_as_such(
    database: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.METRICS_TOKEN = "a-word-for-prometheus"
    people, asked = Client(raise_request_exception=False), {"authorization": "Bearer a-word-for-prometheus"}
    connection.close()
    monkeypatch.setitem(connection.settings_dict, "PORT", "1")
    status, parts = probe("/health/")
    assert (status, parts["database"], parts["reason"]) == (503, False, "database_down")
    answer = people.get("/metrics", headers=asked)
    assert answer.status_code == 200 and "ringi_up 0.0" in answer.content.decode()
    people.cookies["sessionid"] = "of somebody who was signed in"
    page = people.get("/admin/")
    assert page.status_code == 503 and page.headers["Retry-After"] == "30"
    answer = Client().get("/api/v1/releases", headers={"authorization": "Bearer ringi_x"})
    assert answer.status_code == 503 and answer.json()["type"].endswith("#unavailable")
    connection.close()
