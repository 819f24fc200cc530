"""What was touched: each event once, as soon as its transaction has ended, linked or not."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from audit.actor import acting
from audit.changes import ANYTHING, Changes, newest
from audit.ledger.link import link_pending
from audit.operation import operation
from environments.models import Environment
from releases.models import ChangeEntry
from tests.audit.test_operation import COMMAND
from tests.releases.admin.conftest import pages_template, seeded
from tests.releases.gates.asking import alter

__all__ = ["pages_template", "seeded"]


def rename(place: Environment, name: str) -> str:
    """Change an environment; return how events name it."""
    alter(place, purpose_en=name)
    return f"environments.Environment:{place.pk}"


@pytest.fixture
def place(database: str) -> Environment:
    return Environment.objects.get(slug="development")


def test_an_event_is_told_once_whether_pending_or_linked(place: Environment) -> None:
    link_pending(connection)
    changes = Changes()
    assert changes.read() == set()
    name = rename(place, "one")
    assert changes.read() >= {name, "environments.Environment", ANYTHING}
    assert changes.read() == set()
    link_pending(connection)
    assert changes.read() == set()
    rename(place, "two")
    link_pending(connection)
    assert name in changes.read() and changes.read() == set()


def test_what_waits_at_the_beginning_is_not_told_later(place: Environment) -> None:
    rename(place, "one")
    changes = Changes()
    link_pending(connection)
    assert changes.read() == set()


def test_a_transaction_that_ends_after_a_later_one_is_told(place: Environment) -> None:
    other = Environment.objects.get(slug="staging")
    changes = Changes()
    begun, ended = threading.Event(), threading.Event()

    def slow() -> None:
        with acting(COMMAND), operation("test:alter", (Environment, other.pk)) as op:
            row = op.get(Environment)
            row.purpose_en = "slow"
            row.save()
            begun.set()
            assert ended.wait(20)
        connection.close()

    thread = threading.Thread(target=slow)
    thread.start()
    assert begun.wait(20)
    name = rename(place, "later, and sooner over")
    assert name in changes.read()
    ended.set()
    thread.join()
    assert f"environments.Environment:{other.pk}" in changes.read()


def test_many_pending_events_hide_no_newer_one(place: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    """As while the ledger signer is down: nothing is linked, and more wait than are read at once."""
    monkeypatch.setattr("audit.changes.MOST", 3)
    for number in range(5):
        rename(place, f"before {number}")
    changes = Changes()
    other = Environment.objects.get(slug="staging")
    assert changes.read() == set()
    name = rename(other, "after")
    assert name in changes.read() and changes.read() == set()


def test_a_new_row_touches_what_it_points_at(seeded: dict[str, Any], acting_as: Callable[..., Any]) -> None:
    from releases.operations.release.plan import add_change

    release = seeded["draft"]
    changes = Changes()
    with acting_as("manager"):
        add_change(release.pk, kind="fix", text="one more")
    entry = ChangeEntry.objects.latest("pk")
    assert changes.read() >= {f"releases.ChangeEntry:{entry.pk}", f"releases.Release:{release.pk}"}


def test_newest_differs_after_a_change_and_not_by_linking(place: Environment) -> None:
    name = rename(place, "one")
    asked = ([name], ["environments.Environment"], [ANYTHING], ["environments.Environment:999999"])
    before = [newest(one) for one in asked]
    link_pending(connection)
    assert [newest(one) for one in asked] == before
    rename(place, "two")
    after = [newest(one) for one in asked]
    assert [new != old for new, old in zip(after, before, strict=True)] == [True, True, True, False]
