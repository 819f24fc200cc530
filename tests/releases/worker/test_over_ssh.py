"""Deployments to a target on another host: the key comes from the secrets, and never reaches the target."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.utils import translation

from audit.actor import acting
from audit.clock import now
from audit.refusals import InvalidInput
from environments.models import ConfigurationVersion, DeploymentTarget
from environments.operations.configuration.create import create
from environments.targets.target import journal_lines
from releases.models import DeployedVersion, Deployment, Release, StepOutput
from releases.operations.dump.delete import delete
from releases.operations.release.sign_final_check import NOT_MEASURED, facts_now
from releases.queries.target_spec import configuration_of, spec_of
from releases.queries.target_validity import require_valid
from releases.worker.dry_run import dry_run
from releases.worker.executor import run_from
from tests.environments.targets.ssh.conftest import processes
from tests.releases.gates.asking import alter, make
from tests.releases.operations.test_dumps import backup
from tests.releases.step_types.conftest import Host, host, wait_for

from .conftest import WORKER, first, row, states

__all__ = ["host"]


@pytest.fixture
def reached(world: Any, host: Host) -> Callable[[str], Any]:
    """Return a function: reach an environment's target over ssh, with the key among its secrets."""

    def move(name: str, **secrets: str) -> Any:
        with world.acting_as("manager"):
            world.configurations[name] = create(
                application_id=world.application.pk,
                environment_id=world.environments[name].pk,
                values={"PORT": "9090"},
                secrets={"PASSWORD": "hidden-word", "TARGET_SSH_KEY": host.key} | secrets,
                reason="by ssh",
            )
        return alter(world.targets[name], options={"ssh": host.settings})

    return move


def _step(kind: str, **parameters: Any) -> dict[str, Any]:
    return row([]) | {"step_type": kind, "parameters": parameters}


def test_a_deployment_succeeds_on_the_host_and_the_key_stays_here(
    world: Any, queued: Callable[..., Deployment], reached: Any, host: Host
) -> None:
    target = reached("development")
    deployment = queued(
        _step("configuration_update"), _step("code_deploy"), row(["sh", "-c", "echo on $RINGI_TARGET_ROOT"])
    )
    with acting(WORKER):
        run_from(first(deployment).pk)
    assert states(deployment) == ["succeeded"] * 4
    deployment = world.fresh(deployment)
    assert deployment.state == "succeeded" and deployment.measured["verification"]["code"] == deployment.release.tree
    written = (Path(target.root) / "shared" / "config.env").read_text()
    assert "hidden-word" in written and "PRIVATE KEY" not in written and "TARGET_SSH_KEY" not in written
    assert [line["effect"] for line in journal_lines(spec_of(target))][:3] == [
        *("configuration_update:written", "code_deploy:laid", "code_deploy:switched")
    ]
    said = "".join(StepOutput.objects.filter(step__deployment=deployment).values_list("text", flat=True))
    assert f"on {target.root}" in said
    assert host.settings["python"] == sys.executable and len(list(Path(target.root).glob(".ringi/*.pyz"))) == 1


def test_a_lost_connection_leaves_an_unknown_outcome_and_no_process(
    world: Any, queued: Callable[..., Deployment], reached: Any
) -> None:
    target = reached("development")
    begun = Path(target.root) / "begun"
    code = "import pathlib, sys, time; pathlib.Path(sys.argv[1]).touch(); time.sleep(600)"
    deployment = queued(row([sys.executable, "-c", code, str(begun)]))

    def cut() -> None:
        wait_for(begun.exists, 60)
        for pid in processes("IdentityFile=/proc/", target.root):
            os.kill(pid, signal.SIGKILL)

    thread = threading.Thread(target=cut)
    thread.start()
    with acting(WORKER):
        run_from(first(deployment).pk)
    thread.join()
    step = first(deployment)
    assert step.attempts.get().outcome == "unknown" and "was lost" in step.failure
    assert "The state of the deployment target is unknown" in step.failure
    assert world.fresh(deployment).state == "failed", "in a lower tier an unknown outcome fails the deployment"
    assert not list(processes(str(begun)))


