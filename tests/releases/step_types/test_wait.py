"""The wait step: its end, for each way to state it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from releases.step_types import by_name

BEGAN = datetime(2026, 12, 15, 16, 30, tzinfo=UTC)  # 01:30 of the 16th in Tokyo


def until(**parameters: Any) -> datetime | None:
    known = by_name("wait")
    return known.waits_until(known.parameters(**parameters), BEGAN)


@pytest.mark.parametrize(
    ("parameters", "moment"),
    [
        ({"seconds": 90}, datetime(2026, 12, 15, 16, 31, 30, tzinfo=UTC)),
        ({"until": "02:00", "zone": "Asia/Tokyo"}, datetime(2026, 12, 15, 17, 0, tzinfo=UTC)),
        ({"until": "00:10", "zone": "Asia/Tokyo"}, datetime(2026, 12, 15, 15, 10, tzinfo=UTC)),
        ({"until": "23:50", "zone": "Asia/Tokyo"}, datetime(2026, 12, 15, 14, 50, tzinfo=UTC)),
        ({"until": "13:00", "zone": "Asia/Tokyo"}, datetime(2026, 12, 16, 4, 0, tzinfo=UTC)),
        ({"until": "2026-12-16T03:00+09:00"}, datetime(2026, 12, 15, 18, 0, tzinfo=UTC)),
    ],
)
def test_the_step_waits_for_the_stated_time(parameters: dict[str, Any], moment: datetime) -> None:
    assert until(**parameters) == moment


@pytest.mark.parametrize(
    ("began", "zone", "clock", "moment"),
    [
        # Twice that night: at 00:30 and at 01:30 in UTC; skipped: from 01:00 in UTC on; half an hour on Lord Howe.
        (
            datetime(2026, 10, 25, 0, 10, tzinfo=UTC),
            "Europe/Berlin",
            "02:30",
            datetime(2026, 10, 25, 0, 30, tzinfo=UTC),
        ),
        (
            datetime(2026, 10, 25, 1, 10, tzinfo=UTC),
            "Europe/Berlin",
            "02:30",
            datetime(2026, 10, 25, 1, 30, tzinfo=UTC),
        ),
        (datetime(2027, 3, 28, 0, 30, tzinfo=UTC), "Europe/Berlin", "02:30", datetime(2027, 3, 28, 1, tzinfo=UTC)),
        (
            datetime(2027, 4, 3, 15, 5, tzinfo=UTC),
            "Australia/Lord_Howe",
            "01:45",
            datetime(2027, 4, 3, 15, 15, tzinfo=UTC),
        ),
    ],
)
def test_it_waits_for_the_nearest_such_moment_where_the_clocks_change(
    began: datetime, zone: str, clock: str, moment: datetime
) -> None:
    known = by_name("wait")
    assert known.waits_until(known.parameters(until=clock, zone=zone), began) == moment


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"seconds": 1, "until": "02:00", "zone": "Asia/Tokyo"},
        {"seconds": 0},
        {"seconds": -1},
        {"seconds": 86401},
        {"seconds": float("nan")},
        {"seconds": 5, "zone": "Asia/Tokyo"},
        {"until": "02:00"},
        {"until": "2:00", "zone": "Asia/Tokyo"},
        {"until": "24:00", "zone": "Asia/Tokyo"},
        {"until": "02:00", "zone": "../etc/passwd"},
        {"until": "2026-12-16T03:00"},
        {"until": "2026-12-16T03:00+09:00", "zone": "Asia/Tokyo"},
        {"until": "tomorrow", "zone": "Asia/Tokyo"},
    ],
)
def test_a_step_without_a_time_is_refused(parameters: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        by_name("wait").parameters(**parameters)
