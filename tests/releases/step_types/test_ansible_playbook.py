"""A playbook over several hosts, by the real program: each host's result is kept, and it never repeats by itself."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from environments.targets.base import Probe, StepFailed
from environments.targets.target import journal_lines
from releases.step_types import by_name
from tests.releases.step_types.conftest import Target

PROGRAM = shutil.which("ansible-playbook")
needs_ansible = pytest.mark.skipif(PROGRAM is None, reason="ansible-playbook is not on the PATH (extra `ansible`)")
PLAYBOOK = """
- hosts: all
  gather_facts: false
  tasks:
    - copy:
        dest: "{{ playbook_dir }}/made-{{ inventory_hostname }}"
        content: "{{ ringi_version }} {{ ringi_configuration.LIMIT }} {{ word }}"
        mode: "0600"
      when: inventory_hostname != "calm"
    - debug:
        msg: "the secret is {{ ringi_configuration.SECRET }}"
    - fail:
        msg: "no more room"
      when: inventory_hostname in broken | default([])
"""
LOCAL = "ansible_connection=local ansible_python_interpreter=" + sys.executable


@pytest.fixture(params=["here", "over ssh"])
def fleet(bare_target: Target, request: pytest.FixtureRequest) -> Iterator[Target]:
    """A target whose options name an inventory of three machines, all of them this one."""
    (bare_target.spec.root / "deploy").mkdir()
    (bare_target.spec.root / "deploy" / "site.yml").write_text(PLAYBOOK)
    inventory = f"calm {LOCAL}\nbusy {LOCAL}\nspare {LOCAL}\n"
    ansible = {"inventory": inventory, "playbook": "deploy/site.yml", "program": PROGRAM or "ansible-playbook"}
    bare_target.spec = replace(bare_target.spec, settings={**bare_target.spec.settings, "ansible": ansible})
    if request.param == "over ssh":
        bare_target.move_to(request.getfixturevalue("host"))
    yield bare_target


def _inventory(target: Target, more: str) -> None:
    target.spec.settings["ansible"]["inventory"] += more


@needs_ansible
@pytest.mark.timeout(300)
def test_each_host_has_its_own_result_and_is_not_repeated(fleet: Target) -> None:
    context = fleet.context(deadline_seconds=200)
    facts = fleet.step("ansible_playbook", context, variables={"word": "it's {{ not }} $(read)"})
    assert {host: row["state"] for host, row in facts["hosts"].items()} == {
        "busy": "changed",
        "calm": "ok",
        "spare": "changed",
    }
    assert facts["exit_code"] == 0 and facts["hosts"]["calm"]["skipped"] >= 1
    made = (fleet.spec.root / "deploy" / "made-busy").read_text()
    assert made == "1.1.0 5 it's {{ not }} $(read)"
    assert b"****" in fleet.shown and fleet.configuration["SECRET"].encode() not in fleet.shown
    known = by_name("ansible_playbook")
    assert known.probe(replace(context, fencing_token=2), known.parameters())[0] is Probe.DONE
    again = fleet.step("ansible_playbook", replace(context, fencing_token=3))
    assert again["found"] is True and again["hosts"] == facts["hosts"]
    assert len(journal_lines(fleet.here, effect="ansible_playbook:started")) == 1
    assert fleet.configuration["SECRET"].encode() not in (fleet.spec.root / ".ringi" / "journal.jsonl").read_bytes()
    assert not list((fleet.spec.root / ".ringi").glob("ansible-*"))


@needs_ansible
@pytest.mark.timeout(300)
def test_failed_and_unreachable_hosts_fail_the_step_by_name(fleet: Target) -> None:
    _inventory(fleet, "away ansible_host=127.0.0.1 ansible_port=9 ansible_ssh_common_args='-o BatchMode=yes'\n")
    playbook = fleet.spec.root / "deploy" / "site.yml"
    playbook.write_text(PLAYBOOK.replace("default([])", "default(['spare'])"))
    context = fleet.context(deadline_seconds=200)
    with pytest.raises(StepFailed, match=r"did not succeed on: away \(unreachable\), spare \(failed\)") as failed:
        fleet.step("ansible_playbook", context, variables={"word": "x"})
    states = {host: row["state"] for host, row in failed.value.facts["hosts"].items()}
    assert states == {"away": "unreachable", "busy": "changed", "calm": "ok", "spare": "failed"}
    known = by_name("ansible_playbook")
    later = replace(context, fencing_token=2)
    assert known.probe(later, known.parameters())[0] is Probe.UNKNOWN, "a person must look"
    assert known.probe(later, known.parameters(repeatable=True))[0] is Probe.NOT_DONE


UNREACHED = """
- hosts: all
  gather_facts: false
  %(play)s
  tasks:
    - command: /bin/true
    - %(task)s
