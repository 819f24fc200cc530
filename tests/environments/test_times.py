"""Times as people read them: in a zone that is named, with the instant behind them on a page."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from django.utils import translation

from environments.times import shown, stamp, zone_name

AT = datetime(2026, 12, 15, 16, 0, 30, 123456, tzinfo=UTC)


@pytest.mark.parametrize(
    ("language", "zone", "text"),
    [
        ("ja", "", "2026/12/16（水）01:00（火曜深夜）JST"),
        ("en", "", "Wed 16 Dec 2026 01:00 (late Tuesday night) JST"),
        ("ja", "America/Sao_Paulo", "2026/12/15（火）13:00 UTC-03:00"),
        ("en", "Europe/Berlin", "Tue 15 Dec 2026 17:00 CET"),
    ],
)
def test_a_time_on_a_page_names_its_zone_and_holds_the_instant(language: str, zone: str, text: str) -> None:
    """In either language; the instant is to the second and says how far from UTC it is."""
    with translation.override(language):
        assert shown(AT, zone) == text
        assert stamp(AT, zone) == f'<time datetime="2026-12-15T16:00:30+00:00">{text}</time>'


def test_a_time_of_the_ledger_is_shown_to_the_millisecond() -> None:
    """With its night and its zone behind it, as any other."""
    with translation.override("ja"):
        assert shown(AT, exact=True) == "2026/12/16（水）01:00:30.123（火曜深夜）JST"


def test_nothing_is_shown_as_a_dash() -> None:
    """Without an element, which would have no instant."""
    assert shown(None) == stamp(None) == "—"


def test_a_zone_without_a_name_says_how_far_it_is_from_utc() -> None:
    """Also where that is no whole number of hours."""
    assert zone_name(AT.astimezone(ZoneInfo("Asia/Tokyo"))) == "JST"
    assert zone_name(AT.astimezone(ZoneInfo("Asia/Kathmandu"))) == "UTC+05:45"
