"""Registering a version that already runs: measured on the target, by two people, never after a deployment."""

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
def installed(world: Any) -> Any:
    """Install version 1.2.0 and its configuration on production, as the operators did before Ringi."""
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


def registration_requested(world: Any, version: str = "1.2.0", who: str = "operator", **given: Any) -> DeployedVersion:
    with world.acting_as(who):
        return request_registration(
            world.targets["production"].pk,
            **{"version": version, "configuration_id": world.configurations["production"].pk, "service": "none"}
            | given,
            reason="it has run there for a year",
        )


def test_two_people_register_the_measured_version(installed: Any) -> None:
    pointer = registration_requested(installed)
    assert pointer.unknown, "one person's word is not enough"
    with installed.acting_as("operator"), pytest.raises(NotPermitted, match="second person"):
        register(pointer.pk)
    with installed.acting_as("second_operator"):
        register(pointer.pk)
        with pytest.raises(NotPossible):
            register(pointer.pk)
    pointer = installed.fresh(pointer)
    assert (pointer.basis, pointer.unknown) == ("registered", False)
    assert (pointer.release.version, pointer.release.state) == ("1.2.0", "imported")
    assert pointer.code == installed.built.trees["v1.2.0"]


def test_a_tree_other_than_the_tags_is_refused(installed: Any) -> None:
    with pytest.raises(
        GateNotPassed, match=r"The Git tree hash on the deployment target differs from that of v1\.3\.0"
    ):
        registration_requested(installed, "1.3.0")
    (Path(installed.targets["production"].root) / "current" / "README.md").write_text("edited by hand")
    with pytest.raises(
        GateNotPassed, match=r"The Git tree hash on the deployment target differs from that of v1\.2\.0"
    ):
        registration_requested(installed)
    with pytest.raises(InvalidInput):
        registration_requested(installed, "9.9.9")
    assert not DeployedVersion.objects.exists() and not Release.objects.exists()


def test_another_configuration_is_refused(installed: Any) -> None:
    configured(installed).write_text('PORT="9999"\n')
    with pytest.raises(GateNotPassed, match="The configuration on the deployment target differs from version 1"):
        registration_requested(installed)


def test_a_target_that_changed_in_between_is_refused(installed: Any) -> None:
    pointer = registration_requested(installed)
    (Path(installed.targets["production"].root) / "current" / "README.md").write_text("edited by hand")
    with installed.acting_as("second_operator"), pytest.raises(GateNotPassed, match="target has changed since the"):
        register(pointer.pk)
    assert installed.fresh(pointer).unknown


def test_registering_is_refused_once_ringi_deployed_there(installed: Any) -> None:
    release = installed.planned()
    installed.verified_deployment(release, "production")
    with pytest.raises(NotPossible, match="This deployment target already has a deployment by Ringi"):
        registration_requested(installed)


@pytest.mark.parametrize("name", ["manager", "developer", "committee_a", "auditor", "outsider"])
def test_other_roles_may_not_register(installed: Any, name: str) -> None:
    with pytest.raises(NotPermitted):
        registration_requested(installed, who=name)


def rows(world: Any, **given: Any) -> dict[str, Any]:
    with world.acting_as("operator"):
        looked = look(
            world.targets["production"].pk,
            **{"version": "1.2.0", "configuration_id": world.configurations["production"].pk, "service": "none"}
            | given,
        )
    return {one.key: one for one in looked.rows}


def test_each_difference_names_the_expected_and_the_found_value(installed: Any) -> None:
    assert {key: one.result for key, one in rows(installed).items()} == {
        "layout": "passed",
        "code": "passed",
        "configuration": "passed",
        "service": "unknown",
        "schema": "unknown",
    }
    wanted = configured(installed).read_text()
    configured(installed).write_text('PORT=8080\nTOKEN="abc"\n' + wanted.partition("\n")[0] + "\n")
    root = Path(installed.targets["production"].root)
    (root / "current").unlink()
    found = rows(installed)
    assert found["layout"].result == found["code"].result == found["configuration"].result == "failed"
    said = found["configuration"].says
    assert 'expected: PORT="8080"' in said and "found: PORT=8080" in said
    assert "found: TOKEN …" in said and "abc" not in said and "hidden-production" not in said
    with pytest.raises(GateNotPassed) as refused:
        registration_requested(installed)
    assert len(refused.value.reasons) == 3 and "there is no link current" in refused.value.reasons[0]


def test_only_a_configuration_of_that_environment_is_accepted_and_offered(installed: Any, browsers: Any) -> None:
    with pytest.raises(InvalidInput, match="Choose a configuration of"):
        registration_requested(installed, configuration_id=installed.configurations["staging"].pk)
    page = browsers("operator").get(f"/admin/operation/deployed_version/register/{installed.targets['production'].pk}/")
    offered = page.context["form"].fields["configuration_id"].queryset
    assert [row.environment.slug for row in offered] == ["production"]


def test_the_stated_service_must_be_the_observed_one(installed: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        alter(installed.targets["production"], options={"service": {"port": listening.getsockname()[1]}})
        with pytest.raises(GateNotPassed, match="expected does not run, found runs"):
            registration_requested(installed, service="stopped")
        assert "Ringi did not start this service" in rows(installed, service="runs")["service"].says
        registration_requested(installed, service="runs")
    with pytest.raises(InvalidInput, match="whether the service runs"):
        registration_requested(installed, service="")


def test_a_version_is_installed_from_the_repository_and_then_registered(world: Any) -> None:
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
        "deployed_version:place",
        "deployed_version:placed",
    }
    assert registration_requested(world).basis == DeployedVersion.REQUESTED
    for name in ("developer", "auditor"):
        with world.acting_as(name), pytest.raises(NotPermitted):
            install(target.pk, version="1.2.0", beside=True, reason="x")


def test_a_folder_called_current_is_not_touched(world: Any) -> None:
    target = world.targets["production"]
    (Path(target.root) / "current").mkdir()
    with world.acting_as("operator"), pytest.raises(GateNotPassed, match="no link"):
        install(target.pk, version="1.2.0", beside=True, reason="x")


def test_the_page_shows_the_comparison_as_a_table(installed: Any, browsers: Any) -> None:
    form = {
        "version": "1.3.0",
        "configuration_id": installed.configurations["production"].pk,
        "service": "none",
        "reason": "x",
        "try": "1",
    }
    shown = browsers("operator").post(
        f"/admin/operation/deployed_version/register/{installed.targets['production'].pk}/", form
    )
    assert (
        "The Git tree hash on the deployment target differs from that of v1.3.0" in shown.text
        and 'id="tried"' in shown.text
    )
    assert not DeployedVersion.objects.exists()
