"""A dry run names every command of the plan with masked secrets, and changes neither target, database nor ledger."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.urls import reverse

from audit.models import Event
from environments.operations.configuration.create import create
from releases import step_types
from releases.models import Release
from releases.operations.release.plan import set_configuration
from releases.worker.dry_run import dry_run
from tests.releases.api.conftest import ask, managing, token_for
from tests.releases.gates.asking import alter

from .conftest import plan, row

__all__ = ["managing"]
SECRET = 'k"ey/+ é &word'


def everything(folder: Path) -> dict[str, tuple[Any, ...]]:
    """Path → type, content, times and inode of every file below a folder."""
    found: dict[str, tuple[Any, ...]] = {}
    for path in sorted([folder, *folder.rglob("*")]):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else os.fsencode(path)
        found[str(path)] = (status.st_mode, status.st_ino, status.st_mtime_ns, status.st_ctime_ns, content)
    return found


@pytest.fixture
def planned(world: Any) -> Release:
    """A release with the default plan and configurations with a secret of difficult characters."""
    release = world.planned()
    for name in ("staging", "production"):
        with world.acting_as("manager"):
            configuration = create(
                application_id=world.application.pk,
                environment_id=world.environments[name].pk,
                values={"PORT": "9090"},
                secrets={"PASSWORD": SECRET, "DATABASE_URL": "postgresql://app:hidden-word@127.0.0.1:1/none"},
                reason="second",
            )
            set_configuration(release.pk, configuration_id=configuration.pk)
        target = world.targets[name]
        settings = {
            "migrate": ["{tree}/migrate", "--config", "{config}", f"--word={SECRET}"],
            "service": {"start": ["{tree}/run", "hidden-word"]},
        }
        alter(target, options=settings)
        root = Path(target.root)
        (root / "shared").mkdir()
        (root / "shared" / "config.env").write_text('PORT="8080"\n')
        (root / ".ringi").mkdir()
        (root / ".ringi" / "journal.jsonl").write_text("")
    return world.fresh(release)


def test_the_dry_run_names_each_command_of_each_step(world: Any, planned: Release) -> None:
    found = dry_run(planned, world.environments["staging"])
    kinds = [
        step["step_type"]
        for phase in ("deployment", "verification", "rollback", "rollback_verification")
        for step in planned.step_plan[phase]
    ]
    assert [step.step_type for step in found] == kinds
    assert [step.ordinal for step in found] == list(range(1, len(found) + 1))
    assert all(step.lines or step.fault for step in found)
    said = {step.step_type: "\n".join(step.lines) for step in found if step.phase == "deployment"}
    root = world.targets["staging"].root
    assert "pg_dump --format=custom" in said["backup"]
    assert f"{root}/shared/maintenance" in said["maintenance_mode"] or "nothing" in said["maintenance_mode"]
    assert planned.commit in said["code_deploy"] and planned.tree in said["code_deploy"]
    assert f"{root}/current/migrate --config {root}/shared/config.env" in said["database_update"]
    assert "+DATABASE_URL" in said["configuration_update"] and "+PORT" in said["configuration_update"]
    assert f"{root}/current/run" in said["service_control"]


def test_a_target_without_a_database_shows_no_database_command(world: Any) -> None:
    """A migration is the application's own; Ringi dumps and restores a database only."""
    release = world.planned()
    assert not any("DATABASE_URL" in {**c.values, **c.encrypted} for c in world.configurations.values())
    said = {(s.phase, s.step_type): s.lines for s in dry_run(release, world.environments["staging"])}
    assert said["deployment", "backup"] == ("no data store is configured: nothing to dump",)
    assert said["rollback", "database_update"] == ("no data store is configured: nothing to restore",)


def test_secrets_are_masked_in_the_dry_run(world: Any, planned: Release) -> None:
    for name in ("staging", "production"):
        said = str(dry_run(planned, world.environments[name]))
        assert "****" in said
        for word in (SECRET, "hidden-word", 'k"ey', 'k\\"ey'):
            assert word not in said, word