"""


@needs_ansible
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("play", "task", "said"),
    [
        ("ignore_unreachable: true", "command: /bin/true", r"away \(failed\)$"),
        ("any_errors_fatal: false", "meta: clear_host_errors", r"away \(unreachable\)$"),
    ],
)
def test_a_host_without_any_success_fails_the_step_although_the_program_ends_well(
    fleet: Target, play: str, task: str, said: str
) -> None:
    _inventory(fleet, "away ansible_host=127.0.0.1 ansible_port=9 ansible_ssh_common_args='-o BatchMode=yes'\n")
    (fleet.spec.root / "deploy" / "site.yml").write_text(UNREACHED % {"play": play, "task": task})
    with pytest.raises(StepFailed, match=said) as failed:
        fleet.step("ansible_playbook", fleet.context(deadline_seconds=200))
    assert failed.value.facts["exit_code"] == 0 and failed.value.facts["hosts"]["busy"]["state"] == "changed"
    assert not journal_lines(fleet.here, effect="ansible_playbook:done")


@needs_ansible
@pytest.mark.timeout(300)
def test_rescued_and_ignored_tasks_are_kept_and_a_host_with_others_succeeds(fleet: Target) -> None:
    tasks = "[{command: /bin/true}, {command: /bin/false, ignore_errors: true}, "
    tasks += "{block: [{command: /bin/false}], rescue: [{command: /bin/true}]}]"
    playbook = f"- hosts: busy\n  gather_facts: false\n  tasks: {tasks}\n"
    (fleet.spec.root / "deploy" / "site.yml").write_text(playbook)
    (row,) = fleet.step("ansible_playbook", fleet.context(deadline_seconds=200))["hosts"].values()
    assert (row["state"], row["rescued"], row["ignored"]) == ("changed", 1, 1)


@needs_ansible
@pytest.mark.timeout(300)
def test_a_play_on_the_control_machine_alone_reaches_no_host_of_the_inventory(fleet: Target) -> None:
    plays = "- hosts: localhost\n  gather_facts: false\n  tasks: [{debug: {msg: prepared}}]\n"
    plays += "- hosts: webservers\n  tasks: [{command: /bin/true}]\n"
    (fleet.spec.root / "deploy" / "site.yml").write_text(plays)
    with pytest.raises(StepFailed, match="matched no host of the inventory") as failed:
        fleet.step("ansible_playbook", fleet.context(deadline_seconds=200))
    assert list(failed.value.facts["hosts"]) == ["localhost"]
    assert not journal_lines(fleet.here, effect="ansible_playbook:done")


@needs_ansible
def test_a_limit_without_a_matching_host_does_not_succeed(fleet: Target) -> None:
    with pytest.raises(StepFailed):
        fleet.step("ansible_playbook", fleet.context(), limit="nobody")
    assert not journal_lines(fleet.here, effect="ansible_playbook:done")


def test_missing_parts_are_reported_before_the_start(bare_target: Target) -> None:
    def said(settings: dict[str, Any]) -> str:
        bare_target.spec = replace(bare_target.spec, settings=settings)
        known = by_name("ansible_playbook")
        with pytest.raises(StepFailed) as failed:
            known.describe(bare_target.context(), known.parameters())
        return str(failed.value)

    assert "no inventory" in said({})
    assert "name a playbook" in said({"ansible": {"inventory": "a\n"}})
    assert not journal_lines(bare_target.spec)


@pytest.mark.parametrize(
    "parameters",
    [
        {"playbook": "/etc/site.yml"},
        {"playbook": "../site.yml"},
        {"playbook": "--version"},
        {"tags": ["a b"]},
        {"tags": ["a,--become"]},
        {"limit": "--become"},
        {"limit": "@/etc/passwd"},
        {"variables": {"a b": "c"}},
        {"seconds": 0},
    ],
)
def test_invalid_parameters_are_refused(parameters: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        by_name("ansible_playbook").parameters(**parameters)


def test_the_dry_run_names_the_command(fleet: Target) -> None:
    known = by_name("ansible_playbook")
    given = known.parameters(
        playbook="deploy/site.yml", tags=("web",), variables={"word": fleet.configuration["SECRET"]}
    )
    (line,) = known.describe(fleet.context(), given)
    assert "--tags=web" in line and line.endswith(f"{fleet.spec.root}/current/deploy/site.yml")
    assert fleet.configuration["SECRET"] not in line and json.dumps(fleet.configuration["SECRET"]) not in line


def test_a_missing_program_is_reported(bare_target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"ansible": {"inventory": "a\n", "playbook": "x.yml", "program": str(Path("/no/ansible-playbook"))}}
    bare_target.spec = replace(bare_target.spec, settings=settings)
    with pytest.raises(StepFailed, match="ansible-playbook could not be started"):
        bare_target.step("ansible_playbook", bare_target.context())
