"""Freezes, holidays and calendar feeds: audited like the rest, each write with its permission (case 15)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.utils import translation

from audit.clock import now
from audit.refusals import InvalidInput, NotPermitted, NotPossible, SignatureRequired
from environments.models import CalendarFeed, ChangeFreeze, Environment, Holiday
from environments.operations.calendar_feed.create import create
from environments.operations.calendar_feed.revoke import revoke
from environments.operations.freeze.lift import lift
from environments.operations.holiday.add import add
from environments.operations.holiday.remove import remove
from environments.operations.window.create_freeze import freeze, freeze_recurring
from releases.operations.application.create import create_application

# Freezes to come begin with the first day of the next year.
YEAR = datetime.now(UTC).year + 1
FRIDAYS = [day for n in range(366) if (day := date(YEAR, 1, 1) + timedelta(n)).year == YEAR and day.weekday() == 4]
OTHERS = ("operator", "developer", "tester", "committee_a", "auditor", "administrator", "outsider")


def frozen(acting_as: Callable[..., Any], **fields: Any) -> ChangeFreeze:
    """Freeze production from now on for a day, as the release manager."""
    span = {"starts_at": now() - timedelta(minutes=1), "ends_at": now() + timedelta(days=1)}
    with acting_as("manager"):
        return freeze(
            Environment.objects.get(slug="production").pk, **{"name": "year end", "reason": "closing", **span, **fields}
        )


def test_only_a_planner_sets_and_lifts_a_freeze(acting_as: Callable[..., Any]) -> None:
    row = frozen(acting_as)
    for name in OTHERS:
        with acting_as(name), pytest.raises(NotPermitted):
            lift(row.pk, reason="x")
        with acting_as(name), pytest.raises(NotPermitted):
            freeze(row.environment_id, name="x", starts_at=now(), ends_at=now() + timedelta(hours=1), reason="x")
    assert ChangeFreeze.objects.in_effect().get() == row


def test_a_grant_for_another_environment_sets_and_lifts_nothing_here(
    acting_as: Callable[..., Any], people: dict[str, Any], newcomer: Callable[..., Any]
) -> None:
    """Scope is a pair: who plans in staging does not touch production."""
    row = frozen(acting_as)
    people["elsewhere"] = newcomer("elsewhere", ("release_manager", Environment.objects.get(slug="staging")))
    with acting_as("elsewhere"), pytest.raises(NotPermitted):
        lift(row.pk, reason="x")
    span = {"starts_at": now(), "ends_at": now() + timedelta(hours=1)}
    with acting_as("elsewhere"):
        own = freeze(Environment.objects.get(slug="staging").pk, name="own", reason="x", **span)
        assert lift(own.pk, reason="x").lifted_at is not None, "in its own environment it does both"
    with acting_as("elsewhere"), pytest.raises(NotPermitted):
        freeze(row.environment_id, name="x", reason="x", **span)
    with acting_as("elsewhere"), pytest.raises(NotPermitted):
        add(day=date(2026, 12, 30), name_ja="休", name_en="off")


def test_lifting_is_signed_needs_a_reason_and_is_done_once(acting_as: Callable[..., Any]) -> None:
    row = frozen(acting_as)
    with acting_as("manager", proved=False), pytest.raises(SignatureRequired):
        lift(row.pk, reason="x")
    with acting_as("manager"), pytest.raises(InvalidInput):
        lift(row.pk, reason=" ")
    with acting_as("project_manager"):
        assert lift(row.pk, reason="closed early").lifted_at is not None
    assert not ChangeFreeze.objects.in_effect().exists()
    with acting_as("manager"), pytest.raises(NotPossible, match="already"):
        lift(row.pk, reason="again")
    assert row.history.count() == 2


def test_a_freeze_is_for_one_application_or_for_all(acting_as: Callable[..., Any]) -> None:
    with acting_as("manager"):
        ours = create_application(slug="ours", name="Ours", repository="/srv/ours.git")
        other = create_application(slug="other", name="Other", repository="/srv/other.git")
    whole, one = frozen(acting_as), frozen(acting_as, application_id=ours.pk, name="one")
    assert set(ChangeFreeze.objects.in_effect().reaching(ours)) == {whole, one}, "overlapping ones are fine"
    assert set(ChangeFreeze.objects.in_effect().reaching(other)) == {whole}
    with pytest.raises(InvalidInput):
        frozen(acting_as, application_id=9999)


def test_a_freeze_without_reason_backwards_or_in_the_past_is_refused(acting_as: Callable[..., Any]) -> None:
    for fields in (
        {"reason": " "},
        {"ends_at": now() - timedelta(hours=2)},
        {"starts_at": now() - timedelta(days=3), "ends_at": now() - timedelta(days=2)},
    ):
        with pytest.raises(InvalidInput):
            frozen(acting_as, **fields)
    assert not ChangeFreeze.objects.exists()


def test_a_holiday_is_added_and_removed_by_a_planner(acting_as: Callable[..., Any]) -> None:
    given = {"day": date(2026, 12, 30), "name_ja": "年末休業", "name_en": "Year-end"}
    for name in OTHERS:
        with acting_as(name), pytest.raises(NotPermitted):
            add(**given)
    with acting_as("manager", proved=False), pytest.raises(SignatureRequired):
        add(**given)
    with acting_as("manager"):
        row = add(**given)
        assert Holiday.objects.days() == {date(2026, 12, 30): "Year-end"}
        with pytest.raises(InvalidInput, match="already"):
            add(**given)
    with acting_as("operator"), pytest.raises(NotPermitted):
        remove(row.pk, reason="x")
    with acting_as("manager"):
        remove(row.pk, reason="we work")
        assert not Holiday.objects.days()
        with pytest.raises(NotPossible):
            remove(row.pk, reason="again")
        assert add(**given).pk != row.pk, "the same day may be added again"


def test_an_address_is_kept_as_a_digest_only_and_revoked_by_its_owner(acting_as: Callable[..., Any]) -> None:
    with acting_as("manager"):
        application = create_application(slug="ours", name="Ours", repository="/srv/ours.git")
    with acting_as("developer"):
        row, secret = create(application.pk)
    assert len(secret) >= 43 and row.digest == CalendarFeed.digest_of(secret)
    assert secret not in str([list(r.values()) for r in CalendarFeed.objects.values()])
    with acting_as("manager"), pytest.raises(NotPermitted, match="another"):
        revoke(row.pk)
    for name in ("auditor", "ci", "outsider"):
        with acting_as(name), pytest.raises(NotPermitted):
            create(application.pk)
    with acting_as("developer"):
        revoke(row.pk)
        with pytest.raises(NotPossible):
            revoke(row.pk)
    with acting_as("tester"):
        second, _secret = create(application.pk)
    with acting_as("administrator"):
        assert revoke(second.pk).revoked_at is not None


def weekend(acting_as: Callable[..., Any], slug: str = "production", **fields: Any) -> ChangeFreeze:
    """Freeze from each Friday 17:00 to Monday 09:00, as the release manager."""
    given = {"name": "weekend", "rrule": "freq=weekly;byday=fr", "start": time(17), "length_minutes": 64 * 60}
    days = {"first_day": date(YEAR, 1, 1), "last_day": date(YEAR, 12, 31), "reason": "nobody is there"}
    with acting_as("manager"):
        return freeze_recurring(Environment.objects.get(slug=slug).pk, **{**given, **days, **fields})


def test_a_recurring_freeze_holds_each_time_in_the_zone_of_its_environment(acting_as: Callable[..., Any]) -> None:
    row = weekend(acting_as)
    assert row.rrule == f"FREQ=WEEKLY;BYDAY=FR;UNTIL={YEAR}1231"
    spans = row.spans(row.starts_at)
    assert len(spans) == len(FRIDAYS) and (spans[0].starts_at, spans[-1].ends_at) == (row.starts_at, row.ends_at)
    tokyo = ZoneInfo("Asia/Tokyo")
    assert {f"{s.starts_at.astimezone(tokyo):%a %H:%M}-{s.ends_at.astimezone(tokyo):%a %H:%M}" for s in spans} == {
        "Fri 17:00-Mon 09:00"
    }
    assert [s.starts_at for s in row.spans(spans[3].ends_at)] == [s.starts_at for s in spans[4:]]
    assert ChangeFreeze.objects.in_effect().spans(spans[-2].ends_at) == [row]


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"rrule": "every Friday"}, "The rule"),
        ({"rrule": "FREQ=WEEKLY;BYDAY=FR;UNTIL=20270101"}, "UNTIL"),
        ({"length_minutes": 0}, "one minute"),
        ({"length_minutes": 7 * 24 * 60 + 1}, "seven days"),
        ({"last_day": date(YEAR - 1, 12, 31)}, "before the first"),
        ({"last_day": date(YEAR + 2, 2, 1)}, "two years"),
        (
            {"first_day": FRIDAYS[0] + timedelta(1), "last_day": FRIDAYS[1] - timedelta(1)},
            "matches no future day between",
        ),
        ({"first_day": date(2024, 12, 1), "last_day": date(2025, 12, 1)}, "matches no future day between"),
        ({"reason": " "}, "needs a reason"),
    ],
)
def test_a_recurring_freeze_that_would_never_hold_is_refused(
    acting_as: Callable[..., Any], fields: dict[str, Any], fault: str
) -> None:
    with translation.override("en"), pytest.raises(InvalidInput, match=fault):
        weekend(acting_as, **fields)
    assert not ChangeFreeze.objects.exists()


def test_one_operation_freezes_several_environments_and_each_is_lifted_by_itself(
    acting_as: Callable[..., Any], people: dict[str, Any], newcomer: Callable[..., Any]
) -> None:
    staging = Environment.objects.get(slug="staging")
    row = frozen(acting_as, also_in=[staging.pk])
    assert set(ChangeFreeze.objects.values_list("environment__slug", "name")) == {
        ("production", "year end"),
        ("staging", "year end"),
    }
    with acting_as("manager"):
        lift(ChangeFreeze.objects.get(environment=staging).pk, reason="staging may go on")
    assert list(ChangeFreeze.objects.in_effect()) == [row]
    people["elsewhere"] = newcomer("elsewhere", ("release_manager", staging))
    span = {"starts_at": now(), "ends_at": now() + timedelta(hours=1)}
    with acting_as("elsewhere"), pytest.raises(NotPermitted):
        freeze(staging.pk, name="x", reason="x", also_in=[row.environment_id], **span)
