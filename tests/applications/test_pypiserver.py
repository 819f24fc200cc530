"""pypiserver by a pipeline that waits and reports: plan, production, a failed job, a broken version, its rollback."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.applications.organisation import Application, Organisation
from tests.applications.pypiserver import PyPIServer
from tests.applications.story import Story

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def story(organisation: Callable[[Application], Organisation], installed: Path) -> Iterator[Story]:
    if lacking := [name for name in ("curl", "jq", "git") if shutil.which(name) is None]:
        pytest.skip(f"not installed: {', '.join(lacking)}")
    played = Story(organisation(PyPIServer(installed)))
    yield played
    played.end()


def test_pypiserver(story: Story, record_property: Callable[[str, object], None]) -> None:
    at, what, production = story.at, story.what, story.place("production")
    assert isinstance(what, PyPIServer)

    def row(did: str, seen: object) -> None:
        record_property("row", (what.slug, did, str(seen)))

    def deployed(version: str) -> int:
        at.manager.do("release:sign_final_check", at.release[version])
        at.operator.do("release:sign_final_check", at.release[version])
        made = at.operator.do("deployment:request", at.release[version], environment_id=at.ids["production"])
        assert what.job(at, production, version) == 0
        at.checks_done(made)
        at.verify(made)
        return int(made)

    # Without an approval the first call is refused, so the job ends and deploys nothing.
    at.plan(what.before)
    assert what.job(at, production, what.before) != 0
    assert what.version_served(production) == "" and not (what.folder(production) / "app").exists()
    row("a job before the approval", "refused: nothing is deployed")

    at.prepare(what.before)
    first = deployed(what.before)
    assert {what.version_served(place) for place in at.places.values()} == {what.before}
    row("three environments by the lines of the page", f"each serves {what.before}")

    # Another job holds the lock, so deploy.sh fails; the pipeline reports it, and the next job deploys.
    development = story.place("development")
    at.plan(what.sound)
    (what.folder(development) / "lock").mkdir()
    assert what.job(at, development, what.sound) != 0
    (what.folder(development) / "lock").rmdir()
    wanted = {"application": what.slug, "environment": "development", "limit": 1}
    (failed,) = at.service.demand("GET", "/deployments", params=wanted)["items"]
    state = story.ended(failed["id"])["state"]
    assert (failed["version"], state) == (what.sound, "failed") and what.version_served(development) == what.before
    assert what.job(at, development, what.sound) == 0
    assert what.version_served(development) == what.sound
    row("a job that cannot deploy, and the next one", f"{state}, then it serves {what.sound}")

    at.prepare(what.broken)
    at.finished(first, {"succeeded"}, 90)
    deployment = deployed(what.broken)
    assert production.answer("/simple/demo/")[0] == 500
    with ThreadPoolExecutor() as pool:
        job = pool.submit(what.job_for_rollback, at, production, deployment)
        ended = story.roll_back(deployment)
        assert job.result(60) == 0
    assert ended["state"] == "rolled_back", ended
    steps = [(step["step_type"], step["state"]) for step in ended["steps"] if step["phase"] == "rollback"]
    assert steps == [("external", "succeeded")]
    assert what.version_served(production) == what.before and production.answer("/simple/demo/")[0] == 200
    row("a version that lists no package, rolled back by a job", f"serves {what.before} again")
    assert not at.faults, at.faults