def test_a_key_that_is_no_secret_is_refused(world: Any, host: Host) -> None:
    with world.acting_as("manager"):
        made = create(
            application_id=world.application.pk,
            environment_id=world.environments["staging"].pk,
            values={"PORT": "9090", "TARGET_SSH_KEY": host.key},
            secrets={},
            reason="in the open",
        )
    target = alter(world.targets["staging"], options={"ssh": host.settings})
    assert spec_of(target).ssh_key == ""
    assert "TARGET_SSH_KEY" not in configuration_of(made.pk)[0]


def test_an_unapproved_configuration_provides_no_key(world: Any, reached: Any, host: Host) -> None:
    target = reached("staging")
    place = {"application": world.application, "environment": world.environments["staging"]}
    agreed = ConfigurationVersion.objects.filter(**place).order_by("-number").first()
    with world.acting_as("operator"):
        slipped_in = create(
            application_id=world.application.pk,
            environment_id=world.environments["staging"].pk,
            values={"PORT": "1"},
            secrets={"TARGET_SSH_KEY": "garbage"},
            reason="tidy",
        )
    assert spec_of(target, agreed.pk).ssh_key == host.key, "a deployment uses the approved key"
    make(DeployedVersion, **place, release=world.planned(), configuration=agreed, since=now(), basis="verified")
    assert spec_of(target).ssh_key == host.key
    assert spec_of(target, slipped_in.pk).ssh_key != host.key


def test_the_key_may_be_on_one_line_and_is_in_no_text_of_the_target(world: Any, reached: Any, host: Host) -> None:
    target = reached("staging", TARGET_SSH_KEY=host.key.strip().replace("\n", "\\n"))
    spec = spec_of(target)
    assert spec.ssh_key == host.key and "PRIVATE" not in repr(spec)


def test_the_dry_run_names_the_host(world: Any, reached: Any, host: Host) -> None:
    target = reached("staging")
    place = f"{host.settings['user']}@127.0.0.1:{host.settings['port']}: "
    found = dry_run(world.planned(), world.environments["staging"])
    lines = [line for step in found if step.step_type != "check" for line in step.lines]
    assert lines and all(line.startswith(place) for line in lines)
    assert not any(step.fault for step in found)
    assert list(Path(target.root).iterdir()) == [], "a dry run connects to nothing"


def test_the_final_check_contacts_the_host_and_a_page_does_not(world: Any, reached: Any, host: Host) -> None:
    release = Release.objects.get(pk=world.planned().pk)
    target = reached("production")
    assert facts_now(release, connect=False)["target_reachable"] == NOT_MEASURED
    assert facts_now(release)["target_reachable"] is True
    alter(target, options={"ssh": host.settings | {"port": 9}})
    assert facts_now(release)["target_reachable"] is False


def test_an_expired_backup_is_deleted_on_the_host(world: Any, reached: Any) -> None:
    target, release = reached("production"), world.planned()
    old = backup(world, world.verified_deployment(release, "production"), 100)
    backup(world, world.verified_deployment(release, "production"), 10)
    with acting(WORKER):
        assert delete(old.pk)
    assert not Path(old.result["dump"]).parent.exists()
    (line,) = journal_lines(spec_of(target), effect="backup:deleted")
    assert line["deployment"] == f"deployment:{old.deployment_id}" and list(Path(target.root).glob(".ringi/*.pyz"))


def test_options_that_name_no_host_are_refused_on_entry() -> None:
    with translation.override("en"), pytest.raises(InvalidInput, match=r"ssh\.known_hosts"):
        require_valid({"ssh": {"host": "host.example", "user": "deploy", "known_hosts": ""}})
    assert DeploymentTarget._meta.get_field("options")
