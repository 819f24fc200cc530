"""The language in which these tests read messages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.utils import translation


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    """Speak English, whatever the installation's language is."""
    with translation.override("en"):
        yield
