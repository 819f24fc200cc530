"""The world of the release tests, with a repository that is read once, for scenarios of many steps."""

from __future__ import annotations

from typing import Any

import pytest

from tests.releases.conftest import World, sample_repository, world, world_template
from tests.scenarios.cells import Rows
from tests.scenarios.stock import Stock

__all__ = ["sample_repository", "stock", "world", "world_template"]


@pytest.fixture
def looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask the real git once for each commit; a second look would slow down thousands of steps."""
    from releases.models import Fact, Release
    from releases.operations.release import refresh_from_git

    seen: dict[Any, dict[str, Any]] = {}
    look = refresh_from_git._look

    def remembered(release: Release) -> dict[str, Any]:
        key = (release.application.repository, release.tag, release.commit, release.branch)
        if key not in seen:
            # Migrations are read once for a release; its copies see them too.
            known = Fact.objects.filter(release=release, kind="migrations")
            seen[key] = {fact.kind: fact.value for fact in known} | look(release)
        return seen[key]

    monkeypatch.setattr(refresh_from_git, "_look", remembered)


@pytest.fixture
def stock(world: World, looked_at_once: None) -> Stock:
    """Copies of a tested release, each in a few milliseconds."""
    return Stock(world)


@pytest.fixture
def rows(stock: Stock) -> Rows:
    """One row of every type on which a verb is offered."""
    return Rows(stock)
