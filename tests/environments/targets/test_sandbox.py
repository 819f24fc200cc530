"""A target's programs see their folder and the system, and no file of Ringi."""

from __future__ import annotations

import json
import os
import pwd
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from environments.targets import landlock, sandbox
from environments.targets.base import StepFailed, TargetSpec
from environments.targets.runner import run_on
from tests.releases.step_types.conftest import Target, wait_for

# Prints its abilities as JSON. It tries files, processes and an abstract socket of this test.
LOOK = """
import ctypes, json, os, socket, sys
def tried(act):
    try:
        return act()
    except OSError as fault:
        return fault.strerror
def read(path):
    with open(path, "rb") as file:
        return file.read(20).decode(errors="replace")
def written(path):
    with open(path, "w"):
        return "written"
def connected(name):
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(name)
        return "connected"
asked = json.loads(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
names = ("environ", "cmdline", "status", "maps", "fd/0")
processes = [f"/proc/{pid}/{name}" for pid in asked["pids"] for name in names]
print(json.dumps({
    "files": {path: tried(lambda: read(path)) for path in asked["files"]},
    "processes": sorted({str(tried(lambda: read(path))) for path in processes}),
    "listed": tried(lambda: os.listdir("/proc")),
    "attached": [libc.ptrace(16, pid, 0, 0) for pid in asked["pids"]],
    "abstract": tried(lambda: connected(asked["abstract"])),
    "descriptors": [number for number in range(3, 256) if not isinstance(tried(lambda: os.fstat(number)), str)],
    "environment": dict(os.environ),
    "no_new_privileges": libc.prctl(39, 0, 0, 0, 0),
    "capabilities": [number for number in range(64) if libc.prctl(23, number, 0, 0, 0) == 1],
    "account": [os.getuid(), os.getgid(), *os.getgroups()],
    "written": {path: tried(lambda: written(path)) for path in asked["written"]},
}))
"""
DENIED = "Permission denied"
needs_landlock = pytest.mark.skipif(not landlock.landlock(), reason="this kernel has no Landlock (ABI 2, Linux 5.19)")


@pytest.fixture
def target(tmp_path: Path) -> TargetSpec:
    root = tmp_path / "target"
    (root / ".ringi" / "tmp").mkdir(parents=True)
    return TargetSpec("sample", "production", root)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every account may enter."""
    with tempfile.TemporaryDirectory(prefix="ringi-sandbox-") as name:
        Path(name).chmod(0o755)
        if any(
            not one.stat().st_mode & 0o001
            for path in (Path(name), Path(__file__), Path(sys.prefix))
            for one in path.parents
        ):
            pytest.skip("other accounts may not go to this clone or to the folder for temporary files")
        yield Path(name)


@pytest.fixture
def abstract() -> Iterator[str]:
    """A socket with an abstract name that this process serves."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"\0ringi-test-{os.getpid()}")
        server.listen()
        yield server.getsockname().decode()


def asked(*, files: Any = (), written: Any = (), pids: Any = (), abstract: str = "") -> list[str]:
    """The argument list of the program that looks."""
    words = {"files": [*map(str, files)], "written": [*map(str, written)], "pids": [*pids], "abstract": abstract}
    return [sys.executable, "-c", LOOK, json.dumps(words)]


def look(target: TargetSpec, **what: Any) -> Any:
    outcome = run_on(target, asked(**what), seconds=20)
    assert outcome.code == 0, outcome.text
    return json.loads(outcome.text)


@needs_landlock
def test_a_program_reads_only_its_folder_and_the_system(target: TargetSpec, tmp_path: Path) -> None:
    for name in ("target/own", "beside"):
        (tmp_path / name).write_text(name)
    files = {target.root / "own": "target/own", tmp_path / "beside": DENIED, tmp_path: DENIED, "/etc/shadow": DENIED}
    seen = look(target, files=[*files, "/etc/passwd"], written=[target.root / "new", tmp_path / "new"])
    assert seen["files"].pop("/etc/passwd").startswith("root:")
    assert seen["files"] == {str(path): said for path, said in files.items()}
    assert seen["written"] == {str(target.root / "new"): "written", str(tmp_path / "new"): DENIED}


