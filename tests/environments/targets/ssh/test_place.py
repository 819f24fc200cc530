"""Permitted hosts, their host keys, and a shell that never reads a target's options."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from environments.targets.base import StepFailed
from environments.targets.ssh import call
from environments.targets.ssh.place import Place, faults_in
from environments.targets.target import holding
from releases.step_types import by_name
from releases.step_types.command import Command, CommandParameters
from tests.releases.sources.repositories import key
from tests.releases.step_types.conftest import Host, Target

LINE = "host.example ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDzFQhjLMVfk9mVBJm3hNvO7Fv6c5DzcJ0h2rAKfhJ6Q"
GOOD = {"host": "host.example", "user": "deploy", "known_hosts": LINE}


@pytest.mark.parametrize(
    "changes",
    [
        {"host": "-oProxyCommand=touch /tmp/x"},
        {"host": "host example"},
        {"host": "$(id)"},
        {"host": ""},
        {"user": "-lroot"},
        {"user": "a b"},
        {"user": "a;id"},
        {"port": 0},
        {"port": "x"},
        {"python": "-c"},
        {"python": "python3 -c x"},
        {"python": "$(id)"},
        {"known_hosts": ""},
        {"known_hosts": []},
        {"known_hosts": "host.example ssh-ed25519"},
        {"known_hosts": "host.example ssh-ed25519 not/base64!"},
        {"known_hosts": LINE.replace("host.example", "*")},
        {"known_hosts": f"@cert-authority {LINE}"},
        {"proxy": "x"},
    ],
)
def test_an_invalid_host_setting_is_refused(changes: dict[str, Any]) -> None:
    assert faults_in({"ssh": GOOD}) == []
    (fault,) = faults_in({"ssh": GOOD | changes})[:1]
    assert fault.startswith("target option ssh.")


def test_the_client_ignores_its_users_configuration_and_never_prompts() -> None:
    arguments = Place.model_validate(GOOD).arguments("/proc/1/fd/3", "/proc/1/fd/4", ["python3", "it's $HOME"])
    assert arguments[:3] == ["ssh", "-F", "/dev/null"]
    options = {arguments[n + 1] for n, word in enumerate(arguments) if word == "-o"}
    assert options >= {
        *("BatchMode=yes", "StrictHostKeyChecking=yes", "IdentitiesOnly=yes", "IdentityAgent=none"),
        *("UserKnownHostsFile=/proc/1/fd/4", "GlobalKnownHostsFile=/dev/null", "ClearAllForwardings=yes"),
    }
    assert arguments[-3:-1] == ["--", "host.example"]
    assert shlex.split(arguments[-1]) == ["exec", "python3", "it's $HOME"]


def test_option_values_are_not_interpreted_by_a_remote_shell(there: Target, tmp_path: Path) -> None:
    root = tmp_path / 'it\'s $(touch pwned) `touch pwned`; touch pwned & "é"\n *'
    root.mkdir()
    there.spec = type(there.spec)("sample", "production", root, there.spec.settings, there.spec.ssh_key)
    argument = "$(touch pwned) ' \" ; \\ \n é"
    facts = there.step("command", there.context(), argv=("printf", "%s", argument))
    assert facts["tail"] == argument
    assert not list(Path.home().glob("pwned")) and not list(tmp_path.rglob("pwned"))


def test_a_host_with_another_key_is_refused(there: Target, tmp_path: Path) -> None:
    name, kind_of_key, _key = there.spec.settings["ssh"]["known_hosts"].split()
    other = key(tmp_path / "other").with_suffix(".pub").read_text().split()[1]
    there.spec.settings["ssh"]["known_hosts"] = f"{name} {kind_of_key} {other}"
    with pytest.raises(StepFailed, match="the host key is not the one that is pinned"):
        there.step("command", there.context(), argv=("touch", "{root}/made"))
    assert list(there.spec.root.iterdir()) == []


def test_a_host_missing_from_the_known_hosts_line_is_refused(there: Target) -> None:
    ssh = there.spec.settings["ssh"]
    ssh["known_hosts"] = ssh["known_hosts"].replace("[127.0.0.1]", "[127.0.0.2]")
    with pytest.raises(StepFailed, match="the host key is not the one that is pinned"):
        there.step("maintenance_mode", there.context(), on=True)


def test_an_unreachable_host_is_reported_with_its_reason(there: Target, host: Host, tmp_path: Path) -> None:
    def refused() -> str:
        with pytest.raises(StepFailed) as failed:
            there.step("maintenance_mode", there.context(), on=True)
        return str(failed.value)

    there.move_to(Host(host.settings, key(tmp_path / "stranger").read_text(), host.log))
    assert "the host does not accept the key" in refused()
    there.move_to(Host(host.settings, "", host.log))
    assert "add TARGET_SSH_KEY to the secrets" in refused()
    there.move_to(host, port=9)
    assert "Connection refused" in refused()
    there.move_to(host, python="/no/such/python3")
    assert "/no/such/python3" in refused()
    there.move_to(host, known_hosts="")
    assert "target option ssh.known_hosts" in refused()


def test_a_worker_without_ssh_is_reported(there: Target, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StepFailed, match="ssh could not be started"):
        there.step("maintenance_mode", there.context(), on=True)


def test_a_command_on_a_host_gets_the_trace(there: Target) -> None:
    traceparent = f"00-{'a' * 32}-{'b' * 16}-01"
    facts = there.step("command", there.context(traceparent=traceparent), argv=("/usr/bin/printenv", "TRACEPARENT"))
    assert facts["tail"] == traceparent


def test_a_local_only_type_is_reported(there: Target) -> None:
    with pytest.raises(StepFailed, match="this only works on a target on this host"):
        with holding(there.context()):
            pass
    assert call.refuses(by_name("command")) == ""


class NeedsMore(Command):
    """A type of an installation's own, in a file that the bundle does not carry."""

    name = "needs_more"


def test_a_type_that_cannot_work_on_a_host_is_refused_with_a_message(there: Target, host: Host) -> None:
    there.move_to(host, port=9)
    said = "step type “needs_more” cannot run on another host: it needs more than Python there"
    assert call.refuses(NeedsMore()) == said
    with pytest.raises(StepFailed, match="“needs_more” cannot run on another host"):
        NeedsMore().run(there.context(), CommandParameters(argv=("true",)))
