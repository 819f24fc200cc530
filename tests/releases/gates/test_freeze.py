"""Who may freeze, and what a freeze reaches; that it beats a window is proved beside the window."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from audit.clock import now
from audit.refusals import Invalid, NotYou
from environments.actions.window.freeze import freeze
from environments.models import Freeze

from .asking import ask, make


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
