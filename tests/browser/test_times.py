"""Times of the pages: in the environment's zone, which is named, and in the reader's own where the pointer rests."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.urls import reverse

from tests.browser.person import Person

PLACE = "America/New_York"


@pytest.mark.parametrize(("locale", "words"), [("ja", "お手元の時刻"), ("en", "Your local time")])
def test_the_readers_own_time_is_said_on_hover(
    locale: str, words: str, seeded: dict[str, Any], person: Callable[..., Person]
) -> None:
    """On a page, in a list and beneath a folded part, to someone far from the environment."""
    reader = person("auditor", locale=locale, timezone_id=PLACE)
    for address in (
        reverse("release", args=[seeded["review"].pk]),
        reverse("admin:releases_release_changelist"),
        reverse("timeline"),
    ):
        reader.go(address)
        time = reader.page.locator("main time[datetime]:visible").first
        assert time.get_attribute("title") is None and "JST" in time.inner_text(), address
        time.hover()
        there = datetime.fromisoformat(time.get_attribute("datetime") or "").astimezone(ZoneInfo(PLACE))
        said = time.get_attribute("title") or ""
        assert said.startswith(f"{words}: ") and f"{there:%H:%M:%S}" in said and str(there.day) in said, said
        assert there.tzname() in said or "GMT-" in said, said
    assert not reader.complaints
