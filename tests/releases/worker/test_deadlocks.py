"""Two real connections lock the same rows in another order: no error reaches a person, and nothing is done twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection
from django.test import Client

from audit.actor import acting
from audit.clock import now
from audit.models import Event
from environments.models import AccessGrant, Account
from releases.models import Deployment, NotificationChannel, NotificationDelivery, Step, SuppressedAddress
from releases.operations.notification_channel.change import enable
from releases.operations.notification_delivery.disable import enable_address
from releases.operations.step.claim import claim
from releases.operations.step.outcome import record_success
from tests.releases.api.conftest import ask, token_for
from tests.releases.gates.asking import alter, make
from tests.releases.operations.notifying import announced, outsider

from .conftest import TRUE, WORKER, first, row

ADDRESS = "gone@partner.example"
WAITS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


def beside(database: str, held: Any, wanted: Any, call: Callable[[], Any]) -> Any:
    """Return a call's result; another connection has locked its row `held` and then waits for the call's `wanted`.

    PostgreSQL ends the connection that has waited longer: the call.
    """

    def called() -> Any:
        try:
            return call()
        finally:
            connection.close()

    def lock(one: Any) -> None:
        other.execute(f"SELECT FROM {one._meta.db_table} WHERE id = %s FOR UPDATE", [one.pk])

    with psycopg.connect(database) as other, psycopg.connect(database, autocommit=True) as looking:
        lock(held)
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(called)
            until = time.monotonic() + 30
            while not looking.execute(WAITS).fetchone()[0] and not answer.done():
                assert time.monotonic() < until
                time.sleep(0.01)
            lock(wanted)
            other.rollback()
            return answer.result(60)


@pytest.fixture
def blamed(world: Any) -> tuple[NotificationChannel, SuppressedAddress, NotificationDelivery]:
    """A disabled channel, an address disabled by its fault, and an undelivered mail to that address."""
    notification = announced(world.planned(), outsider("users", ADDRESS))
    channel = NotificationChannel.objects.get(key="mail")
    alter(channel, disabled_at=now(), disabled_because="554")
    failed = alter(
        NotificationDelivery.objects.get(inbox_item__notification=notification), outcome="failed", ended_at=now()
    )
    return (
        channel,
        make(SuppressedAddress, address=ADDRESS, channel=channel, reason="554", since=notification.made_at),
        failed,
    )


def test_a_button_repeats_its_operation_after_a_deadlock(
    database: str,
    blamed: tuple[NotificationChannel, SuppressedAddress, NotificationDelivery],
    browsers: Callable[[str], Client],
) -> None:
    channel, address, failed = blamed
    browser = browsers("manager")
    path = f"/admin/operation/notification_channel/enable/{channel.pk}/"
    answer = beside(database, address, channel, lambda: browser.post(path, {"reason": "the relay takes mail again"}))
    assert answer.status_code == 302
    assert NotificationChannel.objects.get(pk=channel.pk).disabled_at is None
    assert NotificationDelivery.objects.get(pk=failed.pk).outcome == "pending"
    assert Event.objects.filter(operation="notification_channel:enable", kind="operation").count() == 1


def test_the_outcome_of_a_step_survives_a_deadlock(database: str, queued: Callable[..., Deployment]) -> None:
    deployment = queued(row(TRUE))
    with acting(WORKER):
        claim(first(deployment).pk, worker="one")
    step = Step.objects.select_related("deployment__environment").get(pk=first(deployment).pk)

    def ends() -> None:
        with acting(WORKER):
            record_success(step, fencing_token=1, result={"by": "one"})

    beside(database, step, deployment, ends)
    assert (first(deployment).state, first(deployment).result) == ("succeeded", {"by": "one"})
    assert Event.objects.filter(operation="step:succeed", kind="operation").count() == 1


def test_an_api_call_repeats_its_operation_after_a_deadlock(
    database: str, world: Any, queued: Callable[..., Deployment]
) -> None:
    deployment = queued(row(TRUE))
    account = make(Account, username="managing", display_name="Managing", kind="service")
    make(AccessGrant, account=account, role_id="release_manager", starts_at=now(), reason="test", confirmed_at=now())
    token = token_for(world, account)
    path = f"/deployments/{deployment.pk}/cancel"
    answer = beside(
        database, first(deployment), deployment, lambda: ask("post", path, {"reason": "not tonight"}, token=token)
    )
    assert answer.status_code == 200, answer.content
    assert Deployment.objects.get(pk=deployment.pk).state == "cancelled"
    assert Event.objects.filter(operation="deployment:cancel", kind="operation").count() == 1


def test_two_operations_on_a_channel_and_its_addresses_wait_for_each_other(
    world: Any, blamed: tuple[NotificationChannel, SuppressedAddress, NotificationDelivery]
) -> None:
    channel, address, failed = blamed
    has_mail, has_address = threading.Event(), threading.Event()
    faults: list[BaseException] = []

    def operate(call: Callable[[], Any], table: str, mine: threading.Event, other: threading.Event) -> None:
        def meets(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            """Wait, before the second of the two rows is locked, until the other operation has its first."""
            if f'FROM "{table}"' in sql and "UPDATE" in sql and 'WHERE "id" = %s' not in sql:
                mine.set()
                other.wait(5)
            return execute(sql, params, many, context)

        try:
            with world.acting_as("manager"), connection.execute_wrapper(meets):
                call()
        except OperationalError as fault:
            faults.append(fault)
        finally:
            connection.close()

    calls = [
        (lambda: enable(channel.pk, reason="x"), "releases_suppressedaddress", has_mail, has_address),
        (lambda: enable_address(address.pk, reason="x"), "releases_notificationdelivery", has_address, has_mail),
    ]
    threads = [threading.Thread(target=operate, args=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not faults
    assert NotificationDelivery.objects.get(pk=failed.pk).outcome == "pending"
