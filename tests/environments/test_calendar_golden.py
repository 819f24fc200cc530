"""The product's windows against the golden table of 2024 to 2040, which knows nothing of its calendar."""

from __future__ import annotations

import ast
import json
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from environments.calendar import WindowRule, windows, windows_between
from tests.environments import golden

FILE = Path(golden.__file__).with_name("golden_windows.json")
START, END = datetime(2024, 1, 1, tzinfo=UTC) - timedelta(days=1), datetime(2041, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


@cache
def table() -> Any:
    """The file."""
    return json.loads(FILE.read_text())


def test_the_script_still_makes_the_same_file() -> None:
    assert golden.text() == FILE.read_text()


def test_the_script_knows_neither_the_product_nor_dateutil() -> None:
    tree = ast.parse(Path(golden.__file__).read_text())
    names = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    names |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert names == {"__future__", "calendar", "json", "datetime", "zoneinfo"}


@pytest.mark.parametrize("zone", golden.ZONES)
def test_every_third_wednesday_opens_when_the_table_says(zone: str) -> None:
    rule = WindowRule("w", "FREQ=MONTHLY;BYDAY=3WE", zone, time(1), 4 * HOUR)
    found: dict[str, list[str]] = {}
    for window in windows(rule, START, 17 * 12):
        local = window.start.astimezone(ZoneInfo(zone))
        found.setdefault(str(local.year), []).append(f"{local:%m-%d}={window.start:%m-%dT%H:%MZ}")
        assert window.end - window.start == 4 * HOUR
    assert {year: " ".join(days) for year, days in found.items()} == table()["third_wednesdays"][zone]


@pytest.mark.parametrize("zone", golden.ZONES)
def test_every_night_from_one_to_five_is_as_long_as_the_table_says(zone: str) -> None:
    """3, 3.5, 4.5 or 5 hours on the days on which the clocks change, 4 on every other day of seventeen years."""
    rule = WindowRule("w", "FREQ=DAILY", zone, time(1), 4 * HOUR)
    place, odd, count = ZoneInfo(zone), {}, 0
    for window in windows_between(rule, START, END):
        local = window.start.astimezone(place)
        if local.year not in golden.YEARS:
            continue
        assert (local.hour, local.minute) == (1, 0)
        assert (window.end.astimezone(place).hour, window.end.astimezone(place).date()) == (5, local.date())
        count += 1
        if window.end - window.start != 4 * HOUR:
            odd[local.date().isoformat()] = f"{(window.end - window.start) / HOUR:g}"
    assert odd == table()["clock_changes"][zone]
    assert count == (date(2041, 1, 1) - date(2024, 1, 1)).days
