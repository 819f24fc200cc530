"""A step type: runs a playbook over the hosts of an inventory with the `ansible-playbook` program."""

import json
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, ClassVar

from environments.targets.base import Parameters, Probe, StepContext, StepFailed, TargetSpec
from environments.targets.configuration_file import quoted
from environments.targets.declared import Field, StringConstraints, field_validator
from environments.targets.masking import masked
from environments.targets.runner import secrets_of
from environments.targets.sandbox import shared
from environments.targets.target import Held, Layout, TargetStep, journal, journal_lines, write_atomically
from environments.targets.words import gettext as _

PROGRAM = "ansible-playbook"
# The program itself loads it: the outcome of each host, in a file, however long the output was.
PLUGIN = '''\
"""Writes what became of each host."""
import json, os
from ansible.plugins.callback import CallbackBase
DOCUMENTATION = """
name: ringi_hosts
type: aggregate
short_description: what became of each host
description: Writes the counts of each host to the file RINGI_ANSIBLE_STATS_FILE.
"""
class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "ringi_hosts"
    CALLBACK_NEEDS_ENABLED = True
    def v2_playbook_on_play_start(self, play):
        self.inventory = play.get_variable_manager()._inventory
    def v2_playbook_on_stats(self, stats):
        hosts = {host: stats.summarize(host) for host in stats.processed}
        with open(os.environ["RINGI_ANSIBLE_STATS_FILE"], "w") as file:
            json.dump({"hosts": hosts, "listed": any(host in self.inventory.hosts for host in hosts)}, file)
'''
_COUNTS = ("ok", "changed", "failures", "unreachable", "skipped", "rescued", "ignored")
_WORD = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:-]+$")]


class AnsibleParameters(Parameters):
    """playbook: path below the release's tree; empty: `ansible.playbook` of the target's options. tags: run only these.

    limit: pattern of hosts; empty: all of the inventory. variables: given to the playbook. repeatable: a second run is
    harmless. seconds: limit.
    """

    playbook: str = ""
    tags: tuple[_WORD, ...] = ()
    limit: Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9_.*][A-Za-z0-9_.:*,!&-]*)?$")] = ""
    variables: dict[_WORD, str] = Field(default_factory=dict)
    repeatable: bool = False
    seconds: Annotated[float, Field(gt=0)] | None = None

    @field_validator("playbook")
    @classmethod
    def _is_below(cls, value: str) -> str:
        if value.startswith(("/", "-")) or ".." in PurePosixPath(value).parts or "\0" in value:
            raise ValueError(_("must be a path below the release's tree"))
        return value


class AnsiblePlaybook(TargetStep):
    """Runs one playbook where the target is; its result is the outcome of each host."""

    name: ClassVar[str] = "ansible_playbook"
    parameters: ClassVar[type[Parameters]] = AnsibleParameters
    repeatable: ClassVar[bool] = False
    estimate_seconds: ClassVar[float] = 300

    def make(self, context: StepContext, held: Held, parameters: AnsibleParameters) -> dict[str, Any]:
        """Run it; facts: hosts {name: {state and counts of its tasks}}, exit_code, seconds.

        A playbook that succeeded under this key is not run twice. Raises StepFailed, with the same facts, when a host
        failed or was not reached, which a playbook may hide from the exit code, and when no host is of the inventory.
        """
        done = journal_lines(context.target, key=context.key, effect="ansible_playbook:done")
        if done and not parameters.repeatable:
            return _facts(done[-1]) | {"found": True}
        if parameters.seconds is not None:
            held = replace(held, until=min(held.until, time.monotonic() + parameters.seconds))
        playbook = _playbook(context.target, parameters)
        with _prepared(context, parameters) as (options, environment, report):
            journal(context, "ansible_playbook:started", playbook=str(playbook))
            command = [_program(context.target), *options, "--", str(playbook)]
            # Its processes speak to each other through shared memory.
            outcome = held.run(command, extra=environment, allowed=range(-255, 256), write=["/dev/shm"])
            hosts, listed = _hosts(report)
            facts = {"hosts": hosts, "exit_code": outcome.code, "seconds": round(outcome.seconds, 3)}
        if outcome.code or _worst(hosts):
            journal(context, "ansible_playbook:failed", **facts)
            raise StepFailed(_why(facts), state=outcome.text, facts=facts)
        if not listed:
            raise StepFailed(_("the playbook matched no host of the inventory"), state=outcome.text, facts=facts)
        journal(context, "ansible_playbook:done", **facts)
        return facts

    def look(self, context: StepContext, held: Held, parameters: AnsibleParameters) -> tuple[Probe, dict[str, Any]]:
        """Done by the journal; begun but not succeeded: only a person can tell, unless a second run is harmless."""
        done = journal_lines(context.target, key=context.key, effect="ansible_playbook:done")
        if done:
            return Probe.DONE, _facts(done[-1])
        if not journal_lines(context.target, key=context.key, effect="ansible_playbook:started"):
            return Probe.NOT_DONE, {}
        return (Probe.NOT_DONE if parameters.repeatable else Probe.UNKNOWN), {}

    def describe(self, context: StepContext, parameters: AnsibleParameters) -> list[str]:
        """Return the line of the dry run, secrets masked."""
        _inventory(context.target)
        options = [f"--inventory={Layout(context.target.root).own / 'inventory'}", *_options(parameters)]
        if parameters.variables:
            options.append(f"--extra-vars={json.dumps(dict(parameters.variables), ensure_ascii=False)}")
        command = [PROGRAM, *options, "--", str(_playbook(context.target, parameters))]
        return [masked(shlex.join(command), secrets_of(context))]


