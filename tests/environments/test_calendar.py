"""Windows, freezes, milestones and printed times against dates worked out by plain calendar arithmetic."""

# ruff: noqa: DTZ001 (naive local times are what is tested)
from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.utils import translation
from hypothesis import given, settings, strategies as st

from environments.calendar import (
    Freeze,
    Window,
    WindowRule,
    explain,
    holidays_on,
    instant,
    latest_safe_start,
    milestone_hours,
    next_opening,
    print_time,
    rule_fault,
    windows,
    working_days_after,
)

HOUR = timedelta(hours=1)
TOKYO = WindowRule("regular", "FREQ=MONTHLY;BYDAY=3WE", "Asia/Tokyo", time(1), 4 * HOUR)
START = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _english() -> Iterator[None]:
    with translation.override("en"):
        yield


def _third_wednesday(year: int, month: int) -> date:
    first = date(year, month, 1)
    return first + timedelta(days=(2 - first.weekday()) % 7 + 14)


def _utc(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, tzinfo=UTC)


def _window(start: datetime, hours: float, name: str = "w") -> Window:
    return Window(start, start + hours * HOUR, "Asia/Tokyo", name)


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe"])
def test_third_wednesdays_are_those_of_the_calendar_from_2024_to_2040(zone: str) -> None:
    rule = WindowRule("regular", "FREQ=MONTHLY;BYDAY=3WE", zone, time(1), 4 * HOUR)
    found = windows(rule, START, 17 * 12)
    days = [_third_wednesday(year, month) for year in range(2024, 2041) for month in range(1, 13)]
    assert [window.start.astimezone(ZoneInfo(zone)).date() for window in found] == days
    for window, day in zip(found, days, strict=True):
        start, end = window.start.astimezone(ZoneInfo(zone)), window.end.astimezone(ZoneInfo(zone))
        assert (start.hour, start.minute, end.date(), end.hour, end.minute) == (1, 0, day, 5, 0)
        # No third Wednesday lies on a day on which clocks change in these zones.
        assert window.end - window.start == 4 * HOUR


@pytest.mark.parametrize(
    ("zone", "month", "week"),
    [
        ("America/New_York", 3, 2),
        ("America/New_York", 11, 1),
        ("Europe/Berlin", 3, -1),
        ("Europe/Berlin", 10, -1),
        ("Australia/Lord_Howe", 4, 1),
        ("Australia/Lord_Howe", 10, 1),
    ],
)
def test_a_window_over_a_change_of_clocks_closes_at_its_local_hour(zone: str, month: int, week: int) -> None:
    rule = WindowRule("w", f"FREQ=YEARLY;BYMONTH={month};BYDAY={week}SU", zone, time(1), 4 * HOUR)
    place = ZoneInfo(zone)
    found = windows(rule, START, 17)
    assert len(found) == 17
    for window in found:
        day = window.start.astimezone(place).date()
        assert day.weekday() == 6
        before = datetime.combine(day, time(0), place).utcoffset()
        after = datetime.combine(day, time(12), place).utcoffset()
        assert before is not None
        assert after is not None
        assert before != after, "the day was meant to be one on which the clocks change"
        assert window.start == datetime.combine(day, time(1), UTC) - before
        assert window.end == datetime.combine(day, time(5), UTC) - after
        assert window.end - window.start == 4 * HOUR - (after - before)


def test_a_start_inside_the_gap_is_the_first_instant_after_it() -> None:
    assert instant(datetime(2026, 3, 8, 2, 30), "America/New_York") == _utc(2026, 3, 8, 7)
    assert instant(datetime(2026, 3, 29, 2, 0), "Europe/Berlin") == _utc(2026, 3, 29, 1)
    # Half an hour is skipped at 02:00 (+10:30 → +11:00).
    assert instant(datetime(2026, 10, 4, 2, 15), "Australia/Lord_Howe") == _utc(2026, 10, 3, 15, 30)


def test_a_start_that_comes_twice_is_the_earlier() -> None:
    assert instant(datetime(2026, 11, 1, 1, 30), "America/New_York") == _utc(2026, 11, 1, 5, 30)
    assert instant(datetime(2026, 4, 5, 1, 45), "Australia/Lord_Howe") == _utc(2026, 4, 4, 14, 45)


def test_a_window_that_lies_in_the_gap_as_a_whole_is_left_out() -> None:
    rule = WindowRule("w", "FREQ=DAILY", "America/New_York", time(2, 10), timedelta(minutes=20))
    days = [window.start.date() for window in windows(rule, _utc(2026, 3, 7), 3)]
    assert days == [date(2026, 3, 7), date(2026, 3, 9), date(2026, 3, 10)]


