"""The world of the release tests, and releases that have been tested already."""

from __future__ import annotations

from tests.releases.conftest import sample_repository, world, world_template
from tests.scenarios.conftest import looked_at_once, rows, stock

__all__ = ["looked_at_once", "rows", "sample_repository", "stock", "world", "world_template"]
