"""What becomes of a window on a holiday: held and flagged, left out, or moved to the nearest working day."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from django.utils import translation
from hypothesis import given, settings, strategies as st

from environments.calendar import (
    Freeze,
    Window,
    WindowRule,
    country_fault,
    explain,
    is_working_day,
    next_opening,
    occurrences,
    windows,
    windows_between,
)

HOUR = timedelta(hours=1)
TOKYO = ZoneInfo("Asia/Tokyo")
# The 1st of January, the 3rd, 4th, 5th of May and the days of the imperial family fall into these.
MONTHLY = WindowRule("monthly", "FREQ=MONTHLY;BYMONTHDAY=3", "Asia/Tokyo", time(1), 4 * HOUR, country="JP")
START = datetime(2026, 4, 20, tzinfo=UTC)


def day_of(window: Window) -> date:
    return window.start.astimezone(ZoneInfo(window.zone)).date()


@pytest.mark.parametrize(
    ("on_holiday", "days"),
    [
        # 3 May 2026 is a Sunday and Constitution Day; the 4th, 5th and 6th are holidays too.
        ("flag", [date(2026, 5, 3), date(2026, 6, 3)]),
        ("skip", [date(2026, 6, 3), date(2026, 7, 3)]),
        ("earlier", [date(2026, 5, 1), date(2026, 6, 3)]),
        ("later", [date(2026, 5, 7), date(2026, 6, 3)]),
    ],
)
def test_a_national_holiday_does_what_the_rule_says(on_holiday: str, days: list[date]) -> None:
    assert [day_of(w) for w in windows(replace(MONTHLY, on_holiday=on_holiday), START, 2)] == days


def test_a_company_holiday_counts_as_a_national_one() -> None:
    rule = replace(MONTHLY, on_holiday="later", company={date(2026, 6, 3): "創立記念日", date(2026, 6, 4): "振替"})
    found = occurrences(rule, datetime(2026, 5, 20, tzinfo=UTC), 1)[0]
    assert (found.day, found.holidays, found.moved) == (date(2026, 6, 3), ("創立記念日",), True)
    assert found.window is not None and day_of(found.window) == date(2026, 6, 5)


def test_another_countrys_holidays_are_its_own() -> None:
    """3 July 2026 is the observed Independence Day in the United States and an ordinary Friday in Japan."""
    july = datetime(2026, 6, 20, tzinfo=UTC)
    rule = replace(MONTHLY, zone="America/New_York", country="US", on_holiday="skip")
    assert day_of(windows(rule, july, 1)[0]) == date(2026, 8, 3)
    assert day_of(windows(replace(rule, country="JP"), july, 1)[0]) == date(2026, 7, 3)
    assert not country_fault("US") and country_fault("ZZ")


def test_what_is_left_out_is_listed_with_its_reason() -> None:
    skipped, held = occurrences(replace(MONTHLY, on_holiday="skip"), START, 2, language="en")
    assert (skipped.window, skipped.moved, skipped.holidays) == (None, False, ("Constitution Day",))
    assert day_of(skipped.named) == date(2026, 5, 3)
    assert held.window is not None and not held.holidays


def test_the_holiday_of_the_day_it_opens_on_counts_and_not_of_the_day_before() -> None:
    """The night that follows 2 May opens on the 3rd."""
    rule = WindowRule(
        "w", "FREQ=MONTHLY;BYMONTHDAY=2", "Asia/Tokyo", time(1), 4 * HOUR, day_offset=1, on_holiday="skip", country="JP"
    )
    assert day_of(windows(rule, START, 1)[0]) == date(2026, 6, 3)


def test_two_windows_moved_to_one_day_are_one() -> None:
    daily = WindowRule("d", "FREQ=DAILY", "Asia/Tokyo", time(1), 4 * HOUR, on_holiday="later", country="JP")
    found = [
        day_of(w) for w in windows_between(daily, datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 5, 8, tzinfo=UTC))
    ]
    assert found == [date(2026, 5, day) for day in (2, 7, 8)]


def test_a_window_moved_out_of_the_past_is_found() -> None:
    """Asked on the 6th, the window of the 3rd is still to come, on the 7th."""
    rule = replace(MONTHLY, on_holiday="later")
    assert day_of(windows(rule, datetime(2026, 5, 6, tzinfo=UTC), 1)[0]) == date(2026, 5, 7)


def test_an_endless_holiday_leaves_the_window_out() -> None:
    """It is moved by 31 days at most: the windows of May, June and July are out, that of August is held late."""
    company = {date(2026, 5, 1) + timedelta(days=n): "shut" for n in range(122)}
    rule = replace(MONTHLY, on_holiday="later", company=company)
    assert [day_of(w) for w in windows(rule, START, 2)] == [date(2026, 8, 31), date(2026, 9, 3)]


@given(
    rrule=st.sampled_from(
        ["FREQ=DAILY", "FREQ=WEEKLY;BYDAY=MO,WE", "FREQ=MONTHLY;BYMONTHDAY=3", "FREQ=MONTHLY;BYDAY=-1FR"]
    ),
    on_holiday=st.sampled_from(["flag", "skip", "earlier", "later"]),
    offset=st.integers(-2, 2),
    company=st.sets(st.dates(date(2026, 1, 1), date(2026, 12, 31)), max_size=25),
    at=st.datetimes(datetime(2026, 1, 1), datetime(2026, 11, 1)),  # noqa: DTZ001
)
@settings(max_examples=120, deadline=None)
def test_windows_are_in_order_and_never_on_a_day_of_rest_when_the_rule_moves_them(
    rrule: str, on_holiday: str, offset: int, company: set[date], at: datetime
) -> None:
    names = dict.fromkeys(company, "own")
    rule = WindowRule(
        "w",
        rrule,
        "Asia/Tokyo",
        time(1),
        4 * HOUR,
        day_offset=offset,
        on_holiday=on_holiday,
        country="JP",
        company=names,
    )
    moment = at.replace(tzinfo=UTC)
    found = windows(rule, moment, 12)
    assert all(a.start < b.start and moment < a.end for a, b in pairwise(found))
    listed = occurrences(rule, moment, 40)
    assert [w for w in dict.fromkeys(o.window for o in listed) if w is not None][:12] == found
    for one in listed:
        if one.moved:
            assert one.window is not None and one.holidays
            assert is_working_day(day_of(one.window), "JP", company=names)
            between = abs((day_of(one.window) - one.day).days)
            step = 1 if on_holiday == "later" else -1
            assert not any(
                is_working_day(one.day + timedelta(days=step * n), "JP", company=names) for n in range(1, between)
            )
        if one.window is None:
            assert on_holiday == "skip" and one.holidays


def _extra(day: date, name: str, hours: int = 4) -> Window:
    start = datetime.combine(day, time(1), TOKYO).astimezone(UTC)
    return Window(start, start + hours * HOUR, "Asia/Tokyo", name)


def test_closed_says_why_until_when_and_what_is_next_in_the_readers_words_and_the_zone_asked_for() -> None:
    freeze = Freeze(_extra(date(2026, 12, 1), "Year end", 24 * 20), reason="closing of accounts")
    rule = WindowRule("Regular", "FREQ=MONTHLY;BYDAY=3WE", "Asia/Tokyo", time(1), 4 * HOUR)
    at = datetime(2026, 12, 5, tzinfo=UTC)
    said = explain(next_opening([rule], [], [freeze], at, zone="America/New_York"), "America/New_York")
    assert said == (
        "The change freeze “Year end” stops deployments until Sun 20 Dec 2026 11:00 EST (closing of accounts). "
        "Next window: Tue 19 Jan 2027 11:00 EST (Regular)."
    )
    with translation.override("ja"):
        japanese = explain(next_opening([rule], [], [freeze], at, zone="Asia/Tokyo"), "Asia/Tokyo")
    assert "2026/12/21（月）01:00（日曜深夜）JST" in japanese and "2027/01/20（水）01:00（火曜深夜）JST" in japanese
    assert "Closed" not in japanese and "Next" not in japanese


def test_a_window_that_a_freeze_passes_over_is_named() -> None:
    freeze = Freeze(_extra(date(2026, 12, 10), "Year end", 24 * 20))
    rule = WindowRule("Regular", "FREQ=MONTHLY;BYDAY=3WE", "Asia/Tokyo", time(1), 4 * HOUR)
    answer = next_opening([rule], [], [freeze], datetime(2026, 12, 5, tzinfo=UTC), zone="Asia/Tokyo")
    assert not answer.open
    assert (
        "“Regular” on Wed 16 Dec 2026 01:00 (late Tuesday night) JST is closed by the change freeze “Year end”"
        in answer.reason
    )
    assert "20 Jan 2027" in explain(answer, "Asia/Tokyo")


def test_a_full_freeze_names_when_an_emergency_is_possible() -> None:
    hard = Freeze(_extra(date(2026, 12, 10), "Audit"), absolute=True, reason="on site")
    answer = next_opening([], [], [hard], hard.window.start, emergency=True, zone="Asia/Tokyo")
    assert explain(answer, "Asia/Tokyo") == (
        "The full freeze “Audit” stops emergencies too (on site). "
        "Deployments are possible again from Thu 10 Dec 2026 05:00 JST."
    )
