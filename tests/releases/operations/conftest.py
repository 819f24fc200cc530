"""Fixtures of the notification tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.releases.channel_types.receivers import MailHost, mail_host, use_mail


@pytest.fixture
def host(settings: Any) -> Iterator[MailHost]:
    """A mail server."""
    with mail_host() as running:
        use_mail(settings, running)
        yield running
