"""Fixtures of the tests of notifications and of merge requests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.releases.channel_types.receivers import MailHost, mail_host, use_mail
from tests.releases.operations.forging import Forged
from tests.releases.sources.forge_server import serving


@pytest.fixture
def host(settings: Any) -> Iterator[MailHost]:
    """A mail server."""
    with mail_host() as running:
        use_mail(settings, running)
        yield running


@pytest.fixture(params=["github", "gitlab"])
def forged(request: Any, world: Any, tmp_path: Path) -> Iterator[Forged]:
    """A release and the forge of its application."""
    with serving(request.param) as server:
        yield Forged(world, tmp_path, server, request.param)