def test_the_running_window_is_the_first_and_one_that_just_closed_is_not() -> None:
    first = windows(TOKYO, _utc(2026, 12, 15, 19, 59), 1)[0]
    assert (first.start, first.end) == (_utc(2026, 12, 15, 16), _utc(2026, 12, 15, 20))
    assert windows(TOKYO, _utc(2026, 12, 15, 20), 1)[0].start == _utc(2027, 1, 19, 16)


def test_a_day_offset_moves_the_window_to_the_following_night() -> None:
    late = WindowRule("w", TOKYO.rrule, TOKYO.zone, TOKYO.start, TOKYO.length, day_offset=1)
    assert windows(late, _utc(2026, 12, 1), 1)[0].start == _utc(2026, 12, 16, 16)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "FREQ=HOURLY",
        "FREQ=SECONDLY;INTERVAL=1",
        "FREQ=MONTHLY;BYHOUR=3",
        "FREQ=MONTHLY;BYDAY=9XX",
        "FREQ=DAILY;INTERVAL=0",
        "FREQ=DAILY;INTERVAL=-1",
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=31",
        "FREQ=DAILY;UNTIL=20250101T000000Z",
        "FREQ=WEEKLY;BYDAY=3WE",
        "FREQ=DAILY;BYDAY=-1FR",
    ],
)
def test_a_rule_that_is_none_is_named(text: str) -> None:
    assert rule_fault(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("FREQ=WEEKLY;BYDAY=TU,3WE", "numbered weekdays (3WE)"),
        ("FREQ=WEEKLY;BYDAY=WE;UNTIL=20271231T000000Z", "ends with its last day, such as UNTIL=20271231"),
        ("FREQ=WEEKLY;BYDAY=WE;UNTIL=20271231", ""),
        ("FREQ=MONTHLY;BYDAY=-1FR", ""),
        ("FREQ=YEARLY;BYMONTH=12;BYDAY=2MO", ""),
    ],
)
def test_what_is_wrong_with_a_rule_is_said_truly(text: str, said: str) -> None:
    with translation.override("en"):
        assert said in rule_fault(text) and bool(said) == bool(rule_fault(text))


def test_inside_a_window_a_regular_deployment_may_start_until_it_closes() -> None:
    answer = next_opening([TOKYO], [], [], _utc(2026, 12, 15, 17))
    assert (answer.open, answer.until) == (True, _utc(2026, 12, 15, 20))
    assert answer.next_start == _utc(2027, 1, 19, 16)
    assert latest_safe_start(_utc(2026, 12, 15, 20), 2 * HOUR) == _utc(2026, 12, 15, 18)


def test_outside_it_is_closed_with_the_next_window_named() -> None:
    answer = next_opening([TOKYO], [], [], _utc(2026, 12, 15, 20))
    assert (answer.open, answer.next_start, answer.next_end) == (False, _utc(2027, 1, 19, 16), _utc(2027, 1, 19, 20))
    assert explain(answer, "Asia/Tokyo") == (
        "The time is outside every change window. Next window: Wed 20 Jan 2027 01:00 (late Tuesday night) "
        "JST (regular)."
    )


def test_an_extra_window_opens_it() -> None:
    extra = _window(_utc(2026, 12, 1), 2, "extra")
    assert next_opening([TOKYO], [extra], [], _utc(2026, 12, 1, 1)).window == extra
    assert next_opening([TOKYO], [extra], [], _utc(2026, 11, 30)).next_window == extra


def test_a_freeze_beats_a_window_and_the_rest_of_the_window_is_next() -> None:
    freeze = Freeze(_window(_utc(2026, 12, 15, 15), 3, "year end"))
    answer = next_opening([TOKYO], [], [freeze], _utc(2026, 12, 15, 17))
    assert (answer.open, answer.next_start, answer.next_end) == (False, _utc(2026, 12, 15, 18), _utc(2026, 12, 15, 20))
    assert "year end" in answer.reason


def test_a_freeze_that_begins_in_the_window_ends_the_opening() -> None:
    freeze = Freeze(_window(_utc(2026, 12, 15, 18), 1))
    answer = next_opening([TOKYO], [], [freeze], _utc(2026, 12, 15, 17))
    assert (answer.open, answer.until, answer.next_start) == (True, _utc(2026, 12, 15, 18), _utc(2026, 12, 15, 19))


