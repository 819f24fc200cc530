"""A calendar server with files only, through plan, production, a broken version, rollback and a draft."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.applications.organisation import Application, Organisation
from tests.applications.radicale import Radicale
from tests.applications.story import Story

pytestmark = pytest.mark.timeout(600)
Row = Callable[[str, object], None]


@pytest.fixture(scope="module")
def story(organisation: Callable[[Application], Organisation], installed: Path) -> Iterator[Story]:
    packages = {"3.2.3": installed / "earlier", "3.3.3": next((installed / "lib").glob("python*")) / "site-packages"}
    played = Story(organisation(Radicale(packages, installed / "bin" / "python")))
    yield played
    played.end()


def calendars(story: Story, environment: str, method: str = "PROPFIND") -> int:
    """Ask for the calendars as a client does; return the status."""
    address = story.place(environment).address
    return httpx.request(method, f"{address}/user/", auth=("user", ""), timeout=5).status_code


def test_radicale(story: Story, record_property: Row) -> None:
    at, what = story.at, story.what

    def row(did: str, seen: object) -> None:
        record_property("row", (what.slug, did, str(seen)))

    story.register()
    row("register what was started by hand", {name: what.version_served(story.place(name)) for name in at.places})

    # The process started by hand still holds the port, so no deployment passes, in development or production.
    at.plan(what.sound)
    blocked = story.deployed_by_ci(what.sound, "development")
    assert blocked["state"] in ("failed", "resolved"), blocked
    assert what.version_served(story.place("development")) == what.before
    said = story.said(blocked["id"], str(story.place("development").port))
    assert said
    row("an old process holds the port in development", f"{blocked['state']}: {said[:90]}")
    story.end_by_hand("development")
    story.end_by_hand("staging")
    at.prepare(what.sound)
    assert {what.version_served(story.place(name)) for name in ("development", "staging")} == {what.sound}

    deployment = at.go(what.sound)
    waiting = story.ended(deployment)
    assert waiting["state"] == "awaiting_decision", waiting
    assert what.version_served(story.place("production")) == what.before
    said = story.said(deployment, str(story.place("production").port))
    assert said
    row("an old process holds the port in production", f"waits for a person: {said[:90]}")
    story.end_by_hand("production")
    at.second_operator.do("step:retry", story.open_step(deployment), reason="the old process is ended")
    at.checks_done(deployment)
    at.verify(deployment)
    at.finished(deployment, {"succeeded"}, 90)
    assert what.version_served(story.place("production")) == what.sound
    assert calendars(story, "production") < 500
    row(
        "production after the old process was ended",
        f"succeeded, serves {what.version_served(story.place('production'))}",
    )

    # The broken version writes a traceback for each request; the rollback is judged by the log after it.
    before = story.place("production").measure()
    at.prepare(what.broken)
    deployment = at.go(what.broken)
    at.checks_done(deployment)
    at.verify(deployment)
    assert [calendars(story, "production") for _ in range(20)] == [500] * 20
    log = (story.place("production").root / "shared" / "app.log").read_text()
    assert log.count("this version can read no calendar") >= 20
    ended = story.roll_back(deployment)
    assert ended["state"] == "rolled_back", ended
    assert story.place("production").measure() == before
    assert what.version_served(story.place("production")) == what.sound and calendars(story, "production") < 500
    row("a broken version with 20 tracebacks in the log, rolled back", f"digests equal, serves {what.sound}")

    # A draft release is tried in development and rolled back there.
    at.draft(what.draft)
    at.prove(what.draft)
    tried = story.deployed_by_ci(what.draft, "development")
    assert tried["state"] == "succeeded", tried
    back = story.roll_back(tried["id"])
    assert back["state"] == "rolled_back", back
    effects = story.effects("development", tried["id"])
    assert effects["service_control:started"] == 2 and effects["code_deploy:switched"] == 2, effects
    row("a draft in development, rolled back", f"started {effects['service_control:started']} times: there and back")
    assert not at.faults, at.faults