def test_target_database_and_ledger_stay_unchanged(world: Any, planned: Release) -> None:
    roots = [Path(target.root) for target in world.targets.values()]
    before = [everything(root) for root in roots]
    events = Event.objects.count()
    with connection.execute_wrapper(reading_only):
        for name in ("development", "staging", "production"):
            assert dry_run(planned, world.environments[name])
    assert [everything(root) for root in roots] == before
    assert Event.objects.count() == events


def reading_only(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
    assert sql.lstrip().upper().startswith("SELECT"), sql
    return execute(sql, params, many, context)


def test_the_dry_run_starts_no_command(world: Any, planned: Release, monkeypatch: pytest.MonkeyPatch) -> None:
    def begun(*given: Any, **options: Any) -> None:
        raise AssertionError(f"{given} was begun")

    monkeypatch.setattr("subprocess.Popen", begun)
    monkeypatch.setattr("psycopg.connect", begun)
    assert dry_run(planned, world.environments["staging"])


def test_a_step_that_cannot_run_is_reported_and_hides_no_other(world: Any, planned: Release) -> None:
    unknown = {**row(["/bin/true"]), "step_type": "gone"}
    wrong = {**row(["/bin/true"]), "parameters": {"argv": [], "word": SECRET}}
    release = alter(planned, step_plan=plan(unknown, wrong, row(["/bin/echo", SECRET])))
    first, second, third = dry_run(release, world.environments["staging"])[:3]
    assert "gone" in first.fault and second.fault and SECRET not in second.fault
    assert third.lines == ("/bin/echo '****'",) and not third.fault


def test_every_type_describes_itself_without_a_target(world: Any, planned: Release) -> None:
    """The target's folder need not exist on the machine that shows the page."""
    alter(world.targets["staging"], root="/nowhere/at/all")
    found = dry_run(world.fresh(planned), world.environments["staging"])
    in_no_default_plan = {
        "container",
        "pipeline_run",
        "external",
        "command",
        "ansible_playbook",
        "http_call",
        "manual",
        "wait",
    }
    assert {step.step_type for step in found} >= {kind.name for kind in step_types.STEP_TYPES} - in_no_default_plan
    assert not [step.fault for step in found if step.fault]


def test_deadlines_of_a_plan_are_shown(world: Any, planned: Release) -> None:
    limited = {**row(["/bin/true"]), "deadline_seconds": 7, "no_output_timeout_seconds": 3}
    release = alter(planned, step_plan=plan(limited, row(["/bin/true"])))
    first, second = dry_run(release, world.environments["staging"])[:2]
    assert (first.deadline_seconds, first.no_output_timeout_seconds) == (7, 3)
    assert (second.deadline_seconds, second.no_output_timeout_seconds) == (60, None)
    assert replace(first, ordinal=1) == first


def test_the_dry_run_is_shown_to_readers_of_the_target(
    world: Any, planned: Release, browsers: Callable[[str], Any]
) -> None:
    address = reverse("dry-run", args=[planned.pk, "production"])
    html = browsers("operator").get(address).content.decode()
    assert "pg_dump" in html and "****" in html and "hidden-word" not in html
    assert browsers("auditor").get(address).status_code == 200
    for name in ("developer", "tester", "outsider"):
        assert browsers(name).get(address).status_code == 403, name
    assert browsers("operator").post(address).status_code == 405
    assert browsers("operator").get(reverse("dry-run", args=[planned.pk, "nowhere"])).status_code == 404


def test_the_api_returns_the_dry_run_with_the_log_right_only(world: Any, planned: Release, managing: str) -> None:
    path = f"/releases/{planned.pk}/dry-run/staging"
    assert ask("get", path, token=token_for(world, world.people["ci"], "staging")).status_code == 403
    answer = ask("get", path, token=managing)
    assert answer.status_code == 200, answer.content
    assert {entry["step_type"] for entry in answer.json()} >= {"backup", "code_deploy", "check"}
    assert "hidden-word" not in answer.content.decode()
