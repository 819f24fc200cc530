"""Commands end in time, die with their worker, keep the lock while they live, and print no secrets."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from environments.targets.base import Fenced, StepFailed, StillRunning
from environments.targets.processes import start_time
from environments.targets.runner import base_environment, run_command
from environments.targets.target import holding
from tests.releases.step_types.conftest import Target, wait_for

PYTHON = sys.executable


@pytest.fixture
def target(bare_target: Target) -> Target:
    """A target without a database."""
    return bare_target


def _run(code: str, folder: Path, **options: object) -> object:
    defaults: dict[str, object] = {"environment": base_environment(), "folder": folder, "seconds": 20}
    return run_command([PYTHON, "-c", code], **(defaults | options))


def test_the_environment_holds_only_the_list(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://leak")
    with holding(target.context("1/1/x", fencing_token=7)) as held:
        held.run([PYTHON, "-c", "import os, json; print(json.dumps(dict(os.environ)))"])
    shown = json.loads(target.shown)
    assert shown.keys() - {"LC_CTYPE"} == {
        *("PATH", "HOME", "TMPDIR", "LANG", "PYTHONDONTWRITEBYTECODE"),
        *("RINGI_TARGET_ROOT", "RINGI_IDEMPOTENCY_KEY", "RINGI_FENCING_TOKEN"),
    }
    assert (shown["RINGI_IDEMPOTENCY_KEY"], shown["RINGI_FENCING_TOKEN"]) == ("1/1/x", "7")


def test_output_is_streamed_masked_and_a_failure_names_command_and_code(target: Target) -> None:
    said = "key " + target.configuration["SECRET"]
    code = f"import sys, time\nprint({said!r}, flush=True)\ntime.sleep(0.2)\nsys.exit('last line')"
    with holding(target.context()) as held, pytest.raises(StepFailed, match=r"python\S* .* 1: last line"):
        held.run([PYTHON, "-c", code])
    assert b"key **** " in target.shown.replace(b"\n", b" ")


def test_a_command_that_cannot_start_is_a_failed_step(target: Target) -> None:
    with holding(target.context()) as held, pytest.raises(StepFailed, match="no-such-program"):
        held.run(["/no-such-program"])


def test_arguments_are_not_interpreted_by_a_shell(target: Target) -> None:
    with holding(target.context()) as held:
        held.run(["echo", "$(touch pwned); `id` | x", "--", "\n&"])
    assert b"$(touch pwned); `id` | x" in target.shown
    assert not (target.spec.root / "pwned").exists()


def test_the_deadline_ends_the_whole_group(tmp_path: Path) -> None:
    code = (
        "import os, signal, time\n"
        "if os.fork() == 0:\n    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "open(f'{os.getpid()}.pid', 'w').close()\ntime.sleep(60)"
    )
    with pytest.raises(StepFailed, match="did not end within 1 s"):
        _run(code, tmp_path, seconds=1)
    pids = [int(path.stem) for path in tmp_path.glob("*.pid")]
    assert len(pids) == 2
    wait_for(lambda: all(start_time(pid) is None for pid in pids))


def test_a_process_that_outlives_its_leader_is_ended(tmp_path: Path) -> None:
    code = (
        "import os, time\nif os.fork() == 0:\n    open(f'{os.getpid()}.pid', 'w').close()\n"
        "    time.sleep(60)\n"
        "else:\n    time.sleep(0.3)"
    )
    began = time.monotonic()
    _run(code, tmp_path)
    assert time.monotonic() - began < 5
    (pid,) = [int(path.stem) for path in tmp_path.glob("*.pid")]
    wait_for(lambda: start_time(pid) is None)


def test_a_command_sends_heartbeats_and_a_fenced_attempt_ends_at_once(tmp_path: Path) -> None:
    heartbeats: list[float] = []

    def heartbeat() -> None:
        heartbeats.append(time.monotonic())
        if len(heartbeats) == 2:
            raise Fenced("taken over")

    began = time.monotonic()
    with pytest.raises(Fenced):
        _run("import os, time; open(f'{os.getpid()}.pid', 'w').close(); time.sleep(60)", tmp_path, heartbeat=heartbeat)
    assert heartbeats[0] - began < 1.5 and heartbeats[1] - heartbeats[0] < 1.5
    (pid,) = [int(path.stem) for path in tmp_path.glob("*.pid")]
    assert start_time(pid) is None


def test_a_stop_asks_before_it_kills(tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def heartbeat() -> None:
        raise Stop

    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (open('asked', 'w').close(), sys.exit()))\ntime.sleep(60)"
    )
    with pytest.raises(Stop):
        _run(code, tmp_path, heartbeat=heartbeat)
    assert (tmp_path / "asked").exists()


WORKER = """
import os, sys, threading
from pathlib import Path
sys.path.insert(0, {path!r})
from django.conf import settings
settings.configure(USE_I18N=False)
from environments.targets.base import StepContext, TargetSpec
from environments.targets.target import holding
target = TargetSpec("a", "b", Path({root!r}))
context = StepContext("1/1/x", 1, "deployment:1", target, "", None, None, {{}}, {{}}, {{}}, 60,
                      lambda chunk: os.write(1, chunk), lambda: None)
with holding(context) as held:
    held.run([sys.executable, "-c", {code!r}])
"""


def _worker(target: Target, code: str) -> subprocess.Popen[str]:
    path = str(Path(__file__).parents[3])
    script = WORKER.format(path=path, root=str(target.spec.root), code=code)
    return subprocess.Popen([PYTHON, "-c", script], stdout=subprocess.PIPE, text=True)


def test_a_command_dies_with_its_worker(target: Target) -> None:
    worker = _worker(target, "import os, time; print(os.getpid(), flush=True); time.sleep(60)")
    assert worker.stdout is not None
    child = int(worker.stdout.readline())
    with pytest.raises(StillRunning), holding(target.context()):
        pass
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    worker.stdout.close()
    wait_for(lambda: start_time(child) is None)
    with holding(target.context(fencing_token=2)):
        pass


def test_the_target_stays_locked_while_a_child_of_a_dead_worker_lives(target: Target) -> None:
    code = "import os, time\npid = os.fork()\nif pid:\n    print(pid, flush=True)\ntime.sleep(60)"
    worker = _worker(target, code)
    assert worker.stdout is not None
    grandchild = int(worker.stdout.readline())
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    worker.stdout.close()
    try:
        with pytest.raises(StillRunning), holding(replace(target.context(), fencing_token=2)):
            pass
    finally:
        os.kill(grandchild, signal.SIGKILL)

    def unlocked() -> bool:
        try:
            with holding(replace(target.context(), fencing_token=2)):
                return True
        except StillRunning:
            return False

    wait_for(unlocked)
