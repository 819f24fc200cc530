"""Isso on SQLite, through plan, production, a broken version with a migration, and a restore of its backup."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.applications.isso import Isso
from tests.applications.organisation import Application, Organisation
from tests.applications.story import Story

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def story(organisation: Callable[[Application], Organisation], installed: Path) -> Iterator[Story]:
    played = Story(organisation(Isso(installed)))
    yield played
    played.end()


def test_isso(story: Story, record_property: Callable[[str, object], None]) -> None:
    at, what, production = story.at, story.what, story.place("production")
    assert isinstance(what, Isso)

    def row(did: str, seen: object) -> None:
        record_property("row", (what.slug, did, str(seen)))

    story.register("production")
    first = what.comment(production, "Anna")
    row("register what was started by hand, on SQLite", f"serves {what.version_served(production)}")

    story.end_by_hand("production")
    at.prepare(what.sound)
    deployment = at.go(what.sound)
    at.checks_done(deployment)
    at.verify(deployment)
    assert {what.version_served(place) for place in at.places.values()} == {what.sound}
    assert what.authors(production) == ["Anna"] and what.vote(production, first) == 200
    row("three environments", f"each serves {what.sound}, the comment is there")

    what.comment(production, "Bert")
    before = production.measure()
    assert before.data and before.schema
    at.prepare(what.broken)
    at.finished(deployment, {"succeeded"}, 90)
    deployment = at.go(what.broken)
    at.checks_done(deployment)
    at.verify(deployment)
    assert what.authors(production) == ["nobody", "nobody"]
    what.comment(production, "Carl")
    assert [what.vote(production, first) for _ in range(5)] == [500] * 5
    ended = story.roll_back(deployment)
    assert ended["state"] == "rolled_back", ended
    assert production.measure() == before
    assert what.authors(production) == ["Anna", "Bert"] and what.version_served(production) == what.sound
    counted = ended["rollback"]["facts"]["rows"]
    assert counted == {"comments": 1}
    row("a broken version with a migration, rolled back", f"digests equal; counted since: {counted}")
    assert not at.faults, at.faults
