"""Notifications outlive their worker: killed in a delivery, nothing is lost, and a repeated one has the same key."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.development.processes import identity
from tests.chaos.running import Running, children, queues_url, until
from tests.releases.channel_types.receivers import MailHost, mail_host
from tests.releases.conftest import World
from tests.releases.gates.asking import alter
from tests.releases.operations.notifying import announced, forget, join, only, outsider

HOLD = 100.0


@pytest.fixture
def host() -> Iterator[MailHost]:
    """A mail server that other processes reach."""
    with mail_host() as running:
        yield running


def kill(process: Any) -> None:
    """Kill a process and its children at once."""
    for pid in (*children(process.pid), process.pid):
        if identity(pid):
            os.kill(pid, signal.SIGKILL)
    process.wait()


@pytest.mark.timeout(600)
def test_killed_while_it_sends_nothing_is_lost_and_the_second_has_the_same_key(
    world: World, database: str, tmp_path: Path, settings: Any, host: MailHost
) -> None:
    from audit.models import Outbox
    from releases.models import NotificationDelivery, RecipientGroup
    from releases.operations.release.prepare import cancel

    settings.RQ_QUEUES = {name: {**row, "URL": queues_url()} for name, row in settings.RQ_QUEUES.items()}
    for group in RecipientGroup.objects.all():
        alter(group, quiet_from="00:00", quiet_until="00:00")
    only(("release:cancel", "development_team", "mail"))
    people = [f"{name}@datasets.example" for name in ("developer", "tester", "operator")]
    for address in people:
        join("development_team", world.people[address.partition("@")[0]], address)
    release = world.planned()
    forget()
    running = Running(database, release, Path(world.targets["production"].root), tmp_path)
    running.redis.flushdb()
    mail = {"RINGI_MAIL_URL": f"smtp://{host.host}:{host.port}", "RINGI_MAIL_FROM": "ringi@releases.example"}
    inside, go_on = threading.Event(), threading.Event()

    def held() -> None:
        """Hold the first mail before the server has said that it took it."""
        if not inside.is_set():
            inside.set()
            go_on.wait(HOLD)

    host.before = held
    try:
        running.process("scheduler")
        worker = running.process("worker", "notifications", **mail)
        with world.acting_as("manager"):
            cancel(release.pk, reason="計画変更")
        assert inside.wait(HOLD), "nothing was sent"
        kill(worker)
        go_on.set()
        running.redis.flushdb()
        until("the mail of the killed worker", lambda: len(host.mails) == 1, HOLD)
        assert NotificationDelivery.objects.filter(outcome="sent").count() == 0, "nobody has kept its outcome"
        _let_the_claim_run_out()
        running.process("worker", "notifications", **mail)
        until(
            "every delivery to be kept as sent",
            lambda: NotificationDelivery.objects.filter(outcome="sent").count() == 3,
            HOLD,
        )
    finally:
        go_on.set()
        running.end()
    assert sorted(set(host.to)) == sorted(people) and len(host.to) == 4, "one comes twice, none is missing"
    keys = [mail["Message-ID"] for mail in host.mails]
    assert len(keys) == 4 and len(set(keys)) == 3, "what comes twice has the same key"
    assert not Outbox.objects.filter(sent_at=None, event="release:cancel").exists()
    assert sorted(NotificationDelivery.objects.values_list("tries", flat=True)) == [1, 1, 2]


def _let_the_claim_run_out() -> None:
    """A minute passes for the claim of the killed process, and for nothing else."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("UPDATE releases_notificationchannel SET next_send_at = clock_timestamp()")


@pytest.mark.timeout(600)
def test_messages_in_the_outbox_are_sent_when_the_worker_comes_back(
    world: World, database: str, tmp_path: Path, settings: Any
) -> None:
    from releases.models import InboxItem
    from releases.operations.release.prepare import cancel

    settings.RQ_QUEUES = {name: {**row, "URL": queues_url()} for name, row in settings.RQ_QUEUES.items()}
    only(("release:cancel", "development_team", "admin"), ("release:cancel", "users", "mail"))
    join("development_team", world.people["developer"])
    release = world.planned()
    announced(release, outsider("users", "kita@users.example"))
    forget()
    with world.acting_as("manager"):
        cancel(release.pk, reason="計画変更")
    running = Running(database, release, Path(world.targets["production"].root), tmp_path)
    running.redis.flushdb()
    try:
        first = running.process("scheduler")
        until("the queue to be told", lambda: running.redis.llen("rq:queue:notifications"), HOLD)
        assert running.redis.llen("rq:queue:notifications") == 1, "one wake-up is enough, however long nobody answers"
        kill(first)
        running.redis.flushdb()
        running.process("scheduler")
        running.process("worker", "notifications")
        until(
            "both messages", lambda: InboxItem.objects.filter(notification__event="release:cancel").count() == 2, HOLD
        )
    finally:
        running.end()
    assert InboxItem.objects.get(account=world.people["developer"]).deliveries.get().outcome == "sent"
    assert (
        InboxItem.objects.get(account=None, notification__event="release:cancel").deliveries.get().outcome == "pending"
    ), "nobody has released it"
