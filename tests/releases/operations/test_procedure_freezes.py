"""Freezes that a procedure names: set when it takes effect, kept while they stay the same, lifted with it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.urls import reverse

from audit.refusals import InvalidInput
from environments.models import ChangeFreeze
from releases.gates.window import opening
from releases.models import Procedure
from releases.operations.procedure.put_into_effect import load
from releases.procedures.document import Procedure as Content, ProcedureFaults
from releases.procedures.ended import ended_rules
from releases.procedures.load import default
from releases.procedures.save import as_text
from tests.releases.gates.asking import alter

from .test_own_roles import in_effect

QUARTER = {
    "key": "quarter_end",
    "en": "End of the quarter",
    "environments": ["staging", "production"],
    "rrule": "FREQ=YEARLY;BYMONTH=3,6,9,12;BYMONTHDAY=25",
    "length_minutes": 10 * 24 * 60,
}


def procedure(version: str, *freezes: dict[str, Any]) -> Content:
    """The default with freezes."""
    raw = default().model_dump(mode="json")
    raw["version"], raw["history"][-1]["version"] = version, version
    return Content.checked(raw | {"freezes": list(freezes)})


def frozen(world: Any, name: str, day: datetime) -> str:
    """Return why nothing may start there on a day; empty when something may."""
    answer = opening(world.application, world.environments[name], day, any_time=True)
    return "" if answer.open else answer.reason


def test_a_freeze_of_the_procedure_closes_its_environments_each_quarter(world: Any) -> None:
    in_effect(world, procedure("9.0.0", QUARTER), office="")
    year = datetime.now(UTC).year + 1
    for month, day, closed in ((3, 26, True), (6, 30, True), (4, 10, False), (12, 24, False), (12, 31, True)):
        noon = datetime(year, month, day, 12, tzinfo=ZoneInfo("Asia/Tokyo"))
        assert bool(frozen(world, "production", noon)) is closed, noon
        assert bool(frozen(world, "staging", noon)) is closed, noon
        assert not frozen(world, "development", noon)


def test_it_stays_while_the_next_version_names_it_and_ends_with_the_version_that_does_not(world: Any) -> None:
    in_effect(world, procedure("9.0.0", QUARTER), office="")
    first = set(ChangeFreeze.objects.in_effect().filter(from_procedure=True).values_list("pk", flat=True))
    in_effect(world, procedure("9.1.0", QUARTER), office="")
    assert set(ChangeFreeze.objects.in_effect().filter(from_procedure=True).values_list("pk", flat=True)) == first
    in_effect(world, procedure("9.2.0", QUARTER | {"environments": ["production"]}), office="")
    (left,) = ChangeFreeze.objects.in_effect().filter(from_procedure=True)
    assert left.pk in first and left.environment.slug == "production"
    in_effect(world, procedure("9.3.0"), office="")
    assert not ChangeFreeze.objects.in_effect().filter(from_procedure=True).exists()


def test_a_freeze_that_has_begun_counts_from_the_moment_of_its_version(world: Any) -> None:
    yesterday = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")[(datetime.now(ZoneInfo("Asia/Tokyo")).weekday() - 1) % 7]
    begun = {"rrule": f"FREQ=WEEKLY;BYDAY={yesterday}", "length_minutes": 3 * 24 * 60}
    in_effect(world, procedure("9.0.0", QUARTER | begun), office="")
    assert "End of the quarter" in frozen(world, "production", datetime.now(UTC))


@pytest.mark.parametrize("rrule", ["FREQ=WEEKLY;INTERVAL=2;BYDAY=SA", "FREQ=MONTHLY", "FREQ=DAILY;INTERVAL=3"])
def test_its_days_do_not_depend_on_when_its_version_took_effect(world: Any, rrule: str) -> None:
    """A version that only renames a freeze sets it again, on the same days."""
    in_effect(world, procedure("9.0.0", QUARTER | {"rrule": rrule, "length_minutes": 24 * 60}), office="")
    row = ChangeFreeze.objects.in_effect().filter(from_procedure=True).first()
    assert row is not None
    later = row.starts_at + timedelta(days=31)
    days = [span.starts_at for span in row.spans(later)]
    for _week in range(3):
        row.starts_at += timedelta(days=7)
        assert [span.starts_at for span in row.spans(later)][:20] == days[:20]
    assert min(span.ends_at for span in row.spans(row.starts_at - timedelta(days=365))) > row.starts_at


def test_a_name_that_no_column_holds_is_refused() -> None:
    with pytest.raises(ProcedureFaults, match="at most 100 characters"):
        procedure("9.0.0", QUARTER | {"en": "x" * 101})


def test_a_new_rule_whose_last_day_has_passed_is_refused(world: Any, browsers: Callable[[str], Any]) -> None:
    """One of the version in effect that has ended since does not keep the next version from being loaded."""
    ended = QUARTER | {"rrule": "FREQ=YEARLY;BYMONTH=3;BYMONTHDAY=25;UNTIL=20250401"}
    with world.acting_as("manager"), pytest.raises(InvalidInput, match=r"freezes\[0\].*UNTIL"):
        load(procedure("9.0.0", ended), reason="quarters")
    values = {"content": as_text(procedure("9.0.0", ended)), "reason": "quarters", "try": "1"}
    page = browsers("manager").post(reverse("operation-new", args=["procedure", "load"]), values).content.decode()
    assert "UNTIL" in page and "has no fault" not in page
    alter(Procedure.objects.get(state="in_effect"), content=procedure("9.0.0", ended).model_dump(mode="json"))
    with world.acting_as("manager"):
        assert load(procedure("9.1.0", ended), reason="other words").state == "draft"
    assert not ended_rules(procedure("9.0.0", ended), datetime.now(UTC), None), (
        "an exported procedure fits an empty system"
    )
