"""Tests of config.development.embedded with the real servers, each in a state folder of its own."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from config.development import embedded, processes
from config.secret_files import Unavailable

GIVEN = ("DATABASE_", "REDIS_", "RINGI_", "POSTGRES_BIN")
PLAIN = {name: value for name, value in os.environ.items() if not name.startswith(GIVEN)}
PRINT = "import json, os; print(json.dumps(dict(os.environ)), flush=True)"


def execute(state: Path, *command: str, **given: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "config.development.embedded", "exec", "--state", str(state), "--", *command]
    options = {"cwd": processes.PROJECT, "env": PLAIN | given, "stdin": subprocess.DEVNULL}
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, **options)


def begin(state: Path, *command: str) -> tuple[subprocess.Popen[str], dict[str, Any], list[int]]:
    """Start `exec` and return it with what its command saw and the servers' process numbers."""
    argv = [sys.executable, "-m", "config.development.embedded", "exec", "--state", str(state), "--", *command]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen(argv, cwd=processes.PROJECT, env=PLAIN, **pipes)
    assert process.stdout
    seen = json.loads(process.stdout.readline())
    return process, seen, [pid_of(state, name) for name in embedded.SIGNALS]


def pid_of(state: Path, name: str) -> int:
    return int(json.loads((state / "run" / f"{name}.json").read_text())["pid"])


