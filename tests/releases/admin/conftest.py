"""The world of the pages: rows in every interesting state, in a database of the test's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.releases.admin import seed


@pytest.fixture
def world(acting_as: Callable[..., Any]) -> dict[str, Any]:
    """Rows by name."""
    return seed.world(acting_as)
