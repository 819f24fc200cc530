"""Windows: the start is inside, and early enough; a refusal outside names the next window."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest

from audit.clock import now
from environments.models import ChangeFreeze, ChangeWindow
from releases.gates.durations import durations
from releases.gates.evaluation import evaluate
from releases.gates.window import opening

from .asking import alter, ask


def extra(world: Any) -> ChangeWindow:
    return ChangeWindow.objects.get(rrule="")


def test_a_start_inside_the_window_passes(world: Any) -> None:
    assert ask(world, world.planned(), "change_window").result == "passed"


def test_a_start_outside_names_the_next_window(world: Any) -> None:
    release = world.planned()
    after = extra(world).ends_at + timedelta(minutes=1)
    if opening(world.application, world.environments["production"], after).open:  # the third Wednesday itself
        after += timedelta(hours=5)
    answer = ask(world, release, "change_window", at=after)
    assert answer.result == "not_passed" and "Next window" in answer.reason
    assert "01:00" in answer.reason, "the third Wednesday, in the zone of the environment"


def test_a_cancelled_or_unapproved_window_does_not_count(world: Any) -> None:
    release = world.planned()
    alter(ChangeWindow.objects.get(from_procedure=True), cancelled_at=now())
    alter(extra(world), cancelled_at=now())
    assert ask(world, release, "change_window").result == "not_passed"
    alter(extra(world), cancelled_at=None, in_effect_at=None)
    assert ask(world, release, "change_window").result == "not_passed"


def test_another_applications_window_does_not_count(world: Any) -> None:
    from releases.operations.application.create import create_application

    release = world.planned()
    with world.acting_as("manager"):
        other = create_application(slug="other", name="Other", repository="/srv/other.git")
    alter(ChangeWindow.objects.get(from_procedure=True), cancelled_at=now())
    alter(extra(world), application=other)
    assert ask(world, release, "change_window").result == "not_passed"


def test_the_deployment_and_its_rollback_must_fit(world: Any) -> None:
    release = world.planned()
    lasts = durations(release, world.environments["production"].pk)
    needed = timedelta(seconds=lasts.needed(release.step_plan).seconds)
    assert needed > timedelta(minutes=10)
    latest = extra(world).ends_at - needed
    assert ask(world, release, "change_window", at=latest).result == "passed"
    answer = ask(world, release, "change_window", at=latest + timedelta(seconds=1))
    assert answer.result == "not_passed" and "latest safe start" in answer.reason


def test_the_releases_scheduled_start_counts(world: Any) -> None:
    release = world.planned()
    later = alter(release, scheduled_start_at=now() + timedelta(hours=1))
    assert "planned for" in ask(world, later, "change_window").reason
    over = alter(release, scheduled_start_at=now() - timedelta(hours=3), scheduled_end_at=now() - timedelta(seconds=1))
    assert "has closed" in ask(world, over, "change_window").reason


def test_an_emergency_needs_no_window(world: Any) -> None:
    release = alter(world.planned(), kind="emergency")
    alter(extra(world), cancelled_at=now())
    assert ask(world, release, "change_window").result == "passed"


@pytest.mark.parametrize("absolute", [False, True])
def test_a_freeze_beats_the_window(world: Any, absolute: bool) -> None:
    from environments.operations.window.create_freeze import freeze

    release = world.planned()
    with world.acting_as("manager"):
        freeze(
            world.environments["production"].pk,
            name="year end",
            starts_at=now() - timedelta(minutes=1),
            ends_at=now() + timedelta(hours=1),
            reason="closing of accounts",
            absolute=absolute,
        )
    answer = ask(world, release, "change_freeze")
    assert answer.result == "not_passed" and "year end" in answer.reason and "closing of accounts" in answer.reason
    assert ask(world, release, "change_window").result == "not_passed"
    assert ask(world, release, "change_freeze", at=now() + timedelta(hours=2)).result == "passed"
    emergency = alter(release, kind="emergency")
    for gate in ("change_freeze", "change_window"):
        assert ask(world, emergency, gate).result == ("not_passed" if absolute else "passed"), gate


def test_a_failed_gate_names_its_reason_end_and_next_window(world: Any) -> None:
    """In the zone of the environment and in the reader's words; neither gate's message shows a raw time."""
    from django.utils import translation

    from environments.calendar import print_time
    from tests.releases.gates.asking import make

    release = world.planned()
    end = now().replace(microsecond=123456) + timedelta(hours=1)
    environment = world.environments["production"]
    make(ChangeFreeze, name="audit", environment=environment, starts_at=now(), ends_at=end, reason="on site")
    for gate in ("change_window", "change_freeze"):
        said = ask(world, release, gate).reason
        assert said.count(print_time(end, "Asia/Tokyo", "en")) == 2, "until then, and open again from then on"
        assert "on site" in said and "+00:00" not in said and "123456" not in said
        with translation.override("ja"):
            said = ask(world, release, gate).reason
        assert said.count(print_time(end, "Asia/Tokyo", "ja")) == 2 and "Next" not in said and "until" not in said


def test_a_lifted_freeze_counts_for_neither_gate(world: Any) -> None:
    from environments.operations.freeze.lift import lift
    from tests.releases.gates.asking import make

    release = world.planned()
    environment = world.environments["production"]
    row = make(
        ChangeFreeze,
        name="audit",
        environment=environment,
        starts_at=now(),
        ends_at=now() + timedelta(hours=1),
        reason="x",
    )
    assert [ask(world, release, gate).result for gate in ("change_window", "change_freeze")] == [
        "not_passed",
        "not_passed",
    ]
    with world.acting_as("manager"):
        lift(row.pk, reason="over early")
    assert [ask(world, release, gate).result for gate in ("change_window", "change_freeze")] == ["passed", "passed"]


def test_a_rule_on_staging_binds_there_unlike_the_releases_scheduled_start(world: Any) -> None:
    """A release's scheduled start is that of production: staging comes days before it."""
    from releases.operations.window.set_rule import set_rule

    release, place = world.planned(), world.environments["staging"]
    assert not [a for a in evaluate(release, place) if a.kind == "change_window"]
    with world.acting_as("manager"):
        set_rule(
            place.pk, name="nights", rrule="FREQ=DAILY", start=time(1), length_minutes=240, reason="load tests by day"
        )
    night = datetime.combine(now().date() + timedelta(days=3), time(17), UTC)  # 02:00 in Tokyo
    later = alter(
        release, scheduled_start_at=night + timedelta(days=9), scheduled_end_at=night + timedelta(days=9, hours=1)
    )
    day = ask(world, later, "change_window", environment="staging", at=night + timedelta(hours=9))
    assert day.result == "not_passed" and "nights" in day.reason
    assert ask(world, later, "change_window", environment="staging", at=night).result == "passed"
    late = ask(world, later, "change_window", environment="staging", at=night + timedelta(hours=2, minutes=58))
    assert late.result == "not_passed" and "latest safe start" in late.reason
