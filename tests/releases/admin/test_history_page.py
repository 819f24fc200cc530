"""The history of one object: all its versions on one page, in a fixed number of queries."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.urls import reverse

from audit.actor import Actor, acting
from audit.clock import now
from audit.operation import operation
from environments.models import ChangeFreeze, Environment
from tests.releases.admin.counting import capture_queries

COMMAND = Actor(account_id=None, name="tests", kind="command", channel="command")
QUERIES = 6


def versions(count: int) -> ChangeFreeze:
    """Make a freeze with so many versions, one operation each."""
    moment = now()
    with acting(COMMAND):
        with operation("test:make") as op:
            row = ChangeFreeze.objects.create(
                name="年末年始",
                environment=Environment.objects.get(slug="production"),
                reason="version 1",
                starts_at=moment + timedelta(days=9),
                ends_at=moment + timedelta(days=10),
            )
            op.about(row)
        for n in range(2, count + 1):
            with operation("test:edit", (ChangeFreeze, row.pk)) as op:
                op.get(ChangeFreeze).reason = f"version {n}"
    return row


def test_the_history_of_an_object_with_fifty_versions_takes_few_queries(
    database: str, browsers: Callable[[str], Any]
) -> None:
    row = versions(50)
    auditor, address = browsers("auditor"), f"{reverse('timeline')}?object=environments.ChangeFreeze:{row.pk}&kind=row"
    auditor.get(address)
    with capture_queries() as seen:
        shown = auditor.get(address).content.decode()
    assert all(f"version {n}<" in shown for n in range(2, 51)) and shown.count(' kind-row"') == 50
    assert len(seen) <= QUERIES, "\n".join(query["sql"][:200] for query in seen)