def _settings(target: TargetSpec) -> Mapping[str, Any]:
    found = target.settings.get("ansible", {})
    return found if isinstance(found, Mapping) else {}


def _inventory(target: TargetSpec) -> str:
    given = _settings(target).get("inventory")
    if not given:
        raise StepFailed(_("the target options have no inventory (ansible.inventory)"))
    return given if isinstance(given, str) else json.dumps(given)


def _playbook(target: TargetSpec, parameters: AnsibleParameters) -> Path:
    if parameters.playbook:
        return Layout(target.root).current / parameters.playbook
    given = str(_settings(target).get("playbook", ""))
    if not given:
        raise StepFailed(_("neither the step plan nor the target options name a playbook (ansible.playbook)"))
    return target.root / given


def _program(target: TargetSpec) -> str:
    given = str(_settings(target).get("program", ""))
    # The optional extra installs it beside the interpreter, which is not on every worker's PATH.
    beside = Path(sys.executable).with_name(PROGRAM)
    found = given or (str(beside) if beside.exists() else shutil.which(PROGRAM))
    if not found:
        raise StepFailed(_("ansible-playbook is not installed on the target's host"))
    return found


def _options(parameters: AnsibleParameters) -> list[str]:
    options = [f"--tags={','.join(parameters.tags)}"] if parameters.tags else []
    return options + ([f"--limit={parameters.limit}"] if parameters.limit else [])


@contextmanager
def _prepared(context: StepContext, parameters: AnsibleParameters) -> Iterator[tuple[list[str], dict[str, str], Path]]:
    """Yield options, environment, and the file that takes the outcome of each host.

    Values go by a private file that is deleted afterwards.
    """
    version = context.wanted
    own_values = {"ringi_version": version.version, "ringi_commit": version.commit} if version else {}
    inventory = _inventory(context.target)
    own = Layout(context.target.root).own
    for left in own.glob("ansible-*"):
        # The target's lock is held: the process that owned this folder is dead.
        shutil.rmtree(left)
    with tempfile.TemporaryDirectory(prefix="ansible-", dir=own) as name:
        folder = Path(name)
        (folder / "plugins").mkdir()
        (folder / "plugins" / "ringi_hosts.py").write_text(PLUGIN)
        (folder / "ansible.cfg").write_text("")
        place = folder / ("inventory" if isinstance(_settings(context.target)["inventory"], str) else "inventory.json")
        write_atomically(place, inventory.encode())
        values = _yaml(parameters.variables | own_values, context.configuration)
        write_atomically(folder / "values.yml", values.encode())
        options = [f"--inventory={place}", *_options(parameters), f"--extra-vars=@{folder / 'values.yml'}"]
        environment = context.traced("TRACEPARENT") | {
            "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
            "ANSIBLE_HOME": str(folder / "home"),
            "ANSIBLE_CALLBACK_PLUGINS": str(folder / "plugins"),
            "ANSIBLE_CALLBACKS_ENABLED": "ringi_hosts",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_NOCOWS": "1",
            "ANSIBLE_RETRY_FILES_ENABLED": "0",
            # Not "~", which is looked up in passwd: the home of the worker's account is not accessible here.
            "ANSIBLE_REMOTE_TMP": "$HOME/.ansible/tmp",
            "RINGI_ANSIBLE_STATS_FILE": str(folder / "hosts.json"),
        }
        for path in (folder, *folder.rglob("*")) if shared(own) else ():
            path.chmod(0o2770 if path.is_dir() else 0o640)
        yield options, environment, folder / "hosts.json"


def _yaml(variables: Mapping[str, str], configuration: Mapping[str, str]) -> str:
    """Return the playbook's variables; `!unsafe`: a value is text and no template."""
    lines = [f"{quoted(name)}: !unsafe {quoted(value)}\n" for name, value in variables.items()]
    lines.append("ringi_configuration:\n" if configuration else "ringi_configuration: {}\n")
    return "".join([*lines, *(f"  {quoted(key)}: !unsafe {quoted(value)}\n" for key, value in configuration.items())])


def _hosts(path: Path) -> tuple[dict[str, dict[str, Any]], bool]:
    """Return the outcome of each host, and whether one of them is of the inventory: localhost is there without it."""
    if not path.exists():
        return {}, False
    report: dict[str, Any] = json.loads(path.read_bytes())
    counted: dict[str, dict[str, int]] = report["hosts"]
    return {
        host: {"state": _state(counts)} | {name: int(counts.get(name, 0)) for name in _COUNTS}
        for host, counts in sorted(counted.items())
    }, report["listed"]


def _state(counts: Mapping[str, int]) -> str:
    for name, state in (("unreachable", "unreachable"), ("failures", "failed")):
        if counts.get(name):
            return state
    # A fault that the playbook ignores is counted as ok as well.
    if counts.get("ignored") and counts["ok"] == counts["ignored"]:
        return "failed"
    return "changed" if counts.get("changed") else "ok"


def _facts(line: Mapping[str, Any]) -> dict[str, Any]:
    return {name: line[name] for name in ("hosts", "exit_code", "seconds")}


def _worst(hosts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return [f"{host} ({row['state']})" for host, row in hosts.items() if row["state"] in ("failed", "unreachable")]


def _why(facts: Mapping[str, Any]) -> str:
    if not (worst := _worst(facts["hosts"])):
        return _("the playbook ended with exit code %(code)d before any host failed") % {"code": facts["exit_code"]}
    return _("the playbook did not succeed on: %(hosts)s") % {"hosts": ", ".join(worst)}
