"""Programs are started tied to their worker, with and without setpriv, with the same messages."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from environments.targets import spawn
from environments.targets.base import StepFailed

HERE = str(Path(__file__).parents[3])
WORKER = """
import sys, time
sys.path.insert(0, {here!r})
from django.conf import settings
settings.configure(USE_I18N=False)
from pathlib import Path
from environments.targets import spawn
if not {spawns}:
    spawn._tie = lambda: ()
process = spawn.start([sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(60)"],
                      environment={{"PATH": {path!r}}}, folder=Path("/"))
sys.stdout.write(process.stdout.readline().decode()); sys.stdout.flush()
time.sleep(60)
"""


@pytest.fixture(params=[True, False], ids=["setpriv", "fork"])
def spawns(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[bool]:
    """Both ways to tie a program, where this machine has both."""
    if request.param and not spawn._tie():
        pytest.skip("setpriv of util-linux is not on the PATH")
    if not request.param:
        monkeypatch.setattr(spawn, "_tie", lambda: ())
    yield request.param


def begun(*arguments: str, folder: Path = Path("/"), **environment: str) -> subprocess.Popen[bytes]:
    return spawn.start(arguments, environment={"PATH": os.environ["PATH"], **environment}, folder=folder)


def test_arguments_and_environment_arrive_unchanged(spawns: bool, tmp_path: Path) -> None:
    odd = ["$HOME", "`id`", "a b", "", "*", "-c", "--", "'\"", "x\ny"]
    look = "import os, sys; print(repr((sys.argv[1:], os.environ.get('A'), os.getcwd(), os.getpgrp() == os.getpid())))"
    process = begun(sys.executable, "-c", look, *odd, folder=tmp_path, A="$A;b")
    assert process.stdout is not None
    assert eval(process.stdout.read()) == (odd, "$A;b", str(tmp_path), True)  # noqa: S307  our own words
    assert process.wait() == 0
    process.stdout.close()


def test_a_program_ends_with_its_own_code_or_signal(spawns: bool) -> None:
    for script, code in (("raise SystemExit(7)", 7), ("import os; os.kill(os.getpid(), 15)", -signal.SIGTERM)):
        process = begun(sys.executable, "-c", script)
        assert process.wait() == code and process.stdout is not None
        process.stdout.close()


@pytest.mark.parametrize(
    ("name", "mode", "why"),
    [
        ("no-such-program", None, "No such file"),
        ("./there", 0o600, "Permission denied"),
        ("./gone", None, "No such file"),
    ],
)
def test_a_program_that_cannot_start_says_why(
    spawns: bool, tmp_path: Path, name: str, mode: int | None, why: str
) -> None:
    if mode is not None:
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(mode)
    with pytest.raises(StepFailed, match=f"{Path(name).name} could not be started: {why}"):
        begun(name, folder=tmp_path)


@pytest.mark.parametrize(
    ("content", "why"),
    [("echo a shell read this", "Exec format error"), ("#!/gone/python\n", "No such file"), ("", "Exec format error")],
    ids=["no_format", "no_interpreter", "empty"],
)
def test_a_file_that_the_kernel_cannot_run_is_not_read_by_a_shell(
    spawns: bool, tmp_path: Path, content: str, why: str
) -> None:
    (tmp_path / "there").write_text(content)
    (tmp_path / "there").chmod(0o700)
    with pytest.raises(StepFailed, match=f"there could not be started: {why}"):
        begun("./there", folder=tmp_path)


def test_a_script_runs_with_its_interpreter(spawns: bool, tmp_path: Path) -> None:
    (tmp_path / "there").write_text(f"#!{sys.executable} -I\nprint('ran')\n")
    (tmp_path / "there").chmod(0o700)
    process = begun("./there", folder=tmp_path)
    assert process.stdout is not None and process.stdout.read() == b"ran\n" and process.wait() == 0
    process.stdout.close()


def test_a_program_dies_with_its_starting_process(spawns: bool) -> None:
    script = WORKER.format(here=HERE, spawns=spawns, path=os.environ["PATH"])
    worker = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    monitoring = os.pidfd_open(int(worker.stdout.readline()))
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    worker.stdout.close()
    try:
        assert _ends(monitoring)
    finally:
        os.close(monitoring)


def test_a_program_whose_worker_died_before_the_tie_does_not_begin(tmp_path: Path) -> None:
    """The number before the program is not its parent's: the worker died in between."""
    if not (tie := spawn._tie()):
        pytest.skip("setpriv of util-linux is not on the PATH")
    ended = subprocess.run([*tie, str(os.getppid()), "touch", str(tmp_path / "made")], check=False)
    assert ended.returncode == 137 and not (tmp_path / "made").exists()


def _ends(monitoring: int) -> bool:
    import select

    return bool(select.select([monitoring], [], [], 20)[0])