def gone(pids: list[int], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while any(processes.identity(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def forget(state: Path) -> None:
    for folder in embedded.ROOTS_FOLDER.glob(f"ringi-*/{state.name}-{embedded._short(state)}"):
        shutil.rmtree(folder)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "test"
    yield folder
    forget(folder)


@pytest.fixture
def no_servers_given(monkeypatch: pytest.MonkeyPatch) -> None:
    urls = ("DATABASE_URL", "REDIS_URL", "DATABASE_OWNER_URL", "DATABASE_SERVER_URL")
    for name in (*urls, "POSTGRES_BIN"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("no_servers_given")
def test_it_starts_both_servers_with_the_three_roles_and_again_quickly(state: Path) -> None:
    with embedded.running(state) as servers:
        with psycopg.connect(servers.owner_url, autocommit=True) as owner:
            owner.execute("CREATE EXTENSION pg_trgm")
            found = owner.execute("SELECT '稟議の承認' % '稟議の承認者', cardinality(show_trgm('稟議'))").fetchone()
            assert found and found[0] is True and found[1] > 0
            names = ("fsync", "max_connections", "TimeZone", "server_encoding", "password_encryption")
            kept = [owner.execute(f"SHOW {name}").fetchone() for name in names]
            assert kept == [("on",), ("200",), ("UTC",), ("UTF8",), ("scram-sha-256",)]
            owner.execute("CREATE DATABASE of_a_test")
            owner.execute("CREATE TABLE kept (id int)")
        with psycopg.connect(servers.app_url) as app, pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute("CREATE TABLE refused (id int)")
        with psycopg.connect(servers.server_url) as server:
            assert server.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone() == (True,)
        assert redis.Redis.from_url(servers.redis_url).ping()
        assert (servers.postgres_bin / "pg_dump").exists()
        pids = [pid_of(state, name) for name in embedded.SIGNALS]
    assert gone(pids, 0)
    began = time.monotonic()
    with embedded.running(state) as servers, psycopg.connect(servers.owner_url) as owner:
        assert owner.execute("SELECT count(*) FROM kept").fetchone() == (0,)
    assert time.monotonic() - began < 3


@pytest.mark.usefixtures("no_servers_given")
def test_it_asks_for_the_password(state: Path) -> None:
    with embedded.running(state) as servers:
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(servers.app_url.replace("ringi:", "ringi:x"))
        with pytest.raises(redis.AuthenticationError):
            redis.Redis.from_url(servers.redis_url.replace("redis://:", "redis://:x")).ping()
    file = state / "servers.json"
    assert file.stat().st_mode & 0o777 == 0o600
    commands = [Path(f"/proc/{pid}/cmdline") for pid in os.listdir("/proc") if pid.isdecimal()]
    words = b"".join(command.read_bytes() for command in commands if command.exists())
    assert not any(key.encode() in words for key in json.loads(file.read_text()).values())


@pytest.mark.usefixtures("no_servers_given")
def test_fresh_begins_with_an_empty_database(state: Path) -> None:
    with embedded.running(state) as servers, psycopg.connect(servers.owner_url) as owner:
        owner.execute("CREATE TABLE earlier (id int)")
    with embedded.running(state, fresh=True) as servers, psycopg.connect(servers.owner_url) as owner:
        assert owner.execute("SELECT to_regclass('earlier')").fetchone() == (None,)


def test_the_command_gets_the_addresses_and_its_status_comes_back(state: Path) -> None:
    ran = execute(state, sys.executable, "-c", PRINT + "; raise SystemExit(3)")
    assert ran.returncode == 3, ran.stderr
    seen = json.loads(ran.stdout)
    assert {*embedded.Servers("", "", "", Path(), "", "", "", "", "").environment()} <= {*seen}
    assert seen["RINGI_STATE_DIR"] == str(state)
    assert execute(state, sys.executable, "-c", "import os; os.kill(os.getpid(), 9)").returncode == 137


def test_a_signal_is_passed_on_and_nothing_is_left(state: Path) -> None:
    catch = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)); " + PRINT
    process, seen, pids = begin(state, sys.executable, "-c", catch + "; signal.pause()")
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 7
    assert gone(pids, 0)


def test_what_the_command_leaves_behind_is_ended(state: Path) -> None:
    leave = "import subprocess; print(subprocess.Popen(['sleep', '600'], stdout=-3).pid)"
    ran = execute(state, sys.executable, "-c", leave)
    assert ran.returncode == 0, ran.stderr
    assert gone([int(ran.stdout)])


def test_kill_9_ends_command_and_servers_and_the_next_start_works(state: Path) -> None:
    number = "import json, os, signal; print(json.dumps({'pid': os.getpid()}), flush=True); signal.pause()"
    process, seen, pids = begin(state, sys.executable, "-c", number)
    process.kill()
    process.wait()
    assert gone([*pids, int(seen["pid"])])
    assert execute(state, "true").returncode == 0


def test_a_server_that_outlived_its_start_is_ended_first(state: Path) -> None:
    process, seen, pids = begin(state, sys.executable, "-c", PRINT + "; import signal; signal.pause()")
    postgres, valkey = pids
    os.kill(postgres, signal.SIGSTOP)  # it stays when its parent goes, as one in a long shutdown does
    process.kill()
    process.wait()
    assert gone([valkey])
    assert processes.identity(postgres)
    resume = subprocess.Popen(["sh", "-c", f"sleep 1; kill -CONT {postgres}"])
    ran = execute(state, "true")
    resume.wait()
    assert ran.returncode == 0, ran.stderr
    assert gone(pids, 0)


def test_a_process_number_that_is_now_anothers_is_left_alone(state: Path) -> None:
    assert execute(state, "true").returncode == 0
    other = subprocess.Popen(["sleep", "600"], user=pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None)
    try:
        files = list(embedded.ROOTS_FOLDER.glob(f"ringi-*/{state.name}-{embedded._short(state)}/postgres"))
        data = files[0] if files else state / "servers" / "postgres"
        (data / "postmaster.pid").write_text(f"{other.pid}\n{data}\n1\n")
        (state / "run" / "valkey.json").write_text(json.dumps({"pid": other.pid, "identity": "of an earlier boot:1"}))
        ran = execute(state, "true")
        assert ran.returncode == 0, ran.stderr
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


@pytest.mark.usefixtures("no_servers_given")
def test_a_second_start_in_the_same_folder_is_refused(state: Path) -> None:
    with embedded.running(state):
        ran = execute(state, "true")
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1)
    assert "in use by another run" in ran.stderr


@pytest.mark.parametrize(
    ("database", "queue", "said"),
    [
        ("postgres://u:secret@127.0.0.1:1/x", "redis://127.0.0.1:1/0", "DATABASE_URL: 127.0.0.1:1 does not answer"),
        ("mysql://u:secret@h/x", "redis://127.0.0.1:1/0", "DATABASE_URL is not an address"),
        ("postgres//u:secret@h", "redis://127.0.0.1:1/0", "DATABASE_URL is not an address"),
        ("postgres://u:secret@h/x", "", "REDIS_URL is not set"),
    ],
)
def test_a_wrong_address_is_one_line(state: Path, database: str, queue: str, said: str) -> None:
    ran = execute(state, "true", DATABASE_URL=database, REDIS_URL=queue)
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1), ran.stderr
    assert said in ran.stderr and "secret" not in ran.stderr


