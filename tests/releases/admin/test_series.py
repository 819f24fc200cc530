"""A series as a chart with axes: missing values are visible, nothing lies outside, times are in the zone."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, strategies as st

from releases.admin.pages.monitoring.series import (
    BOTTOM,
    HEIGHT,
    LEFT,
    LISTED,
    MOST_TICKS,
    RIGHT,
    TOP,
    WIDTH,
    Mark,
    Point,
    draw,
    figure,
    ticks_of,
    top_of,
)

AT = datetime(2026, 12, 15, 16, 0, tzinfo=UTC)


def points(values: list[float | None], result: str = "passed") -> list[Point]:
    return [
        Point(AT + timedelta(minutes=place), value, result if value is not None else "no_data")
        for place, value in enumerate(values)
    ]


def drawing(given: list[Point], **more: Any) -> Any:
    usual: dict[str, Any] = {"baseline": None, "limits": [], "marks": [], "zone": "Asia/Tokyo", "interval": 60}
    return draw("error rate", given, **{**usual, **more})


def test_a_measurement_without_a_value_breaks_the_line_visibly() -> None:
    drawn = drawing(points([0.1, 0.1, None, 0.1, 0.1]))
    assert len(drawn.stretches) == 2 and [gap[2] for gap in drawn.gaps] == ["no_data"]
    assert (drawn.known, drawn.unknown) == (4, 1)


def test_a_gap_in_time_breaks_the_line() -> None:
    given = points([0.1, 0.1]) + [Point(AT + timedelta(minutes=30), 0.1, "passed")]
    assert len(drawing(given).stretches) == 2


def test_failures_have_a_dot_and_limits_and_baseline_a_label() -> None:
    drawn = drawing(
        points([0.2, 0.2], "failed"), baseline=(0.01, "baseline 0.01"), limits=[(0.1, "10 %"), (0.1, "again")]
    )
    assert len(drawn.dots) == 2 and drawn.failed == 2
    assert {line.words for line in drawn.lines} == {"baseline 0.01", "10 %", "again"}
    heights = [float(line.label_y) for line in drawn.lines]
    assert len(set(heights)) == 3, "no words lie over others"


def test_marks_are_drawn_at_their_time() -> None:
    mark = Mark(AT + timedelta(minutes=2), "alarm", "alarm")
    ((x, _width, words, tone, _anchor),) = drawing(points([0.1] * 5), marks=[mark]).marks
    assert (words, tone) == ("alarm", "alarm")
    assert float(x) == (LEFT + WIDTH - RIGHT) / 2


def test_ticks_are_at_round_times_of_the_zone() -> None:
    words = [text for _at, text in ticks_of(AT, AT + timedelta(hours=24), "Asia/Tokyo")]
    assert words == ["04:00", "08:00", "12:00", "16:00", "20:00", "00:00"]
    assert len(ticks_of(AT, AT + timedelta(seconds=3), "Asia/Tokyo")) <= MOST_TICKS


def test_a_short_period_has_ticks_and_small_times_have_their_unit() -> None:
    words = [text for _at, text in ticks_of(AT, AT + timedelta(seconds=20), "Asia/Tokyo")]
    assert words == ["01:00:00", "01:00:05", "01:00:10", "01:00:15", "01:00:20"]
    assert [figure(value, "seconds") for value in (2.5, 0.25, 0.000375, 8.74e-05, 0)] == [
        *("2.5 s", "250 ms", "375 µs", "87.4 µs", "0 s")
    ]
    drawn = drawing(points([0.0003, 0.000375]), unit="seconds")
    assert {text.rpartition(" ")[2] for _y, text in drawn.y_ticks} == {"s", "µs"}


def test_each_measurement_is_said_and_the_newest_are_listed() -> None:
    drawn = drawing(points([float(n) for n in range(30)] + [None]))
    assert len(json.loads(drawn.hover)) == 31 and len(drawn.values) == LISTED
    assert [(words, result) for _at, words, result in drawn.values[:2]] == [("—", "no_data"), ("29", "passed")]


def test_an_empty_series_draws_no_chart() -> None:
    drawn = drawing([])
    assert (drawn.stretches, drawn.dots, drawn.last, drawn.result) == ([], [], "—", "no_data")


@given(st.lists(st.one_of(st.none(), st.floats(0, 1e9)), max_size=60), st.floats(1e-6, 1e9))
def test_every_point_is_drawn_inside_the_frame(values: list[float | None], limit: float) -> None:
    drawn = drawing(points(values), limits=[(limit, "limit")], baseline=(limit / 3, "baseline"))
    pairs = [pair.split(",") for deployment in drawn.stretches for pair in deployment.split()]
    assert all(LEFT <= float(x) <= WIDTH and TOP <= float(y) <= HEIGHT - BOTTOM for x, y in pairs)
    assert all(TOP <= float(line.y) <= HEIGHT - BOTTOM for line in drawn.lines)
    assert top_of([limit]) >= limit
