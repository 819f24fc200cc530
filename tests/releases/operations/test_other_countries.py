"""An organisation of another country: its holidays and weekends, where a rule or a window names no country itself."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.urls import reverse
from django.utils import translation

from audit.clock import now
from environments.models import ChangeWindow
from releases.admin.pages.calendar.entries import read, windows_of
from releases.admin.pages.calendar.month import month
from releases.models import Procedure
from releases.operations.follow_up.create import due
from releases.operations.window.request import request_window
from releases.operations.window.set_rule import set_rule
from releases.procedures.parts import FollowUpRule
from releases.queries.milestone_dates import due_dates
from tests.releases.gates.asking import alter

from .test_own_roles import in_effect
from .test_procedure_freezes import procedure


def follows(world: Any, country: str) -> Any:
    """Put a procedure into effect that names another country; return the world."""
    content = procedure("9.0.0").model_dump(mode="json")
    content["schedule"]["regular"]["country"] = country
    in_effect(world, type(procedure("9.0.0")).checked(content), office="")
    return world


@pytest.mark.parametrize(("month", "day", "names"), [(11, 3, []), (12, 25, ["Christmas Day"])])
def test_an_extra_window_shows_the_holidays_of_the_procedures_country(
    world: Any, browsers: Any, month: int, day: int, names: list[str]
) -> None:
    follows(world, "DE")
    production, starts = world.environments["production"], datetime(now().year + 1, month, day, 3, tzinfo=UTC)
    given = {"name": "one more", "starts_at": starts, "ends_at": starts + timedelta(hours=2), "reason": "needed"}
    html = browsers("manager").post(reverse("operation", args=["window", "request", production.pk]), given)
    assert ("on a holiday" in html.content.decode()) is bool(names)
    with world.acting_as("manager"):
        request_window(production.pk, **given)
    with translation.override("en"):
        (entry,) = [e for e in windows_of(production, read(starts), starts) if e.kind == "proposed"]
    assert entry.holidays == names


def test_a_rule_without_a_country_follows_that_of_the_procedure(world: Any, browsers: Any) -> None:
    follows(world, "DE")
    place = world.environments["development"]
    given: dict[str, Any] = {"name": "x", "rrule": "FREQ=WEEKLY;BYDAY=MO", "start": time(2), "length_minutes": 60}
    with world.acting_as("manager"):
        assert set_rule(place.pk, **given, reason="small changes").country == "DE"
    form = browsers("manager").get(reverse("operation", args=["window", "set_rule", place.pk])).content.decode()
    field = re.search(r'<input[^>]*name="country"[^>]*>', form)
    assert field is not None and 'value="DE"' in field[0]


def test_the_calendar_shows_no_holidays_of_a_country_that_no_rule_names(world: Any) -> None:
    follows(world, "DE")
    for row in ChangeWindow.objects.in_effect():
        alter(row, cancelled_at=now())
    first = date(now().year + 1, 11, 1)
    with translation.override("en"):
        grid = month(first, list(world.environments.values()), read(now()), now(), may_plan=False, seen=None)
    shown = [name for week in grid.weeks for day in week for name in day.holidays]
    assert "Culture Day" not in shown


def test_working_days_leave_out_the_weekend_of_the_country(world: Any) -> None:
    """Friday and Saturday in Saudi Arabia; Saturday and Sunday in Japan."""
    content = Procedure.objects.get(state="in_effect").document
    rows = tuple(m.model_copy(update={"unit": "working_days"}) for m in content.milestones)
    regular = content.schedule.regular.model_copy(update={"country": "SA"})
    content = content.model_copy(
        update={"milestones": rows, "schedule": content.schedule.model_copy(update={"regular": regular})}
    )
    place = alter(world.environments["production"], zone="Asia/Riyadh")
    start = datetime(2026, 12, 14, 1, tzinfo=ZoneInfo("Asia/Riyadh"))  # a Monday
    (before,) = [row for row in rows if row.days_before == 1]
    counted = due_dates(content, start, place, emergency=False)
    assert counted[before.key].astimezone(ZoneInfo("Asia/Riyadh")).date() == date(2026, 12, 13)
    rule = FollowUpRule(key="x", ja="x", en="x", within=2, unit="working_days", origin="default")
    wednesday = datetime(2026, 12, 9, 12, tzinfo=UTC)
    assert [due(rule, wednesday, "UTC", country).date().isoformat() for country in ("SA", "JP")] == [
        "2026-12-13",
        "2026-12-11",
    ]
