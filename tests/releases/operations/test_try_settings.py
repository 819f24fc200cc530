"""A target's options are tried before they are saved: each part is passed, failed or unknown."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from audit.models import Event
from audit.refusals import InvalidInput, NotPermitted
from environments.models import DeploymentTarget
from environments.targets.examine import Found
from environments.targets.landlock import landlock
from releases.operations.target.test import try_settings, within
from tests.releases.gates.asking import alter
from tests.releases.metric_sources.pages import Page, Site, site
from tests.releases.step_types.conftest import Host, host

__all__ = ["host"]
PROGRAMS = "passed" if landlock() else "unknown"


@pytest.fixture
def pages() -> Iterator[Site]:
    with site() as made:
        yield made


def tried(world: Any, settings: dict[str, Any], *, root: str = "", who: str = "operator") -> dict[str, Found]:
    target = world.targets["staging"]
    with world.acting_as(who):
        found = try_settings(
            application_id=target.application_id,
            environment_id=target.environment_id,
            root=root or target.root,
            settings=settings,
            target_id=target.pk,
        )
    return {one.key: one for one in found}


def results(found: dict[str, Found]) -> dict[str, str]:
    return {key: one.result for key, one in found.items()}


def test_every_passed_result_names_the_observation(world: Any, pages: Site) -> None:
    pages.pages["/health"] = [Page("fine")]
    pages.pages["/metrics"] = [Page("up 1\n")]
    log = Path(world.targets["staging"].root, "shared", "app.log")
    log.parent.mkdir()
    log.write_text("started\n")
    found = tried(
        world,
        {
            "service": {"ready": {"url": f"{pages.base}/health"}},
            "metrics_url": f"{pages.base}/metrics",
            "private_networks": ["127.0.0.1"],
        },
    )
    keys = ("folder", "ready", "log", "repository", "metrics")
    assert results(found) == {**dict.fromkeys(keys, "passed"), "programs": PROGRAMS}, found
    assert "status 200" in found["ready"].says and "8 bytes" in found["log"].says
    assert world.fresh(world.targets["staging"]).options == {}, "nothing is kept"
    assert not any(Path(world.targets["staging"].root).glob(".ringi*")), "nothing is laid there"
    assert Event.objects.filter(operation="target:test", kind="operation").count() == 1


def test_every_failed_result_names_the_remedy(world: Any, pages: Site, tmp_path: Path) -> None:
    pages.pages["/health"] = [Page("no", status=404)]
    alter(world.application, repository=str(tmp_path))
    settings = {
        "service": {"ready": {"url": f"{pages.base}/health"}},
        "metrics_url": "http://127.0.0.1:9/metrics",
        "log": "elsewhere.log",
    }
    Path(world.targets["staging"].root, "elsewhere.log").symlink_to("/etc/hostname")
    found = tried(world, settings)
    assert results(found) == {
        "folder": "passed",
        "programs": PROGRAMS,
        "ready": "failed",
        "log": "failed",
        "repository": "failed",
        "metrics": "failed",
    }
    assert "404" in found["ready"].says and "outside the folder" in found["log"].says
    assert str(tmp_path) in found["repository"].says
    found = tried(world, {"service": {"ready": {"url": "http://127.0.0.1:9/"}}}, root="/srv/is-not-there")
    assert results(found) | {"repository": ""} == {
        "folder": "failed",
        "programs": PROGRAMS,
        "ready": "unknown",
        "log": "unknown",
        "repository": "",
        "metrics": "unknown",
    }
    assert "does not exist" in found["folder"].says and "nothing runs yet" in found["ready"].says


def test_invalid_options_are_not_tried_and_only_permitted_people_try(world: Any) -> None:
    with pytest.raises(InvalidInput, match="metrics_url"):
        tried(world, {"metric_url": "http://127.0.0.1/"})
    with pytest.raises(InvalidInput, match="Another deployment target is already there"):
        tried(world, {}, root=world.targets["production"].root)
    for name in ("auditor", "developer", "outsider"):
        with pytest.raises(NotPermitted):
            tried(world, {}, who=name)


def test_a_hanging_trial_is_unknown_after_its_time() -> None:
    began = time.monotonic()
    (one,) = within(0.2, "folder", lambda: [time.sleep(5)])
    assert (one.result, time.monotonic() - began < 2) == ("unknown", True)
    (one,) = within(2, "folder", lambda: [1 / 0])
    assert one.result == "unknown" and "division" in one.says


def test_another_host_is_connected_and_tried_there(world: Any, host: Host, tmp_path: Path) -> None:
    from environments.operations.configuration.create import create

    target = world.targets["staging"]
    found = tried(world, {"ssh": host.settings})
    assert results(found)["connection"] == "failed" and results(found)["folder"] == "unknown"
    assert "TARGET_SSH_KEY" in found["connection"].says
    with world.acting_as("manager"):
        create(
            application_id=target.application_id,
            environment_id=target.environment_id,
            values={},
            secrets={"TARGET_SSH_KEY": host.key},
            reason="by ssh",
        )
    found = tried(world, {"ssh": host.settings})
    assert results(found)["connection"] == results(found)["folder"] == "passed", found
    assert results(found)["programs"] == "unknown" and "for signing in on the host" in found["programs"].says


def test_the_form_button_shows_the_results_and_saves_nothing(world: Any, browsers: Any) -> None:
    target = world.targets["staging"]
    form = {"root": target.root, "reason": "", "log": "shared/other.log", "try": "1"}
    shown = browsers("operator").post(
        f"/admin/operation/target/set_options/{target.pk}/", form | {"reason": "another log"}
    )
    assert shown.status_code == 200 and 'id="tried"' in shown.text
    assert "shared/other.log does not exist yet" in shown.text
    assert DeploymentTarget.objects.get(pk=target.pk).options == {}
    assert 'name="try"' in browsers("operator").get("/admin/operation/target/create/").text


def test_an_unreadable_repository_is_named_before_the_application_is_saved(world: Any, browsers: Any) -> None:
    from environments.models import Application

    form = {"slug": "other", "name": "Other", "repository": "/srv/nowhere.git", "tag_format": "v{version}"}
    manager = browsers("manager")
    shown = manager.post("/admin/operation/application/create/", form)
    assert "There is no repository at /srv/nowhere.git" in shown.text and not Application.objects.filter(slug="other")
    again = manager.post("/admin/operation/application/create/", form | {"confirmed": shown.context["confirmed"]})
    assert again.status_code == 302 and Application.objects.filter(slug="other").exists()
    third = form | {"slug": "third", "repository": world.application.repository}
    assert manager.post("/admin/operation/application/create/", third).status_code == 302, (
        "one that is read asks nothing"
    )
