"""The container of a target: run by digest, proved by what its engine reports, replaced, stopped and removed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from config.development.ports import free_port
from environments.targets.base import Fenced, Probe, StepContext, StepFailed, TargetSpec, Version
from environments.targets.container import container_of, state_of
from environments.targets.measured import measure
from environments.targets.target import holding, journal_lines
from releases.check_types import by_name as check_named
from releases.check_types.base import CheckContext, Result
from releases.step_types import by_name
from tests.containers import Containers, containers_or_skip
from tests.releases.sources.repositories import SSHD, key, over_ssh


@pytest.fixture(scope="module")
def site() -> Iterator[Containers]:
    yield from containers_or_skip()


@pytest.fixture(scope="module")
def digests(site: Containers) -> dict[str, str]:
    """Version → digest of the image that serves its number; `broken` ends at once, `silent` serves nothing."""
    return {
        **{version: site.image("app", version) for version in ("1.0.0", "1.1.0")},
        "broken": site.image("app", "broken", start="echo no such setting: LIMIT; exit 7"),
        "silent": site.image("app", "silent", start="exec /bin/busybox sleep 600"),
    }


class Place:
    """A target with a container, and attempts of its steps."""

    def __init__(self, root: Path, site: Containers, digests: dict[str, str]) -> None:
        self.site, self.digests, self.port = site, digests, free_port()
        self.name = f"app-{self.port}"
        (root / "shared").mkdir(parents=True)
        (root / "shared" / "config.env").write_text(f"PORT={self.port}\n")
        settings = {
            "container": {"name": self.name, "options": ["--network", "host", "--env-file", "{config}"]},
            "service": {
                "ready": {"url": f"http://127.0.0.1:{self.port}/", "seconds": 8},
                "stable_seconds": 0.3,
                "stop_seconds": 1,
            },
        }
        self.spec = TargetSpec("sample", "production", root, settings)
        self.shown, self.attempts = bytearray(), 0

    def version(self, name: str) -> Version:
        reference = f"{self.site.registry}/app"
        return Version(name, f"v{name}", "a" * 40, "b" * 40, "image", reference, self.digests.get(name, name))

    def context(self, wanted: str | None, key: str = "1/1/x", **changes: Any) -> StepContext:
        self.attempts += 1
        context = StepContext(
            key=key,
            fencing_token=self.attempts,
            deployment_key="deployment:1",
            target=self.spec,
            repository="",
            wanted=self.version(wanted) if wanted else None,
            previous=None,
            configuration={},
            previous_configuration={},
            earlier={},
            deadline_seconds=60,
            output=self.shown.extend,
            heartbeat=lambda: None,
        )
        return replace(context, **changes)

    def run(self, wanted: str | None, key: str = "1/1/x", action: str = "run", **changes: Any) -> dict[str, Any]:
        kind = by_name("container")
        return kind.run(self.context(wanted, key, **changes), kind.parameters.model_validate({"action": action}))

    def probe(self, wanted: str | None, key: str = "1/1/x", action: str = "run") -> tuple[Probe, dict[str, Any]]:
        kind = by_name("container")
        return kind.probe(self.context(wanted, key), kind.parameters.model_validate({"action": action}))

    def page(self) -> str:
        return httpx.get(f"http://127.0.0.1:{self.port}/", timeout=3).text

    @property
    def code(self) -> str:
        return measure(self.spec, {}).code

    def effects(self) -> list[str]:
        return [line["effect"] for line in journal_lines(self.spec)]


@pytest.fixture
def place(
    tmp_path: Path, site: Containers, digests: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    """A target on this machine, which may run containers here."""
    monkeypatch.setenv("RINGI_LOCAL_CONTAINERS", "1")
    monkeypatch.setenv("PATH", site.path)
    made = Place(tmp_path / "target", site, digests)
    yield made
    site.podman("rm", "--force", "--time", "0", made.name, code=None)


@pytest.fixture
def elsewhere(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """The same target, reached over ssh; nothing may run on the worker's own machine."""
    if SSHD is None:
        pytest.skip("sshd is not installed: nothing can be reached over ssh")
    own = key(tmp_path / "own")
    with over_ssh(tmp_path / "sshd", own.with_suffix(".pub"), SetEnv=f"PATH={place.site.path}") as (site, known):
        parts = urlsplit(site)
        settings = {"host": parts.hostname, "port": parts.port, "user": parts.username, "known_hosts": known}
        options = {**place.spec.settings, "ssh": settings | {"python": sys.executable}}
        place.spec = replace(place.spec, settings=options, ssh_key=own.read_text())
        monkeypatch.delenv("RINGI_LOCAL_CONTAINERS")
        yield place


def _goes_forth_and_back(place: Place) -> None:
    assert place.probe("1.0.0")[0] is Probe.NOT_DONE
    facts = place.run("1.0.0")
    assert (facts["code"], facts["code_before"]) == (place.digests["1.0.0"], "") and place.page() == "1.0.0"
    assert place.code == place.digests["1.0.0"], "what is measured is the image that runs"
    assert place.probe("1.0.0")[0] is Probe.DONE
    facts = place.run("1.1.0", "2/1/x")
    assert (facts["code"], facts["code_before"]) == (place.digests["1.1.0"], place.digests["1.0.0"])
    assert place.page() == "1.1.0" and place.probe("1.0.0")[0] is Probe.NOT_DONE
    place.run("1.0.0", "2/9/x")
    assert (place.page(), place.code) == ("1.0.0", place.digests["1.0.0"])
    place.run(None, "3/9/x")
    assert place.code == "" and place.probe(None, "3/9/x")[0] is Probe.DONE


