"""A container by digest on three targets in batches: the second batch fails, the first goes back, the third is left."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.applications.organisation import Application, Organisation
from tests.applications.portal import Portal
from tests.applications.story import Story
from tests.containers import Containers

pytestmark = pytest.mark.timeout(600)


def test_portal(
    organisation: Callable[[Application], Organisation],
    containers_here: Containers | str,
    record_property: Callable[[str, object], None],
) -> None:
    if isinstance(containers_here, str):
        pytest.skip(containers_here)
    what = Portal(containers_here)
    at = organisation(what)
    story = Story(at)
    main, b, c = at.copies["production"]
    what.refused_port = b.port

    def row(did: str, seen: object) -> None:
        record_property("row", (what.slug, did, str(seen)))

    at.prepare(what.sound)
    deployment = at.go(what.sound)
    at.checks_done(deployment)
    at.verify(deployment)
    at.finished(deployment, {"succeeded"}, 90)
    assert [what.version_served(place) for place in (main, b, c)] == [what.sound] * 3
    images = what.containers.podman("ps", "--format", "{{.Image}}", "--filter", f"name={what.slug}-").splitlines()
    assert images == [f"{what.containers.registry}/{what.slug}@sha256:{what.digests[what.sound]}"] * 5
    row("one image through three environments, three targets", f"sha256:{what.digests[what.sound][:12]} on all five")

    untouched = what.started_at(c)
    at.prepare(what.broken)
    deployment = at.go(what.broken)
    at.finished(deployment, {"awaiting_decision"})
    assert what.version_served(main) == what.broken and what.version_served(c) == what.sound
    row("a version that does not start on the second target", "waits; the third target is not touched")
    ended = story.roll_back(deployment)
    assert ended["state"] == "rolled_back", ended
    back = {step["target"] for step in ended["steps"] if step["phase"] == "rollback"}
    assert back == {"main", "b"}
    assert [what.version_served(place) for place in (main, b, c)] == [what.sound] * 3
    assert what.started_at(c) == untouched
    row("rolled back", "two targets serve the earlier image; the third ran on")
    assert not at.faults, at.faults
