"""The world of the release tests, and releases that have been tested already."""

from __future__ import annotations

from tests.releases.conftest import sample_repository, world
from tests.scenarios.conftest import looked_at_once, stock

__all__ = ["looked_at_once", "sample_repository", "stock", "world"]
