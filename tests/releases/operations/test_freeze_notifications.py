"""The people concerned are notified when a freeze is set, when its lift is requested, and when it is lifted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from audit.clock import now
from environments.operations.freeze.lift import lift
from environments.operations.window.create_freeze import freeze, freeze_recurring
from releases.models import Notification
from tests.releases.operations.notifying import forget, make_notifications, only

# Everybody who may plan; the author of the world's release is a release manager as well.
MANAGERS = {"manager", "project_manager", "author_on_committee"}


def notified(event: str) -> tuple[set[str], dict[str, dict[str, str]]]:
    """Return the user names that received the one new notification, and its texts."""
    (notification,) = [one for one in make_notifications() if one.event == event]
    assert isinstance(notification, Notification)
    return {
        message.account.username for message in notification.inbox_items.all() if message.account
    }, notification.texts


@pytest.fixture(autouse=True)
def inbox_only(world: Any) -> None:
    only(*((event, None, "admin") for event in ("window:create_freeze", "freeze:request_lift", "freeze:lift")))


def test_managers_and_the_team_are_notified_of_a_freeze_over_their_release(world: Any) -> None:
    release = world.tested()
    forget()
    span = {"starts_at": release.scheduled_start_at, "ends_at": release.scheduled_start_at + timedelta(hours=1)}
    with world.acting_as("manager"):
        row = freeze(world.environments["production"].pk, name="year end", reason="closing of accounts", **span)
    team = {entry.account.username for entry in release.team_members.all()} | {release.author.username}
    people, texts = notified("window:create_freeze")
    assert people == team | MANAGERS and len(team) >= 3
    assert "year end" in texts["en"]["subject"] and "closing of accounts" in texts["en"]["body"]
    assert texts["ja"]["subject"].startswith("【凍結期間】year end（本番環境）：")
    with world.acting_as("manager"):
        lift(row.pk, reason="closed early")
    people, texts = notified("freeze:lift")
    assert people == team | MANAGERS and "closed early" in texts["en"]["body"]


def test_a_freeze_at_another_time_is_notified_to_managers_only_with_every_environment(world: Any) -> None:
    release = world.tested()
    forget()
    zone_days = release.scheduled_end_at.date() + timedelta(days=40)
    places = [world.environments[slug] for slug in ("production", "staging")]
    with world.acting_as("manager"):
        freeze_recurring(
            places[0].pk,
            also_in=[places[1].pk],
            name="weekend",
            rrule="FREQ=WEEKLY;BYDAY=FR",
            start=release.scheduled_start_at.time(),
            length_minutes=60,
            first_day=zone_days,
            last_day=zone_days + timedelta(days=30),
            reason="nobody is there",
        )
    people, texts = notified("window:create_freeze")
    assert people == MANAGERS
    assert all(str(place.name_en) in texts["en"]["body"] for place in places) and "FREQ=WEEKLY" in texts["en"]["body"]


def test_the_requester_of_a_deployment_inside_a_freeze_is_notified(world: Any) -> None:
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
    assert notified("window:create_freeze")[0] == MANAGERS | {"operator"}


def test_a_request_to_lift_a_full_freeze_notifies_its_deciders_and_lifts_nothing(world: Any) -> None:
    span = {"starts_at": now(), "ends_at": now() + timedelta(days=1)}
    with world.acting_as("manager"):
        row = freeze(world.environments["production"].pk, name="audit", reason="x", absolute=True, **span)
    forget()
    with world.acting_as("project_manager"):
        lift(row.pk, reason="the audit is over")
    assert notified("freeze:request_lift")[0] == MANAGERS - {"project_manager"}
    with world.acting_as("manager"):
        lift(row.pk, reason="the audit is over")
    assert notified("freeze:lift")[0] == MANAGERS
