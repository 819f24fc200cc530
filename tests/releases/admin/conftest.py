"""Fixtures for the pages: rows in every state that matters, in the test's own database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.core.cache import cache
from django.db.models import Model
from django.utils import translation

from tests.conftest import copied, enters, used
from tests.releases.admin import seed


@dataclass(frozen=True)
class PagesTemplate:
    """A database with the rows in it, which tests copy."""

    name: str
    rows: dict[str, tuple[type[Model], Any]]


@pytest.fixture(scope="session")
def pages_template(template_database: str, django_db_blocker: Any) -> Iterator[PagesTemplate]:
    """Make the rows once per process."""
    with copied(template_database) as name:
        with used(name, django_db_blocker), translation.override("en"):
            from django.db import connection

            from audit.ledger.link import link_pending
            from environments.models import Account

            made = seed.world(enters({account.username: account for account in Account.objects.all()}))
            link_pending(connection)
        yield PagesTemplate(name, {key: (type(row), row.pk) for key, row in made.items()})


@pytest.fixture
def seeded(pages_template: PagesTemplate, database: str) -> dict[str, Any]:
    """The rows by name."""
    return {name: model._default_manager.get(pk=pk) for name, (model, pk) in pages_template.rows.items()}


@pytest.fixture
def world(seeded: dict[str, Any]) -> dict[str, Any]:
    """The same rows under the name that the tests of the pages use."""
    return seeded


@pytest.fixture(autouse=True)
def nothing_unresponsive() -> None:
    """Pages look for unresponsive processes every few seconds; this stops it between two counts of queries."""
    cache.set("unresponsive", [], 600)