@needs_landlock
def test_a_program_sees_no_process_socket_or_variable_of_ringi(
    target: TargetSpec, abstract: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://of-ringi")
    seen = look(target, pids=[os.getpid(), os.getppid()], abstract=abstract)
    assert (seen["processes"], seen["listed"], seen["attached"]) == ([DENIED], DENIED, [-1, -1])
    assert seen["abstract"] == "Operation not permitted"
    assert seen["descriptors"] == []
    known = {"HOME", "LANG", "PATH", "PYTHONDONTWRITEBYTECODE", "RINGI_TARGET_ROOT", "TMPDIR"}
    assert seen["environment"].keys() - {"LC_CTYPE"} == known
    assert seen["environment"]["HOME"] == str(target.root)


def test_a_program_gains_no_privileges_and_keeps_few(target: TargetSpec) -> None:
    seen = look(target)
    assert seen["no_new_privileges"] == 1
    assert set(seen["capabilities"]) <= landlock.KEPT_CAPABILITIES or os.geteuid() != 0


@needs_landlock
def test_the_options_of_a_target_open_further_paths(target: TargetSpec, tmp_path: Path) -> None:
    for name in ("read", "write"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    target.settings["programs"] = {"read": [str(tmp_path / "read")], "write": [str(tmp_path / "write")]}
    files = [tmp_path / name / "file" for name in ("read", "write")]
    seen = look(target, files=files, written=files)
    assert [*seen["files"].values()] == ["read", "write"]
    assert [*seen["written"].values()] == [DENIED, "written"]


@pytest.mark.parametrize("place", ["{state}", "{state}/secrets", "{above}", "/", "/proc/1", "/etc/ringi", "{link}"])
def test_options_never_open_ringis_own_files(
    target: TargetSpec, tmp_path: Path, state_folder: Path, place: str
) -> None:
    (tmp_path / "link").symlink_to(state_folder)
    path = place.format(state=state_folder, above=state_folder.parent, link=tmp_path / "link" / "ledger_signer")
    target.settings["programs"] = {"read": [path]}
    with pytest.raises(StepFailed, match="belongs to Ringi"):
        look(target)


def test_a_target_in_ringis_own_folder_is_refused_except_in_a_trial(state_folder: Path) -> None:
    for name, own in (("ledger_signer", True), ("targets", False)):
        (state_folder / name).mkdir()
        assert bool(sandbox.opens_ours(str(state_folder / name))) is own


@needs_landlock
def test_a_link_in_a_releases_own_folder_opens_nothing(target: TargetSpec, tmp_path: Path) -> None:
    """A virtual environment that programs can write is not followed through its link."""
    (tmp_path / "outside" / "bin").mkdir(parents=True)
    (tmp_path / "outside" / "pyvenv.cfg").write_text("home = /usr/bin\n")
    (tmp_path / "outside" / "secret").write_text("secret")
    (tmp_path / "outside" / "bin" / "python").symlink_to(sys.executable)
    (target.root / "environment").symlink_to(tmp_path / "outside")
    words = asked(files=[tmp_path / "outside" / "secret"])
    outcome = run_on(target, [str(target.root / "environment" / "bin" / "python"), *words[1:]], seconds=20)
    assert '": "secret"' not in outcome.text  # the program itself decides whether it starts
    outside = sandbox.sandbox_of(target, str(tmp_path / "outside" / "bin" / "python"))
    assert outside is not None and str(tmp_path / "outside") in outside.read


WITH_RIGHTS = """
import sys; sys.path.insert(0, {here!r})
from django.conf import settings; settings.configure(USE_I18N=False)
from pathlib import Path
from environments.targets.base import TargetSpec
from environments.targets.runner import run_on
code = "import os; libc = __import__('ctypes').CDLL(None)"
code += "; held = [n for n in range(40) if libc.prctl(47, 1, n, 0, 0) == 1]"
code += "; print(os.getuid(), held)"
print(run_on(TargetSpec("a", "b", Path({root!r})), [sys.executable, "-c", code], seconds=20).text)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a worker the right to change accounts")
def test_a_worker_without_root_changes_accounts_where_permitted_and_passes_no_right_on(open_folder: Path) -> None:
    rights = "-all,+chown,+kill,+setgid,+setuid"
    become = ["setpriv", "--reuid=nobody", "--clear-groups", f"--inh-caps={rights}", f"--ambient-caps={rights}"]
    script = WITH_RIGHTS.format(here=str(Path(__file__).parents[3]), root=str(open_folder))
    environment = os.environ | {"RINGI_PROGRAM_USER": "daemon"}
    ran = subprocess.run([*become, sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert ran.stdout == f"{pwd.getpwnam('daemon').pw_uid} []\n", ran.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may change accounts")
def test_programs_run_under_the_named_account(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody, target = pwd.getpwnam("nobody"), TargetSpec("sample", "production", open_folder)
    monkeypatch.setenv("RINGI_PROGRAM_USER", "nobody")
    seen = look(target)
    assert set(seen["account"]) == {nobody.pw_uid, nobody.pw_gid}
    assert run_on(target, asked(), seconds=20, tool=True).text.count('"account": [0, ')
    monkeypatch.setenv("RINGI_PROGRAM_USER", "no-such-account")
    with pytest.raises(
        StepFailed, match="“no-such-account”, which RINGI_PROGRAM_USER names, does not exist on this host"
    ):
        look(target)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may change accounts")
def test_a_folder_shared_with_the_programs_group_makes_the_configuration_readable(
    bare_target: Target, open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody, root = pwd.getpwnam("nobody"), open_folder
    bare_target.spec = replace(bare_target.spec, root=root)
    monkeypatch.setenv("RINGI_PROGRAM_USER", "nobody")
    os.chown(root, 0, nobody.pw_gid)
    root.chmod(0o2770)
    before = os.umask(0o027)
    try:
        bare_target.step("configuration_update", bare_target.context())
        argv = ["sh", "-c", "id -u; grep PORT {config}; touch $TMPDIR/made"]
        done = bare_target.step("command", bare_target.context("1/2/x"), argv=argv)
    finally:
        os.umask(before)
    assert done["tail"].split("\n")[0] == str(nobody.pw_uid) and "PORT=" in done["tail"]
    assert (root / ".ringi" / "tmp" / "made").stat().st_uid == nobody.pw_uid
    assert (root / "shared" / "config.env").stat().st_mode & 0o777 == 0o640


@pytest.fixture
def other() -> Iterator[int]:
    """The pid of a process beside the tests, which an attached program may stop."""
    process = subprocess.Popen(["sleep", "100"])
    yield process.pid
    process.kill()
    process.wait()


@needs_landlock
def test_a_service_started_by_a_step_keeps_the_sandbox(bare_target: Target, tmp_path: Path, other: int) -> None:
    (tmp_path / "beside").write_text("secret")
    words = asked(files=[tmp_path / "beside"], pids=[other])
    lives = [words[0], "-u", "-c", f"{words[2]}\nimport time; time.sleep(60)", words[3]]
    bare_target.spec.settings["service"] = {"start": lives, "without_port": True, "stable_seconds": 0.1}
    bare_target.step("code_deploy", bare_target.context())
    bare_target.step("service_control", bare_target.context("1/2/x"), action="start")
    log = bare_target.spec.root / "shared" / "app.log"
    seen = json.loads(wait_for(lambda: log.exists() and log.read_text()))
    assert [*seen["files"].values()] == [DENIED] and seen["processes"] == [DENIED]
    assert (seen["no_new_privileges"], seen["descriptors"]) == (1, [])


def test_the_description_of_the_sandbox_is_accurate(target: TargetSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    def described(**settings: Any) -> tuple[str, str]:
        return sandbox.described(replace(target, settings=settings))

    assert described()[0] == ("passed" if landlock.landlock() else "unknown")
    assert described(ssh={"host": "app1"}) == (
        "unknown",
        "Programs see everything that the account for signing in on the host sees. "
        "Give that account access to nothing else.",
    )
    monkeypatch.setattr(sandbox, "landlock", lambda: 7)
    assert described(programs={"read": ["/no/such"]}) == ("failed", "These paths do not exist: /no/such.")
    monkeypatch.setattr(sandbox, "landlock", lambda: 0)
    assert described()[0] == "unknown" and "has no Landlock" in described()[1]


def test_a_program_without_landlock_still_starts(target: TargetSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landlock, "landlock", lambda: 0)
    assert look(target)["no_new_privileges"] == 1


def _linked(target: Target, at: str, to: Path) -> None:
    """A program of the release leaves a link in its folder, confined as always."""
    link = (
        "import os, pathlib, sys; at, to = map(pathlib.Path, sys.argv[1:]); at.parent.mkdir(exist_ok=True);"
        " at.exists() and at.rename(f'{at}-before'); at.symlink_to(to)"
    )
    assert run_on(target.spec, [sys.executable, "-c", link, at, str(to)], seconds=20).code == 0
    assert (target.spec.root / at).is_symlink()


LINKS = (
    "shared",
    "shared/config.env",
    "shared/app.log",
    "backups",
    ".ringi",
    ".ringi/journal.jsonl",
    ".ringi/lock",
    ".ringi/lock.json",
    "releases",
)


@pytest.mark.parametrize("place", LINKS)
def test_no_step_follows_a_link_out_of_the_folder(bare_target: Target, tmp_path: Path, place: str) -> None:
    """The worker itself reads and writes there with its own rights."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "config.env").write_text("KEY=1\n")
    leads_to = outside if not Path(place).suffix and place != ".ringi/lock" else outside / "config.env"
    bare_target.step("configuration_update", bare_target.context("1/1/x"))
    _linked(bare_target, place, leads_to)
    steps: list[tuple[str, dict[str, Any]]] = [
        ("backup", {"verify": "list"}),
        ("configuration_update", {}),
        ("code_deploy", {}),
        ("maintenance_mode", {"on": True}),
    ]
    for name, parameters in steps:
        with pytest.raises(StepFailed, match="leads out of the folder"):
            bare_target.step(name, bare_target.context(f"1/2/{name}"), **parameters)
    assert [(entry.name, entry.read_text()) for entry in outside.iterdir()] == [("config.env", "KEY=1\n")]
    assert place == "backups" or not list((bare_target.spec.root / "backups").rglob("*.env"))


def test_a_service_log_through_a_link_is_neither_written_nor_shown(bare_target: Target, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the key of the signer\n")
    begin = bare_target.context("0/1/x", previous=None, wanted=bare_target.versions.old)
    bare_target.step("code_deploy", begin)
    bare_target.step("configuration_update", replace(begin, key="0/2/x"))
    _linked(bare_target, "shared/app.log", secret)
    with pytest.raises(StepFailed) as refused:
        bare_target.step("service_control", replace(begin, key="0/3/x"), action="start")
    assert "the key" not in str(refused.value) + refused.value.state
    assert secret.read_text() == "the key of the signer\n"


def test_a_program_that_moves_ringis_folder_during_its_step_causes_no_write_elsewhere(
    bare_target: Target, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    move = f"import os; os.rename('.ringi', 'before'); os.symlink({str(outside)!r}, '.ringi')"
    with pytest.raises(StepFailed, match="leads out of the folder"):
        bare_target.step("command", bare_target.context(), argv=(sys.executable, "-c", move))
    assert not list(outside.iterdir())


def test_a_predicted_file_name_is_not_followed(bare_target: Target, tmp_path: Path) -> None:
    """The worker's process number is no secret."""
    (tmp_path / "outside").write_text("as it was")
    shared = bare_target.spec.root / "shared"
    shared.mkdir()
    (shared / f".config.env.{os.getpid()}").symlink_to(tmp_path / "outside")
    bare_target.step("configuration_update", bare_target.context())
    assert (tmp_path / "outside").read_text() == "as it was"
    assert not (shared / "config.env").is_symlink()


def test_a_link_to_a_writable_option_path_is_followed(bare_target: Target, tmp_path: Path) -> None:
    (tmp_path / "volume").mkdir()
    programs: Any = bare_target.spec.settings["programs"]
    programs["write"] = [str(tmp_path / "volume")]
    (bare_target.spec.root / "shared").symlink_to(tmp_path / "volume")
    bare_target.step("configuration_update", bare_target.context())
    assert (tmp_path / "volume" / "config.env").exists()
