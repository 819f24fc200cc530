"""A lost connection, a dead or stalled worker, a stop by a person: the host's process ends, and counts once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from environments.targets.base import Fenced, Overdue, Probe, StepFailed, StopRequested
from environments.targets.ssh import connection
from environments.targets.ssh.connection import Lost
from environments.targets.target import journal_lines
from releases.step_types import by_name
from tests.environments.targets.ssh.conftest import clients, processes
from tests.releases.step_types.conftest import Target, wait_for

ROOT = Path(__file__).resolve().parents[4]
WAITS = "import pathlib, sys, time; pathlib.Path(sys.argv[1]).touch(); time.sleep(600)"


def argv(target: Target, code: str = WAITS) -> tuple[str, ...]:
    """Return a command that touches a file below the root and then does not end."""
    return (sys.executable, "-c", code, str(target.spec.root / "begun"))


def cutting(target: Target) -> threading.Thread:
    """Kill the client once the command has begun."""

    def cut() -> None:
        wait_for((target.spec.root / "begun").exists, 60)
        for pid in clients(target):
            os.kill(pid, signal.SIGKILL)

    thread = threading.Thread(target=cut)
    thread.start()
    return thread


def gone(target: Target) -> bool:
    """Tell whether no process of a command is left on the host."""
    return not list(processes(str(target.spec.root / "begun")))


def test_a_lost_connection_ends_the_command_with_an_unknown_outcome(there: Target) -> None:
    thread = cutting(there)
    with pytest.raises(Lost, match="the connection to .* was lost") as lost:
        there.step("command", there.context(), argv=argv(there))
    thread.join()
    assert isinstance(lost.value, Overdue), "the executor looks at the target before it says what happened"
    assert gone(there), "the look has waited for the end of what ran"
    command = by_name("command")
    again = there.context(fencing_token=2)
    assert command.probe(again, command.parameters(argv=("true",))) == (Probe.UNKNOWN, {})
    assert [line["effect"] for line in journal_lines(there.here)] == ["command:started"]


def test_a_finished_effect_counts_after_a_lost_connection(there: Target) -> None:
    thread = cutting(there)
    probe = ("test", "-e", str(there.spec.root / "begun"))
    facts = there.step("command", there.context(), argv=argv(there), probe_argv=probe)
    thread.join()
    assert facts["probed"] is True
    assert len(journal_lines(there.here, effect="command:started")) == 1


def test_a_repeatable_step_is_repeated_after_a_lost_connection(there: Target) -> None:
    code = WAITS.replace("pathlib.Path(sys.argv[1]).touch()", "begun = pathlib.Path(sys.argv[1])").replace(
        "time.sleep(600)", "again = begun.exists(); begun.touch(); again or time.sleep(600)"
    )
    thread = cutting(there)
    facts = there.step("command", there.context(), argv=argv(there, code), repeatable=True)
    thread.join()
    assert facts["exit_code"] == 0
    assert [line["effect"] for line in journal_lines(there.here)] == [
        *("command:started", "command:started", "command:done")
    ]
    assert b"was lost" in there.shown


def test_a_killed_worker_leaves_no_running_process(there: Target) -> None:
    worker = subprocess.Popen(
        [
            sys.executable,
            "-c",
            textwrap.dedent(f"""
        import sys; sys.path.insert(0, {str(ROOT)!r})
        import django; django.setup()
        from pathlib import Path
        from environments.targets.base import StepContext, TargetSpec
        from releases.step_types.command import Command, CommandParameters
        root = Path({str(there.spec.root)!r})
        target = TargetSpec("sample", "production", root, {there.spec.settings!r}, {there.spec.ssh_key!r})
        nothing = lambda *given: None
        given = "1/1/x", 1, "deployment:1", target, "", None, None
        context = StepContext(*given, {{}}, {{}}, {{}}, 600, nothing, nothing)
        Command().run(context, CommandParameters(argv={argv(there)!r}))
    """),
        ],
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "config.settings"},
        cwd=ROOT,
    )
    wait_for((there.spec.root / "begun").exists, 60)
    worker.kill()
    worker.wait()
    wait_for(lambda: gone(there), 30)
    command = by_name("command")
    ended = wait_for(
        lambda: command.probe(there.context(fencing_token=2), command.parameters(argv=("true",)))[0] is Probe.UNKNOWN,
        30,
    )
    assert ended, "the lock is free, and the next attempt knows that one began"
    with pytest.raises(Fenced):
        there.step("command", there.context(fencing_token=1), argv=("touch", "{root}/late"))
    assert not (there.spec.root / "late").exists()


def test_a_stalled_worker_is_disconnected_by_the_host(there: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "PATIENCE_SECONDS", 1.5)

    def stalls() -> None:
        if (there.spec.root / "begun").exists():
            wait_for(lambda: gone(there), 30)

    with pytest.raises(Fenced, match="the connection to the worker is lost"):
        there.step("command", there.context(heartbeat=stalls), argv=argv(there))
    assert [line["effect"] for line in journal_lines(there.here)] == ["command:started"]


def _when_begun(there: Target, error: Exception) -> Callable[[], None]:
    errors: list[Exception] = []

    def heartbeat() -> None:
        if (there.spec.root / "begun").exists() and not errors:
            errors.append(error)
            raise error

    return heartbeat


def test_a_stop_by_a_person_ends_the_command_gently(there: Target) -> None:
    code = WAITS.replace("time.sleep(600)", "\ntry: time.sleep(600)\nexcept BaseException: print('tidied up'); raise")
    code = f"import signal; signal.signal(signal.SIGTERM, signal.default_int_handler)\n{code}"
    with pytest.raises(StopRequested):
        there.step("command", there.context(heartbeat=_when_begun(there, StopRequested())), argv=argv(there, code))
    assert gone(there)


def test_a_reclaimed_step_is_killed_on_the_host(there: Target) -> None:
    with pytest.raises(Fenced, match="taken over"):
        there.step("command", there.context(heartbeat=_when_begun(there, Fenced("taken over"))), argv=argv(there))
    wait_for(lambda: gone(there), 30)


def test_deadline_and_silence_limit_apply_on_the_host(there: Target) -> None:
    with pytest.raises(Overdue, match="did not end within 2 s"):
        there.step("command", there.context(deadline_seconds=2), argv=argv(there))
    with pytest.raises(Overdue, match="wrote nothing for 1 s"):
        there.step("command", there.context("1/2/x", no_output_timeout_seconds=1), argv=argv(there))
    assert gone(there)


def test_a_failure_on_the_host_is_equal_to_a_local_one(there: Target) -> None:
    code = "import sys; print('key', sys.argv[1], flush=True); sys.exit('last line')"
    secret = there.configuration["SECRET"]
    with pytest.raises(StepFailed, match=r"ended with exit code 1: last line") as failed:
        there.step("command", there.context(), argv=(sys.executable, "-c", code, secret))
    assert failed.value.state == "key ****\nlast line"
    assert b"key ****" in there.shown and secret.encode() not in there.shown


def test_a_failure_on_the_host_uses_the_local_language(there: Target) -> None:
    from django.utils import translation

    with translation.override("ja"), pytest.raises(StepFailed) as failed:
        there.step("command", there.context(), argv=("false",))
    with translation.override("ja"), pytest.raises(StepFailed) as local:
        there.step("command", there.context("1/2/x", target=there.here), argv=("false",))
    assert str(failed.value) == str(local.value) and "false" in str(failed.value)
    assert not str(failed.value).isascii()


def test_a_damaged_bundle_is_replaced_and_an_intact_one_is_kept(there: Target) -> None:
    there.step("command", there.context(), argv=("true",))
    (made,) = (there.spec.root / ".ringi").glob("*.pyz")
    first = made.stat().st_ino
    there.step("command", there.context("1/2/x"), argv=("true",))
    assert made.stat().st_ino == first
    made.write_bytes(made.read_bytes()[:-1000])
    there.step("command", there.context("1/3/x"), argv=("true",))
    assert made.stat().st_ino != first and made.stat().st_mode & 0o777 == 0o600


def test_secrets_are_in_no_argument_variable_file_or_log(installed: Target, host: Any, tmp_path: Path) -> None:
    """While a step runs that has all secrets: the arguments and variables of every process, then the files on disk."""
    lines = [line for line in installed.spec.ssh_key.splitlines() if "-----" not in line]
    password = installed.database.split("password=")[1].split()[0].strip("'").replace("\\\\", "\\")
    secrets = [text.encode() for text in (*lines, installed.configuration["SECRET"], password)]
    found: list[str] = []

    def look() -> None:
        if not clients(installed):
            return
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            for name in ("cmdline", "environ"):
                try:
                    content = (entry / name).read_bytes()
                except OSError:
                    continue
                found.extend(f"{entry}/{name}: {content!r}" for secret in secrets if secret in content)
        looks.append(time.monotonic())

    def look_on() -> None:
        while not over.wait(0.005):
            look()

    looks: list[float] = []
    over, looking = threading.Event(), threading.Thread(target=look_on)
    looking.start()
    try:
        installed.step("backup", installed.context("1/1/x", secrets=(*installed.context().secrets, *lines)))
        installed.step("configuration_update", installed.context("1/2/x"))
    finally:
        over.set()
        looking.join()
    assert len(looks) > 1 and found == []
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and not path.is_symlink()}
    files |= {Path(host.log): Path(host.log).read_bytes()}
    holds = {path.name for path, content in files.items() for line in lines if line.encode() in content}
    assert holds == set(), "the private key never leaves the worker's memory"
    journal = (installed.spec.root / ".ringi" / "journal.jsonl").read_bytes() + bytes(installed.shown)
    assert [secret for secret in secrets if secret in journal or secret in files[Path(host.log)]] == []
