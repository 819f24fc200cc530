"""The lanes of the week by application, and what is over in the calendar."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.urls import reverse

from audit.clock import now
from releases.admin.pages.calendar.entries import read
from releases.admin.pages.calendar.month import month as grid

from .test_calendar import TOKYO, cell, month_of, page


def test_each_application_has_a_lane_in_the_week(world: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    review, back = world["review"], world["back"]
    day = review.scheduled_start_at.astimezone(TOKYO).date()
    answer = browsers("manager").get(reverse("calendar"), {"week": day.isoformat()})
    lanes = {str(lane.application): {d.day: marks for d, marks in lane.days} for lane in answer.context["month"].lanes}
    marks = {name: [mark for found in days.values() for mark in found] for name, days in lanes.items()}
    assert any(mark.text == f"T-0 {review}" for mark in marks[str(review.application)])
    assert {mark.kind for mark in marks["None"]} >= {"window"}
    assert not any(str(review.application) in mark.text for mark in marks.get(str(back.application), []))


def test_what_is_over_stays_in_the_calendar(world: dict[str, Any], browsers: Callable[[str], Any]) -> None:
    """A deployment to production that was rolled back, with its times; a chosen application leaves out the others."""
    back = world["back"]
    assert back.state == "rolled_back" and back.started_at is not None
    month, day = month_of(back.started_at)
    html = cell(page(browsers("manager"), month=month), day)
    assert str(back) in html and f"{back.started_at.astimezone(TOKYO):%H:%M}" in html
    assert str(back.get_state_display()) in html and reverse("deployment", args=[back.pk]) in html
    slug = world["review"].application.slug
    assert str(back) not in cell(page(browsers("manager"), month=month, application=slug), day)
    # A reader of other applications sees that the time was taken, and nothing of what became of it.
    begin = back.started_at.astimezone(TOKYO).date().replace(day=1)
    rows = read(now() - timedelta(days=60))
    of_others = grid(begin, [back.environment], rows, now(), may_plan=False, seen=frozenset())
    (mark,) = [m for week in of_others.weeks for d in week for m in d.marks if m.text == str(back)]
    assert (mark.url, mark.note, mark.tone) == ("", "", "")
    # A deployment to staging would hide the others, unless staging is chosen.
    running = world["running"]
    month, day = month_of(running.started_at)
    assert str(running) not in cell(page(browsers("manager"), month=month), day)
    assert str(running) in cell(page(browsers("manager"), month=month, environment="staging"), day)
