"""Recurrences and hours in words."""

from __future__ import annotations

from datetime import time

import pytest
from django.utils import translation

from environments.calendar.words import hours_in_words, rule_in_words

RULES = [
    ("FREQ=MONTHLY;BYDAY=3WE", "each month: third Wednesday", "毎月第3水曜日"),
    ("FREQ=MONTHLY;BYDAY=2TU,4TU", "each month: second Tuesday, fourth Tuesday", "毎月第2火曜日、第4火曜日"),
    ("FREQ=MONTHLY;BYDAY=-1FR", "each month: last Friday", "毎月最終金曜日"),
    ("FREQ=WEEKLY;BYDAY=MO,TH", "each week: Monday, Thursday", "毎週月曜日、木曜日"),
    ("FREQ=WEEKLY;INTERVAL=2;BYDAY=TU", "every 2 weeks: Tuesday", "2週ごとの火曜日"),
    ("FREQ=MONTHLY;INTERVAL=3;BYMONTHDAY=-1", "every 3 months: last day of the month", "3か月ごとの末日"),
    ("FREQ=MONTHLY;BYMONTH=3,9;BYDAY=1MO", "each year in March, September: first Monday", "毎年3月、9月の第1月曜日"),
    ("FREQ=YEARLY;BYMONTH=12;BYMONTHDAY=31", "each year in December: day 31", "毎年12月の31日"),
    ("FREQ=DAILY", "each day", "毎日"),
    ("FREQ=DAILY;INTERVAL=10", "every 10 days", "10日ごと"),
    ("FREQ=WEEKLY;BYDAY=MO;UNTIL=20270101", "each week: Monday, until 2027-01-01", "毎週月曜日（2027-01-01まで）"),
    # Of a rarer form: as they are written, never wrong.
    ("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1", "", ""),
    ("FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13", "", ""),
    ("FREQ=YEARLY;BYDAY=20MO", "", ""),
    ("FREQ=WEEKLY", "", ""),
    ("FREQ=MONTHLY;BYDAY=MO", "", ""),
    ("FREQ=YEARLY;BYMONTH=4;BYDAY=SU", "", ""),
    ("FREQ=WEEKLY;BYMONTHDAY=1", "", ""),
]


@pytest.mark.parametrize(("rule", "english", "japanese"), RULES)
def test_a_rule_is_said_in_both_languages(rule: str, english: str, japanese: str) -> None:
    with translation.override("en"):
        assert rule_in_words(rule) == (english or rule)
    with translation.override("ja"):
        assert rule_in_words(rule) == (japanese or rule)


@pytest.mark.parametrize(
    ("start", "minutes", "english", "japanese"),
    [
        (time(1), 240, "01:00–05:00", "01:00～05:00"),
        (time(22), 180, "22:00–01:00 the next day", "22:00～翌日01:00"),
        (time(20), 3 * 1440, "20:00–20:00 3 days later", "20:00～3日後の20:00"),
    ],
)
def test_hours_are_said_in_both_languages(start: time, minutes: int, english: str, japanese: str) -> None:
    with translation.override("en"):
        assert hours_in_words(start, minutes) == english
    with translation.override("ja"):
        assert hours_in_words(start, minutes) == japanese


@pytest.mark.parametrize(
    ("days", "english", "japanese"),
    [
        (1, "each week: Monday (the day after)", "毎週月曜日（翌日）"),
        (-1, "each week: Monday (the day before)", "毎週月曜日（前日）"),
        (3, "each week: Monday (3 days later)", "毎週月曜日（3日後）"),
        (-2, "each week: Monday (2 days earlier)", "毎週月曜日（2日前）"),
    ],
)
def test_a_window_on_another_day_than_the_rule_says_so(days: int, english: str, japanese: str) -> None:
    with translation.override("en"):
        assert rule_in_words("FREQ=WEEKLY;BYDAY=MO", days) == english
    with translation.override("ja"):
        assert rule_in_words("FREQ=WEEKLY;BYDAY=MO", days) == japanese
