"""Pages and lists cost the same number of queries at ten rows and at ten thousand, for every person."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from audit.change import change
from audit.clock import now
from environments.models import Account, Environment
from releases.models import Deployment, Evidence, Obligation, Release
from tests.releases.admin.test_pages import READERS, addresses

MANY = 10_000
BUDGETS = {"admin:index": 60, "calendar": 60, "figures": 40, "admin:releases_release_changelist": 25}


def grow(acting_as: Callable[..., Any], world: dict[str, Any], count: int, first: int = 0) -> None:
    """Add so many releases, runs, evidence and obligations, each written by the ledger's triggers like any other."""
    of, draft = world["application"], world["draft"]
    people = {a.username: a for a in Account.objects.all()}
    staging = Environment.objects.get(slug="staging")
    with acting_as("manager"), change("test:many") as act:
        act.about(draft)
        made = Release.objects.bulk_create(
            [
                Release(application=of, version=f"9.{i}.0", title="many", author=people["manager"])
                for i in range(first, first + count)
            ],
            batch_size=1000,
        )
        Deployment.objects.bulk_create(
            [
                Deployment(release=row, application=of, environment=staging, requested_by=people["manager"])
                for row in made
            ],
            batch_size=1000,
        )
        Evidence.objects.bulk_create(
            [
                Evidence(
                    application=of, environment=staging, kind="junit", test_type="unit", commit=draft.commit, tree="",
                    digest=f"{i:064d}", values={}, sentence="many", content=b"", handed_in_by=people["developer"],
                )
                for i in range(first, first + count)
            ],
            batch_size=1000,
        )  # fmt: skip
        Obligation.objects.bulk_create(
            [
                Obligation(
                    application=of, release=row, key="full_review", label_ja="後日", label_en="later",
                    due_at=now() + timedelta(days=30),
                )
                for row in made
            ],
            batch_size=1000,
        )  # fmt: skip


def _queries(client: Any, address: str) -> int:
    client.get(address)  # what is read once per process is not counted
    with CaptureQueriesContext(connection) as caught:
        assert client.get(address).status_code == 200, address
    return len(caught)


@pytest.mark.timeout(900)
def test_the_queries_of_every_page_stay_within_their_budget(
    world: dict[str, Any], browsers: Callable[[str], Any], acting_as: Callable[..., Any]
) -> None:
    """At ten rows and at ten thousand, for every reader, and no page above 130."""
    pages = [p for p in addresses(world) if "/act/" not in p]
    grow(acting_as, world, 10)
    few = {(who, page): _queries(browsers(who), page) for who in READERS for page in pages}
    grow(acting_as, world, MANY, first=10)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    many = {key: _queries(browsers(key[0]), key[1]) for key in few}
    grown = {key: (few[key], many[key]) for key in few if many[key] > few[key]}
    assert not grown, grown
    assert max(many.values()) <= 130
    for name, budget in BUDGETS.items():
        assert many["manager", reverse(name)] <= budget, (name, many["manager", reverse(name)])
