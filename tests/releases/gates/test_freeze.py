"""Rights to set a freeze, and its reach; another test, in test_window.py, shows that a freeze beats the window."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from audit.clock import now
from audit.refusals import GateNotPassed, InvalidInput, NotPermitted
from environments import calendar
from environments.models import ChangeFreeze
from environments.operations.window.create_freeze import freeze, freeze_recurring
from releases.gates.evaluation import blockers, evaluate
from releases.operations.release.reschedule import set_scheduled_start
from releases.operations.waiver.decide import approve
from releases.operations.waiver.request import request_waiver

from .asking import alter, ask, make


def test_a_freeze_is_limited_to_one_environment_and_application(world: Any) -> None:
    from releases.operations.application.create import create_application

    release = world.planned()
    span = {"starts_at": now() - timedelta(minutes=1), "ends_at": now() + timedelta(hours=1), "reason": "x"}
    make(ChangeFreeze, name="elsewhere", environment=world.environments["staging"], **span)
    with world.acting_as("manager"):
        other = create_application(slug="other", name="Other", repository="/srv/other.git")
    make(ChangeFreeze, name="other", environment=world.environments["production"], application=other, **span)
    assert ask(world, release, "change_freeze").result == "passed"
    make(ChangeFreeze, name="ours", environment=world.environments["production"], application=world.application, **span)
    assert ask(world, release, "change_freeze").result == "not_passed"


def test_only_permitted_people_change_calendars(world: Any) -> None:
    """Case 15: a calendar is audited like the rest."""
    span = {"starts_at": now(), "ends_at": now() + timedelta(hours=1)}
    pk = world.environments["production"].pk
    for name in ("operator", "developer", "committee_a", "auditor", "outsider"):
        with world.acting_as(name), pytest.raises(NotPermitted):
            freeze(pk, name="x", reason="x", **span)
    with world.acting_as("manager"), pytest.raises(InvalidInput):
        freeze(pk, name="x", reason="x", starts_at=span["ends_at"], ends_at=span["starts_at"])
    assert not ChangeFreeze.objects.exists()


@pytest.mark.parametrize("slug", ["development", "staging"])
def test_a_freeze_binds_in_every_environment_where_it_is_set(world: Any, slug: str) -> None:
    """Also where the procedure names no such gate: a freeze set by a person binds."""
    release, place = world.planned(), world.environments[slug]
    span = {"starts_at": now() - timedelta(minutes=1), "ends_at": now() + timedelta(hours=1), "reason": "audit"}
    with world.acting_as("manager"):
        row = freeze(place.pk, name="quiet day", **span)
    answer = ask(world, release, "change_freeze", environment=slug)
    assert answer.result == "not_passed" and "quiet day" in answer.reason
    assert "quiet day" in " ".join(a.reason for a in blockers(release, place))
    alter(row, lifted_at=now())
    assert not [a for a in evaluate(release, place) if a.kind == "change_freeze"]


def test_a_freeze_stops_an_already_requested_deployment_to_staging(world: Any) -> None:
    from releases.operations.deployment.request import request
    from releases.operations.deployment.schedule import schedule

    release, place = world.tested(), world.environments["staging"]
    with world.acting_as("operator"):
        deployment = request(release.pk, environment_id=place.pk)
    span = {"starts_at": now() - timedelta(minutes=1), "ends_at": now() + timedelta(hours=1), "reason": "audit"}
    with world.acting_as("manager"):
        freeze(place.pk, name="quiet day", **span)
    with world.acting_as("operator"), pytest.raises(GateNotPassed, match="quiet day"):
        schedule(deployment.pk)


def weekly(world: Any, slug: str = "production", **fields: Any) -> ChangeFreeze:
    """Set a freeze of two hours at the present clock time on each day of the coming weeks."""
    zone = ZoneInfo(world.environments[slug].zone)
    moment = now().astimezone(zone) - timedelta(hours=1)
    given = {"name": "quiet hours", "rrule": "FREQ=DAILY", "start": moment.time().replace(second=0, microsecond=0)}
    days = {"first_day": moment.date(), "last_day": moment.date() + timedelta(days=30)}
    with world.acting_as("manager"):
        return freeze_recurring(
            world.environments[slug].pk, **{**given, **days, "length_minutes": 120, "reason": "batch", **fields}
        )


@pytest.mark.parametrize("slug", ["staging", "production"])
def test_a_recurring_freeze_applies_at_each_time_and_not_between(world: Any, slug: str) -> None:
    release, place = world.planned(), world.environments[slug]
    row = weekly(world, slug)
    first, second = row.spans(now())[:2]
    for at, result in (
        (first.starts_at, "not_passed"),
        (first.ends_at, "passed"),
        (second.starts_at - timedelta(seconds=1), "passed"),
        (second.starts_at, "not_passed"),
        (row.ends_at, "passed"),
    ):
        assert ask(world, release, "change_freeze", environment=slug, at=at).result == result, at
    assert any("quiet hours" in answer.reason for answer in blockers(release, place))
    reason = ask(world, release, "change_freeze", environment=slug).reason
    assert calendar.print_time(first.ends_at, place.zone, "en") in reason, "until the end of this time, not of the last"


def exception(world: Any, release: Any, environment: str = "production", hours: float = 4) -> Any:
    """Let two people exempt a release from the freezes of an environment."""
    place, until = world.environments[environment].pk, now() + timedelta(hours=hours)
    with world.acting_as("manager"):
        row = request_waiver(
            release.pk, environment_id=place, gate="change_freeze", until=until, reason="the law says so"
        )
    with world.acting_as("project_manager"):
        return approve(row.pk)


def test_an_exemption_confirmed_by_a_second_person_passes_one_release(world: Any) -> None:
    release, place = world.planned(), world.environments["production"]
    span = {"starts_at": now() - timedelta(minutes=1), "ends_at": now() + timedelta(hours=5), "reason": "audit"}
    with world.acting_as("manager"):
        freeze(place.pk, name="year end", **span)
        row = request_waiver(
            release.pk,
            environment_id=place.pk,
            gate="change_freeze",
            until=now() + timedelta(hours=4),
            reason="the law says so",
        )
    assert ask(world, release, "change_freeze").result == "not_passed", "one person makes no exception"
    with world.acting_as("manager"), pytest.raises(NotPermitted):
        approve(row.pk)
    with world.acting_as("project_manager"):
        approve(row.pk)
    answer = ask(world, release, "change_freeze")
    assert answer.result == "waived" and "year end" in answer.reason and "the law says so" in answer.reason
    assert ask(world, release, "change_window").result == "passed"
    assert ask(world, release, "change_freeze", at=row.until).result == "not_passed", "it ends"
    late = ask(world, release, "change_window", at=row.until - timedelta(minutes=1))
    assert late.result == "not_passed" and "latest safe start" in late.reason, "the deployment must end before it"
    with world.acting_as("manager"):
        set_scheduled_start(release.pk, start=now())
    other = make(type(release), application=world.application, version="9.0.0", title="other", author=release.author)
    assert ask(world, other, "change_freeze").result == "not_passed"


def test_an_exemption_covers_neither_a_full_nor_a_later_freeze(world: Any) -> None:
    release, place = world.planned(), world.environments["production"]
    exception(world, release)
    span = {"starts_at": now() - timedelta(minutes=1), "ends_at": now() + timedelta(hours=5), "reason": "audit"}
    with world.acting_as("manager"):
        later = freeze(place.pk, name="set later", **span)
    answer = ask(world, release, "change_freeze")
    assert answer.result == "not_passed" and "set later" in answer.reason
    alter(later, lifted_at=now())
    absolute = make(ChangeFreeze, name="absolute", environment=place, full=True, **span)
    alter(absolute, created_at=now() - timedelta(days=1))
    answer = ask(world, release, "change_freeze")
    assert answer.result == "not_passed" and "absolute" in answer.reason
