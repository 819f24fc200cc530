"""Whom a freeze concerns hears that it is set, that somebody asks to lift it, and that it is lifted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from audit.clock import now
from environments.operations.freeze.lift import lift
from environments.operations.window.create_freeze import freeze, freeze_recurring
from releases.models import Notification
from tests.releases.operations.notifying import forget, only, tell

# Whoever may plan; the author of the world's release is a release manager as well.
MANAGERS = {"manager", "project_manager", "author_on_committee"}


def told(event: str) -> tuple[set[str], dict[str, dict[str, str]]]:
    """Return the user names that the one new notice went to, and its texts."""
    (notification,) = [one for one in tell() if one.event == event]
    assert isinstance(notification, Notification)
    return {
        message.account.username for message in notification.inbox_items.all() if message.account
    }, notification.texts


@pytest.fixture(autouse=True)
def inbox_only(world: Any) -> None:
    only(*((event, None, "admin") for event in ("window:create_freeze", "freeze:request_lift", "freeze:lift")))


def test_managers_and_the_team_of_a_release_planned_inside_hear_that_a_freeze_is_set_and_lifted(world: Any) -> None:
    release = world.tested()
    forget()
    span = {"starts_at": release.scheduled_start_at, "ends_at": release.scheduled_start_at + timedelta(hours=1)}
    with world.acting_as("manager"):
        row = freeze(world.environments["production"].pk, name="year end", reason="closing of accounts", **span)
    team = {entry.account.username for entry in release.team_members.all()} | {release.author.username}
    people, texts = told("window:create_freeze")
    assert people == team | MANAGERS and len(team) >= 3
    assert "year end" in texts["en"]["subject"] and "closing of accounts" in texts["en"]["body"]
    assert texts["ja"]["subject"].startswith("【凍結期間】year end（本番環境）：")
    with world.acting_as("manager"):
        lift(row.pk, reason="closed early")
    people, texts = told("freeze:lift")
    assert people == team | MANAGERS and "closed early" in texts["en"]["body"]


def test_a_freeze_at_another_time_is_told_to_managers_only_and_names_every_environment(world: Any) -> None:
    release = world.tested()
    forget()
    zone_days = release.scheduled_end_at.date() + timedelta(days=40)
    places = [world.environments[slug] for slug in ("production", "staging")]
    with world.acting_as("manager"):
        freeze_recurring(
            places[0].pk, also_in=[places[1].pk], name="weekend", rrule="FREQ=WEEKLY;BYDAY=FR", start=release.scheduled_start_at.time(),
            length_minutes=60, first_day=zone_days, last_day=zone_days + timedelta(days=30), reason="nobody is there",
        )  # fmt: skip
    people, texts = told("window:create_freeze")
    assert people == MANAGERS
    assert all(str(place.name_en) in texts["en"]["body"] for place in places) and "FREQ=WEEKLY" in texts["en"]["body"]


def test_a_scheduled_deployment_inside_is_told_to_who_asked_for_it(world: Any) -> None:
    from releases.operations.deployment.request import request
    from releases.operations.deployment.schedule import schedule

    release, place = world.tested(), world.environments["staging"]
    with world.acting_as("operator"):
        deployment = request(release.pk, environment_id=place.pk)
        schedule(deployment.pk, at=now() + timedelta(hours=2))
    forget()
    span = {"starts_at": now() + timedelta(hours=1), "ends_at": now() + timedelta(hours=3)}
    with world.acting_as("manager"):
        freeze(place.pk, name="load test", reason="x", **span)
    assert told("window:create_freeze")[0] == MANAGERS | {"operator"}


def test_asking_to_lift_an_absolute_freeze_is_told_to_who_may_lift_it_and_is_no_lifting(world: Any) -> None:
    span = {"starts_at": now(), "ends_at": now() + timedelta(days=1)}
    with world.acting_as("manager"):
        row = freeze(world.environments["production"].pk, name="audit", reason="x", absolute=True, **span)
    forget()
    with world.acting_as("project_manager"):
        lift(row.pk, reason="the audit is over")
    assert told("freeze:request_lift")[0] == MANAGERS - {"project_manager"}
    with world.acting_as("manager"):
        lift(row.pk, reason="the audit is over")
    assert told("freeze:lift")[0] == MANAGERS
