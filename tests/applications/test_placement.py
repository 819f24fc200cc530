"""Placement on MariaDB: plan, production, a version whose migration does harm, a restore by the target's commands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.applications.mariadb import Server, mariadb
from tests.applications.organisation import Application, Organisation
from tests.applications.placement import Placement
from tests.applications.story import Story

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    try:
        with mariadb() as running:
            yield running
    except RuntimeError as lacking:
        pytest.skip(str(lacking))


@pytest.fixture(scope="module")
def story(organisation: Callable[[Application], Organisation], installed: Path, server: Server) -> Iterator[Story]:
    played = Story(organisation(Placement(installed, server)))
    yield played
    played.end()


def test_placement(story: Story, record_property: Callable[[str, object], None]) -> None:
    at, what, production = story.at, story.what, story.place("production")
    assert isinstance(what, Placement)

    def row(did: str, seen: object) -> None:
        record_property("row", (what.slug, did, str(seen)))

    story.register("production")
    what.create(production, "rack 1", "rack 2")
    row("register what was started by hand, on MariaDB", f"serves {what.version_served(production)}")

    story.end_by_hand("production")
    at.prepare(what.sound)
    deployment = at.go(what.sound)
    at.checks_done(deployment)
    at.verify(deployment)
    assert {what.version_served(place) for place in at.places.values()} == {what.sound}
    assert what.providers(production).keys() == {"rack 1", "rack 2"}
    row("three environments", f"each serves {what.sound}, the records are there")

    what.create(production, "rack 3")
    before, known = production.measure(), what.providers(production)
    assert before.data
    at.prepare(what.broken)
    at.finished(deployment, {"succeeded"}, 90)
    deployment = at.go(what.broken)
    at.checks_done(deployment)
    at.verify(deployment)
    assert "provider 1" in what.providers(production)
    what.create(production, "rack 4")
    path = f"/resource_providers/{known['rack 1']}"
    renamed = [what.call(production, "PUT", path, {"name": "rack 0"}).status_code for _ in range(5)]
    assert renamed == [500] * 5
    ended = story.roll_back(deployment)
    assert ended["state"] == "rolled_back", ended
    assert production.measure() == before
    assert what.providers(production) == known and what.version_served(production) == what.sound
    row("a migration that renamed all records, rolled back", f"digests equal, {len(known)} records as before")
    assert not at.faults, at.faults
