"""A static site behind an nginx of the operators, through plan, production, a broken version, rollback and a draft."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.applications.organisation import Application, Organisation
from tests.applications.static_site import StaticSite
from tests.applications.story import Story

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def story(organisation: Callable[[Application], Organisation]) -> Iterator[Story]:
    played = Story(organisation(StaticSite()))
    yield played
    played.end()


def test_static_site(story: Story, record_property: Callable[[str, object], None]) -> None:
    at, what = story.at, story.what

    def row(did: str, seen: object) -> None:
        record_property("row", (what.slug, did, str(seen)))

    story.register()
    row("register what nginx serves", {name: what.version_served(story.place(name)) for name in at.places})

    # nginx goes into the background, so Ringi owns no process: the version that it serves is the proof.
    at.prepare(what.sound)
    deployment = at.go(what.sound)
    at.checks_done(deployment)
    at.verify(deployment)
    at.finished(deployment, {"succeeded"}, 90)  # its process asks for one metric, which Ringi measures itself
    assert {what.version_served(place) for place in at.places.values()} == {what.sound}
    row("three environments, nginx in the background", f"each serves and reports {what.sound}")

    before = story.place("production").measure()
    at.prepare(what.broken)
    deployment = at.go(what.broken)
    at.checks_done(deployment)
    at.verify(deployment)
    assert [story.place("production").answer("/about.html")[0] for _ in range(20)] == [404] * 20
    log = (story.place("production").root / "shared" / "app.log").read_text()
    assert log.count("about.html") >= 20 and "[error]" in log
    ended = story.roll_back(deployment)
    assert ended["state"] == "rolled_back", ended
    assert story.place("production").measure() == before
    assert story.place("production").answer("/about.html")[0] == 200
    assert what.version_served(story.place("production")) == what.sound
    row("a broken version with 20 errors in nginx's log, rolled back", f"digests equal, serves {what.sound}")

    there = what.version_served(story.place("development"))
    at.draft(what.draft)
    at.prove(what.draft)
    tried = story.deployed_by_ci(what.draft, "development")
    assert tried["state"] == "succeeded", tried
    assert what.version_served(story.place("development")) == what.draft
    back = story.roll_back(tried["id"])
    assert back["state"] == "rolled_back", back
    assert what.version_served(story.place("development")) == there
    row("a draft in development, rolled back", f"serves {there} as before")
    assert not at.faults, at.faults
