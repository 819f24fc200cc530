"""Adopting what already runs: measured on the target, by two people, and never after Ringi ran there."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from audit.models import Event
from audit.refusals import GateNotPassed, InvalidInput, NotPermitted, NotPossible
from environments.targets.target import render_configuration
from releases.models import DeployedVersion, Release
from releases.operations.deployed_version.place import install
from releases.operations.deployed_version.register import look, register, request_registration
from tests.releases.gates.asking import alter


@pytest.fixture
def laid(world: Any) -> Any:
    """Lay version 1.2.0 and its configuration on production, as somebody did before Ringi came."""
    root = Path(world.targets["production"].root)
    folder = root / "releases" / "1.2.0"
    folder.mkdir(parents=True)
    archive = root / "tree.tar"
    tree = world.built.trees["v1.2.0"]
    git = ["git", f"--git-dir={world.built.path}", "archive", "--format=tar", f"--output={archive}", tree]
    subprocess.run(git, check=True)
    subprocess.run(["tar", "-xf", str(archive), "-C", str(folder)], check=True)
    archive.unlink()
    (root / "current").symlink_to(folder)
    (root / "shared").mkdir()
    configured(world).write_bytes(render_configuration(world.configurations["production"].opened()))
    return world


def configured(world: Any) -> Path:
    return Path(world.targets["production"].root) / "shared" / "config.env"


def proposed(world: Any, version: str = "1.2.0", who: str = "operator", **given: Any) -> DeployedVersion:
    with world.acting_as(who):
        return request_registration(
            world.targets["production"].pk,
            **{"version": version, "configuration_id": world.configurations["production"].pk, "service": "none"}
            | given,
            reason="it has run there for a year",
        )


def test_two_people_register_what_is_measured_there(laid: Any) -> None:
    pointer = proposed(laid)
    assert pointer.unknown, "one person's word is not enough"
    with laid.acting_as("operator"), pytest.raises(NotPermitted, match="second person"):
        register(pointer.pk)
    with laid.acting_as("second_operator"):
        register(pointer.pk)
        with pytest.raises(NotPossible):
            register(pointer.pk)
    pointer = laid.fresh(pointer)
    assert (pointer.basis, pointer.unknown) == ("registered", False)
    assert (pointer.release.version, pointer.release.state) == ("1.2.0", "imported")
    assert pointer.code == laid.built.trees["v1.2.0"]


def test_another_tree_than_the_tags_is_refused(laid: Any) -> None:
    with pytest.raises(
        GateNotPassed, match=r"The Git tree hash on the deployment target differs from that of v1\.3\.0"
    ):
        proposed(laid, "1.3.0")
    (Path(laid.targets["production"].root) / "current" / "README.md").write_text("edited by hand")
    with pytest.raises(
        GateNotPassed, match=r"The Git tree hash on the deployment target differs from that of v1\.2\.0"
    ):
        proposed(laid)
    with pytest.raises(InvalidInput):
        proposed(laid, "9.9.9")
    assert not DeployedVersion.objects.exists() and not Release.objects.exists()


def test_another_configuration_is_refused(laid: Any) -> None:
    configured(laid).write_text('PORT="9999"\n')
    with pytest.raises(GateNotPassed, match="The configuration on the deployment target differs from version 1"):
        proposed(laid)


def test_a_target_that_changed_in_between_is_refused(laid: Any) -> None:
    pointer = proposed(laid)
    (Path(laid.targets["production"].root) / "current" / "README.md").write_text("edited by hand")
    with laid.acting_as("second_operator"), pytest.raises(GateNotPassed, match="target has changed since the"):
        register(pointer.pk)
    assert laid.fresh(pointer).unknown


def test_it_is_refused_once_ringi_ran_there(laid: Any) -> None:
    release = laid.planned()
    laid.verified_run(release, "production")
    with pytest.raises(NotPossible, match="This deployment target already has a deployment by Ringi"):
        proposed(laid)


@pytest.mark.parametrize("name", ["manager", "developer", "committee_a", "auditor", "outsider"])
def test_others_do_not_register(laid: Any, name: str) -> None:
    with pytest.raises(NotPermitted):
        proposed(laid, who=name)


def rows(world: Any, **given: Any) -> dict[str, Any]:
    with world.acting_as("operator"):
        looked = look(
            world.targets["production"].pk,
            **{"version": "1.2.0", "configuration_id": world.configurations["production"].pk, "service": "none"}
            | given,
        )
    return {one.key: one for one in looked.rows}


def test_each_difference_is_named_with_what_was_expected_and_found(laid: Any) -> None:
    assert {key: one.result for key, one in rows(laid).items()} == {
        "layout": "passed", "code": "passed", "configuration": "passed", "service": "unknown", "schema": "unknown",
    }  # fmt: skip
    wanted = configured(laid).read_text()
    configured(laid).write_text('PORT=8080\nTOKEN="abc"\n' + wanted.partition("\n")[0] + "\n")
    root = Path(laid.targets["production"].root)
    (root / "current").unlink()
    found = rows(laid)
    assert found["layout"].result == found["code"].result == found["configuration"].result == "failed"
    said = found["configuration"].says
    assert 'expected: PORT="8080"' in said and "found: PORT=8080" in said
    assert "found: TOKEN …" in said and "abc" not in said and "hidden-production" not in said
    with pytest.raises(GateNotPassed) as refused:
        proposed(laid)
    assert len(refused.value.reasons) == 3 and "there is no link current" in refused.value.reasons[0]


def test_only_a_configuration_of_that_environment_is_taken_and_offered(laid: Any, browsers: Any) -> None:
    with pytest.raises(InvalidInput, match="Choose a configuration of"):
        proposed(laid, configuration_id=laid.configurations["staging"].pk)
    page = browsers("operator").get(f"/admin/operation/deployed_version/register/{laid.targets['production'].pk}/")
    offered = page.context["form"].fields["configuration_id"].queryset
    assert [row.environment.slug for row in offered] == ["production"]


def test_what_is_said_of_the_service_must_be_what_is_seen(laid: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        alter(laid.targets["production"], options={"service": {"port": listening.getsockname()[1]}})
        with pytest.raises(GateNotPassed, match="expected does not run, found runs"):
            proposed(laid, service="stopped")
        assert "Ringi did not start this service" in rows(laid, service="runs")["service"].says
        proposed(laid, service="runs")
    with pytest.raises(InvalidInput, match="whether the service runs"):
        proposed(laid, service="")


def test_a_version_is_laid_from_the_repository_and_then_registered(world: Any) -> None:
    target = world.targets["production"]
    root = Path(target.root)
    (root / "shared").mkdir()
    configured(world).write_bytes(render_configuration(world.configurations["production"].opened()))
    with world.acting_as("operator"):
        with pytest.raises(GateNotPassed, match="not empty"):
            install(target.pk, version="1.2.0", reason="it ran there by hand")
        install(target.pk, version="1.2.0", beside=True, reason="it ran there by hand")
    assert (root / "current").resolve().parent == root / "releases"
    assert {event.operation for event in Event.objects.filter(operation__startswith="deployed_version:place")} == {
        "deployed_version:place", "deployed_version:placed",
    }  # fmt: skip
    assert proposed(world).basis == DeployedVersion.REQUESTED
    for name in ("developer", "auditor"):
        with world.acting_as(name), pytest.raises(NotPermitted):
            install(target.pk, version="1.2.0", beside=True, reason="x")


def test_a_folder_called_current_is_not_touched(world: Any) -> None:
    target = world.targets["production"]
    (Path(target.root) / "current").mkdir()
    with world.acting_as("operator"), pytest.raises(GateNotPassed, match="no link"):
        install(target.pk, version="1.2.0", beside=True, reason="x")


def test_the_page_shows_the_comparison_as_a_table(laid: Any, browsers: Any) -> None:
    form = {
        "version": "1.3.0", "configuration_id": laid.configurations["production"].pk, "service": "none",
        "reason": "x", "try": "1",
    }  # fmt: skip
    shown = browsers("operator").post(
        f"/admin/operation/deployed_version/register/{laid.targets['production'].pk}/", form
    )
    assert (
        "The Git tree hash on the deployment target differs from that of v1.3.0" in shown.text
        and 'id="tried"' in shown.text
    )
    assert not DeployedVersion.objects.exists()