def test_a_window_that_is_frozen_as_a_whole_is_passed_over() -> None:
    freeze = Freeze(_window(_utc(2026, 12, 1), 24 * 31))
    assert next_opening([TOKYO], [], [freeze], _utc(2026, 12, 5)).next_start == _utc(2027, 1, 19, 16)


def test_an_emergency_passes_windows_and_freezes_but_no_full_one() -> None:
    soft, hard = (
        Freeze(_window(_utc(2026, 12, 1), 5)),
        Freeze(_window(_utc(2026, 12, 1, 5), 5, "audit"), absolute=True),
    )
    answer = next_opening([TOKYO], [], [soft, hard], _utc(2026, 12, 1, 1), emergency=True)
    assert (answer.open, answer.until) == (True, _utc(2026, 12, 1, 5))
    answer = next_opening([TOKYO], [], [soft, hard], _utc(2026, 12, 1, 5), emergency=True)
    assert (answer.open, answer.next_start) == (False, _utc(2026, 12, 1, 10))
    assert "audit" in answer.reason


def test_a_weekly_freeze_falls_on_the_local_day() -> None:
    friday = WindowRule("friday", "FREQ=WEEKLY;BYDAY=FR", "Asia/Tokyo", time(0), 24 * HOUR)
    assert windows(friday, _utc(2026, 12, 1), 1)[0].start == _utc(2026, 12, 3, 15)


def test_no_window_at_all_is_said() -> None:
    answer = next_opening([], [], [], _utc(2026, 12, 1))
    assert (answer.open, answer.next_start) == (False, None)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        next_opening([TOKYO], [], [], datetime(2026, 12, 1))


@given(
    at=st.datetimes(datetime(2025, 1, 1), datetime(2030, 1, 1)),
    freezes=st.lists(st.tuples(st.integers(0, 24 * 365), st.integers(1, 2000), st.booleans()), max_size=6),
)
@settings(max_examples=80, deadline=None)
def test_the_next_opening_is_open_and_lies_in_no_freeze(at: datetime, freezes: list[tuple[int, int, bool]]) -> None:
    now = at.replace(tzinfo=UTC)
    stops = [Freeze(_window(now + (start - 1000) * HOUR, hours), hard) for start, hours, hard in freezes]
    answer = next_opening([TOKYO], [], stops, now)
    moment = now if answer.open else answer.next_start
    assert moment is not None
    assert not any(stop.window.holds(moment) for stop in stops)
    assert next_opening([TOKYO], [], stops, moment).open
    local = moment.astimezone(ZoneInfo("Asia/Tokyo"))
    assert local.date() == _third_wednesday(local.year, local.month)
    assert 1 <= local.hour < 5


def test_milestones_of_an_emergency_are_hours() -> None:
    assert milestone_hours(_utc(2026, 12, 1, 4), {"fixed": 4, "out": 0}) == {
        "fixed": _utc(2026, 12, 1),
        "out": _utc(2026, 12, 1, 4),
    }


def test_public_and_entered_holidays_are_named() -> None:
    assert holidays_on(date(2026, 11, 23), "JP") == ["勤労感謝の日"]
    assert holidays_on(date(2026, 11, 23), "JP", language="en") == ["Labor Thanksgiving Day"]
    assert holidays_on(date(2026, 12, 16), "JP") == []
    assert holidays_on(date(2026, 12, 30), "JP", company={date(2026, 12, 30): "年末休業"}) == ["年末休業"]
    assert working_days_after(date(2026, 11, 20), 1, "JP") == date(2026, 11, 24)


@pytest.mark.parametrize(
    ("at", "zone", "language", "text"),
    [
        (_utc(2026, 12, 15, 16), "Asia/Tokyo", "ja", "2026/12/16（水）01:00（火曜深夜）JST"),
        (_utc(2026, 12, 15, 16), "Asia/Tokyo", "en", "Wed 16 Dec 2026 01:00 (late Tuesday night) JST"),
        (_utc(2026, 12, 16, 1), "Asia/Tokyo", "ja", "2026/12/16（水）10:00 JST"),
        (_utc(2026, 12, 13, 16), "Asia/Tokyo", "ja", "2026/12/14（月）01:00（日曜深夜）JST"),
        (_utc(2026, 7, 1, 2), "Australia/Lord_Howe", "en", "Wed 1 Jul 2026 12:30 UTC+10:30"),
    ],
)
def test_times_are_printed_with_their_night_and_zone(at: datetime, zone: str, language: str, text: str) -> None:
    assert print_time(at, zone, language) == text