def test_a_container_is_replaced_by_digest_and_back(place: Place) -> None:
    _goes_forth_and_back(place)


def test_the_same_on_another_host(elsewhere: Place) -> None:
    _goes_forth_and_back(elsewhere)


def test_on_the_workers_own_machine_it_must_be_allowed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RINGI_LOCAL_CONTAINERS")
    with pytest.raises(StepFailed, match="RINGI_LOCAL_CONTAINERS"):
        place.run("1.0.0")


def test_an_image_that_the_registry_does_not_have_leaves_the_container_alone(place: Place) -> None:
    place.run("1.0.0")
    with pytest.raises(StepFailed):
        place.run("0" * 64, "2/1/x")
    assert place.page() == "1.0.0" and place.probe("1.0.0")[0] is Probe.DONE


@pytest.mark.parametrize(("wanted", "why"), [("broken", "no such setting: LIMIT"), ("silent", "does not answer")])
def test_a_container_that_does_not_serve_fails(place: Place, wanted: str, why: str) -> None:
    place.run("1.0.0")
    with pytest.raises(StepFailed, match=why) as failed:
        place.run(wanted, "2/1/x")
    if wanted == "broken":
        assert "exit code 7" in str(failed.value)
    assert place.probe(wanted, "2/1/x")[0] is Probe.NOT_DONE
    place.run("1.0.0", "2/9/x")
    assert place.page() == "1.0.0"


@pytest.mark.parametrize(("wanted", "action"), [("1.1.0", "run"), ("1.1.0", "stop"), (None, "run")])
def test_the_container_of_another_target_is_left_alone(
    place: Place, tmp_path: Path, wanted: str | None, action: str
) -> None:
    """Two applications on one host have chosen the same name."""
    other = Place(tmp_path / "other", place.site, place.digests)
    other.spec.settings["container"]["name"] = place.name
    place.run("1.0.0")
    with pytest.raises(StepFailed, match=f"belongs to the deployment target in {place.spec.root}"):
        other.run(wanted, "2/1/x", action)
    assert place.page() == "1.0.0" and place.probe("1.0.0")[0] is Probe.DONE
    place.run("1.1.0", "3/1/x")


def test_a_lost_attempt_is_continued_and_the_container_is_started_once(place: Place) -> None:
    """A worker was lost after the engine's own start: the next attempt finds the container by its labels."""
    place.run("1.0.0", "0/1/x")
    settings = container_of(place.spec.settings)
    assert settings is not None

    def lost_after_start() -> None:
        state = state_of(place.spec, settings)
        if state is not None and state.key == "1/1/x":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        place.run("1.1.0", heartbeat=lost_after_start)
    before = state_of(place.spec, settings)
    assert before is not None and place.probe("1.1.0")[0] is Probe.NOT_DONE, "the journal has no line of it yet"
    facts = place.run("1.1.0")
    assert facts["started_at"] == before.started_at
    assert place.probe("1.1.0")[0] is Probe.DONE


def test_a_container_that_was_exchanged_by_hand_is_seen(place: Place) -> None:
    place.run("1.0.0")
    place.site.podman("rm", "--force", "--time", "0", place.name)
    image = f"{place.site.registry}/app@sha256:{place.digests['silent']}"
    place.site.podman("run", "-d", "--name", place.name, "--label", f"ringi.digest={place.digests['1.0.0']}", image)
    assert place.code == place.digests["silent"], "a label is no measurement"
    result, facts = place.probe("1.0.0")
    assert result is Probe.NOT_DONE and place.digests["silent"][:12] in facts["why"]


def test_a_stop_is_found_and_a_lower_token_refused(place: Place) -> None:
    place.run("1.0.0")
    place.run("1.0.0", "2/1/x", action="stop")
    assert place.probe("1.0.0", "2/1/x", action="stop")[0] is Probe.DONE
    with pytest.raises(httpx.HTTPError):
        place.page()
    with holding(place.context("1.0.0", "3/1/x", fencing_token=50)):
        pass
    with pytest.raises(Fenced):
        place.run("1.0.0", "3/1/x")


def test_a_release_without_an_image_is_refused(place: Place) -> None:
    kind = by_name("container")
    context = replace(place.context("1.0.0"), wanted=Version("1.0.0", "v1.0.0", "a" * 40, "b" * 40))
    for act in (kind.run, kind.describe):
        with pytest.raises(StepFailed, match="no container image"):
            act(context, kind.parameters())
    with pytest.raises(StepFailed, match="container image"):
        by_name("code_deploy").run(place.context("1.0.0"), by_name("code_deploy").parameters())


def test_the_dry_run_names_the_image_by_digest(place: Place) -> None:
    kind = by_name("container")
    lines = kind.describe(place.context("1.1.0"), kind.parameters())
    assert lines[0] == f"podman pull {place.site.registry}/app@sha256:{place.digests['1.1.0']}"
    assert f"--env-file {place.spec.root}/shared/config.env" in lines[-1]


def test_the_check_of_the_service_looks_at_the_container(place: Place) -> None:
    check: Callable[..., Any] = check_named("service_state").run
    parameters = check_named("service_state").parameters

    def looked(**given: Any) -> Any:
        return check(CheckContext(place.spec, {}, (), deployment="deployment:1"), parameters(**given))

    assert looked().result is Result.FAILED
    assert looked(running=False).result is Result.PASSED
    place.run("1.0.0")
    assert looked().result is Result.PASSED
    assert looked(running=False).result is Result.FAILED
    assert looked(up_seconds=600).result is Result.FAILED
    place.site.podman("stop", "--time", "0", place.name)
    assert looked().result is Result.FAILED