def test_given_servers_are_used_and_none_is_started(state: Path, tmp_path: Path) -> None:
    process, seen, pids = begin(state, sys.executable, "-c", PRINT + "; import signal; signal.pause()")
    try:
        given = {name: seen[name] for name in ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL")}
        ran = execute(tmp_path / "other", sys.executable, "-c", PRINT, **given)
        assert ran.returncode == 0, ran.stderr
        assert {name: json.loads(ran.stdout)[name] for name in given} == given
        assert not (tmp_path / "other" / "run").exists()
        ran = execute(tmp_path / "other", "true", **given | {"REDIS_URL": "redis://127.0.0.1:1/0"})
        assert (ran.returncode, "REDIS_URL" in ran.stderr) == (2, True)
    finally:
        process.terminate()
        process.wait()


@pytest.mark.usefixtures("no_servers_given")
def test_a_given_database_with_tables_is_not_emptied(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with embedded.running(state) as servers:
        with psycopg.connect(servers.owner_url) as owner:
            owner.execute("CREATE TABLE precious (id int)")
        for name, value in servers.environment().items():
            monkeypatch.setenv(name, value)
        with pytest.raises(Unavailable, match="holds tables"):
            with embedded.running(state.parent / "other", fresh=True):
                pass
        with psycopg.connect(servers.owner_url) as owner:
            assert owner.execute("SELECT count(*) FROM precious").fetchone() == (0,)
            owner.execute("DROP TABLE precious")
        for _ in range(2):  # the second time the mark of the first allows it
            with embedded.running(state.parent / "other", fresh=True), psycopg.connect(servers.owner_url) as owner:
                owner.execute("CREATE TABLE of_the_demo (id int)")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs a folder of nobody's")
def test_under_root_a_closed_folder_stays_closed(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    state = closed / "var" / "test"
    try:
        process, seen, pids = begin(state, sys.executable, "-c", PRINT + "; import signal; signal.pause()")
        nobody = pwd.getpwnam("nobody").pw_uid
        assert {Path(f"/proc/{pid}").stat().st_uid for pid in pids} == {nobody}
        process.terminate()
        process.wait()
        assert closed.stat().st_mode & 0o777 == 0o700
        assert tmp_path.stat().st_mode & 0o077 == 0
        home = embedded.ROOTS_FOLDER / f"ringi-{embedded._short(processes.PROJECT)}"
        assert (home.stat().st_uid, home.stat().st_mode & 0o777) == (nobody, 0o700)
    finally:
        forget(state)


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user, which only root may")
def test_an_ordinary_user_keeps_everything_in_the_state_folder() -> None:
    nobody = pwd.getpwnam("nobody")
    runs_as = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": [], "env": PLAIN}
    try:
        reach = [sys.executable, "-c", "import config.development.embedded"]
        subprocess.run(reach, cwd=processes.PROJECT, check=True, **runs_as)
    except PermissionError:
        pytest.skip("nobody may not read this clone")
    top = Path("/var/tmp") / f"ringi.test.{os.getpid()}"
    top.mkdir(mode=0o700)
    os.chown(top, nobody.pw_uid, nobody.pw_gid)
    try:
        argv = [sys.executable, "-m", "config.development.embedded", "exec", "--state", str(top / "s"), "--", "true"]
        ran = subprocess.run(argv, cwd=processes.PROJECT, capture_output=True, text=True, check=False, **runs_as)
        assert ran.returncode == 0, ran.stderr
        assert (top / "s" / "servers" / "postgres" / "PG_VERSION").exists()
    finally:
        shutil.rmtree(top)


@pytest.mark.usefixtures("no_servers_given")
def test_what_is_thrown_away_begins_and_ends_empty_also_after_a_crash(state: Path) -> None:
    place, left = embedded.MEMORY / f"ringi-{embedded._short(state)}", embedded.MEMORY / f"ringi-{state.parent.name}"
    if not os.access(embedded.MEMORY, os.W_OK) or shutil.disk_usage(embedded.MEMORY).free < embedded.LEAST_MEMORY:
        pytest.skip(f"{embedded.MEMORY} has no room")
    left.mkdir()
    (left / "state").write_text(str(state.parent / "of-a-run-that-was-killed"))
    try:
        for attempt in range(2):
            with embedded.running(state, throw_away=True) as servers:
                assert (place / "postgres" / "PG_VERSION").exists()
                with psycopg.connect(servers.owner_url) as owner:
                    assert owner.execute("SELECT to_regclass('kept'), current_setting('fsync')").fetchone() == (
                        None,
                        "off",
                    )
                    owner.execute("CREATE TABLE kept (id int)")
                embedded._remove_orphans_in_memory()
                assert place.exists() and not left.exists(), "what is in use stays, what nobody uses goes"
            assert not place.exists()
            if attempt == 0:
                (place / "postgres").mkdir(parents=True)
                (place / "postgres" / "half-written").touch()
    finally:
        for folder in (place, left):
            shutil.rmtree(folder, ignore_errors=True)
