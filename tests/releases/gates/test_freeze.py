"""Who may freeze, and what a freeze reaches; that it beats a window is proved beside the window."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from audit.clock import now
from audit.refusals import GateClosed, Invalid, NotYou
from environments.actions.window.freeze import freeze
from environments.models import Freeze
from releases.gates.ask import answers, blockers

from .asking import alter, ask, make


def test_it_reaches_one_environment_and_one_application_only(world: Any) -> None:
    from releases.actions.application.create import create_application

    release = world.planned()
    span = {"starts_at": now() - timedelta(minutes=1), "ends_at": now() + timedelta(hours=1), "reason": "x"}
    make(Freeze, name="elsewhere", environment=world.environments["staging"], **span)
    with world.acting_as("manager"):
        other = create_application(slug="other", name="Other", repository="/srv/other.git")
    make(Freeze, name="other", environment=world.environments["production"], application=other, **span)
    assert ask(world, release, "freeze").verdict == "pass"
    make(Freeze, name="ours", environment=world.environments["production"], application=world.application, **span)
    assert ask(world, release, "freeze").verdict == "fail"


def test_calendars_are_changed_by_who_may(world: Any) -> None:
    """Case 15: a calendar is governed like the rest."""
    span = {"starts_at": now(), "ends_at": now() + timedelta(hours=1)}
    pk = world.environments["production"].pk
    for name in ("operator", "developer", "committee_a", "auditor", "outsider"):
        with world.acting_as(name), pytest.raises(NotYou):
            freeze(pk, name="x", reason="x", **span)
    with world.acting_as("manager"), pytest.raises(Invalid):
        freeze(pk, name="x", reason="x", starts_at=span["ends_at"], ends_at=span["starts_at"])
    assert not Freeze.objects.exists()


@pytest.mark.parametrize("slug", ["development", "staging"])
def test_it_binds_in_every_environment_on_which_it_is_set(world: Any, slug: str) -> None:
    """Also where the procedure names no such gate: what a person has set on a page is not only for show."""
    release, place = world.planned(), world.environments[slug]
    span = {"starts_at": now() - timedelta(minutes=1), "ends_at": now() + timedelta(hours=1), "reason": "audit"}
    with world.acting_as("manager"):
        row = freeze(place.pk, name="quiet day", **span)
    answer = ask(world, release, "freeze", environment=slug)
    assert answer.verdict == "fail" and "quiet day" in answer.reason
    assert "quiet day" in " ".join(a.reason for a in blockers(release, place))
    alter(row, lifted_at=now())
    assert not [a for a in answers(release, place) if a.kind == "freeze"]


def test_it_stops_a_deployment_to_staging_that_was_asked_for_before(world: Any) -> None:
    from releases.actions.deployment.request import request
    from releases.actions.deployment.schedule import schedule

    release, place = world.tested(), world.environments["staging"]
    with world.acting_as("operator"):
        run = request(release.pk, environment_id=place.pk)
    span = {"starts_at": now() - timedelta(minutes=1), "ends_at": now() + timedelta(hours=1), "reason": "audit"}
    with world.acting_as("manager"):
        freeze(place.pk, name="quiet day", **span)
    with world.acting_as("operator"), pytest.raises(GateClosed, match="quiet day"):
        schedule(run.pk)
