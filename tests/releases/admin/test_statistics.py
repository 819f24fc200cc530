"""The statistics page: its numbers, their words, and its CSV."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.urls import reverse

from audit.clock import now
from releases.admin.components.period import fiscal_year
from releases.admin.pages.statistics.bars import columns, shares
from releases.admin.pages.statistics.csv import PARTS
from releases.admin.pages.statistics.page import previous
from tests.releases.admin import seed
from tests.releases.reporting.statistics import past


def test_columns_are_stacked_and_bars_are_contiguous() -> None:
    """An empty column has no bar."""
    drawn = columns(["4", "5"], [("well", "good", [1, 0]), ("badly", "bad", [1, 0])])
    assert [b.tone for b in drawn.blocks] == ["good", "bad"]
    low, high = drawn.blocks
    assert float(high.y) + float(high.height) == float(low.y) and low.x == high.x
    assert [(b.x, b.width) for b in shares([("a", "good", 1), ("b", "bad", 3)], 4)] == [
        ("0.00", "25.00"),
        ("25.00", "75.00"),
    ]
    assert shares([("a", "good", 0)], 0) == []


def test_the_period_before_a_fiscal_year_is_the_previous_year() -> None:
    """Also around a leap day."""
    year = fiscal_year(datetime(2024, 5, 1, tzinfo=UTC))
    assert previous(year) == fiscal_year(year.since - timedelta(days=1))


def test_a_fiscal_year_begins_in_the_configured_month(settings: Any) -> None:
    """April by default; each year is named after the calendar year in which it begins."""
    assert fiscal_year(datetime(2026, 3, 31, tzinfo=UTC)).first_day == "2025-04-01"
    settings.FISCAL_YEAR_START_MONTH = 10
    year = fiscal_year(datetime(2026, 3, 31, tzinfo=UTC))
    assert (year.first_day, year.last_day) == ("2025-10-01", "2026-09-30")


def test_the_page_shows_the_counted_values(acting_as: Callable[..., Any], browsers: Callable[[str], Any]) -> None:
    """Every reader sees it; the application filter narrows it; each part is exported as a table."""
    of, begin = seed.application(acting_as), fiscal_year(now()).since
    past.ran(acting_as, of, "1.0.0", begin + timedelta(hours=1))
    past.ran(acting_as, of, "1.1.0", begin + timedelta(hours=2), trouble="rolled_back", kind="emergency")
    client, address = browsers("auditor"), reverse("statistics")
    html = client.get(address).content.decode()
    assert "1 of 2 deployments with a result" in html and "50 %" in html and "Error rate" in html
    assert (
        "No production deployment started in this period"
        in client.get(address, {"since": "2001-04-01", "until": "2002-03-31"}).content.decode()
    )
    for part in PARTS:
        answer = client.get(address, {"csv": part})
        text = b"".join(answer.streaming_content).decode()
        assert answer["Content-Disposition"].startswith(f'attachment; filename="statistics-{part}-')
        assert text.startswith("\ufeff") and len(text.splitlines()) >= (1 if part == "milestones" else 2), part
