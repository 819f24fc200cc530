"""Each unit of deploy/systemd writes JSON alone: its own lines, its server's, and the error that ends it."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from psycopg.conninfo import conninfo_to_dict

from config.development.ports import free_port
from config.development.processes import PROJECT, spawn, stop

UNITS = PROJECT / "deploy" / "systemd"
ROLES = {"scheduler": "SCHEDULER_", "worker-development": "WORKER_", "ledger_signer": "LEDGER_SIGNER_"}
# What each says of itself in its first seconds.
SAID = {
    "web": "Booting worker with pid",
    "live": "Application startup complete.",
    "scheduler": "",
    "worker-development": "",
    "ledger_signer": "signed",
    "ledger_stream": "CommandError: RINGI_STREAM_URL names no destination",
}


def unit(path: Path) -> tuple[dict[str, str], list[list[str]]]:
    """Return the variables of a unit for the environment development, and what it runs."""
    text = path.read_text().replace("\\\n", " ").replace("%i", "development")
    lines = [line.partition("=") for line in text.splitlines() if "=" in line and line[0] != "#"]
    variables = [word for key, _sign, value in lines if key == "Environment" for word in value.split()]
    commands = [shlex.split(value) for key, _sign, value in lines if key in ("ExecStartPre", "ExecStart")]
    return dict(word.split("=", 1) for word in variables), commands


def here(words: list[str], port: int) -> list[str]:
    """Return a unit's command line as it runs in this clone."""
    text = shlex.join([sys.executable, *words[1:]]).replace("/opt/ringi", str(PROJECT))
    return shlex.split(text.replace("127.0.0.1:8000", f"127.0.0.1:{port}").replace("--port 8001", f"--port {port}"))


def address(database: str, role: str) -> str:
    url = urlsplit(os.environ.get(f"DATABASE_{role}URL") or os.environ["DATABASE_URL"])
    return url._replace(path=f"/{conninfo_to_dict(database)['dbname']}").geturl()


def lines_of(log: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines; each is one object with what every line has."""
    for text in log.read_text().splitlines():
        line = json.loads(text)
        assert {"time", "level", "logger", "message", "process"} <= line.keys(), line
        assert datetime.fromisoformat(line["time"]).utcoffset() is not None
        yield line


def answers(port: int, path: str) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10)
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def until_said(log: Path, words: str, child: Any, port: int) -> None:
    """Wait until a process has said something, and, where it serves, until it answers; one that says nothing of itself
    is given two seconds.
    """
    began, serves = time.monotonic(), words in (SAID["web"], SAID["live"])
    while time.monotonic() < began + 60 and child.poll() is None:
        said = words in log.read_text() if words else time.monotonic() > began + 2
        if said and (not serves or answers(port, "/health/") and answers(port, "/admin/?token=said-in-the-address")):
            return
        time.sleep(0.05)


@pytest.mark.parametrize("path", sorted(UNITS.glob("*.service")), ids=lambda path: path.stem)
def test_a_unit_writes_one_object_a_line(path: Path, database: str, tmp_path: Path) -> None:
    variables, commands = unit(path)
    name, port, log = variables["RINGI_PROCESS"], free_port(), tmp_path / "log"
    log.touch()
    own = variables | {"RINGI_STATE_DIR": str(tmp_path / "state"), "ALLOWED_HOSTS": "127.0.0.1"}
    environment = os.environ | own | {"DATABASE_URL": address(database, ROLES.get(name, ""))}
    assert variables["RINGI_LOG_FORMAT"] == "json"
    for words in commands:
        child = spawn(here(words, port), environment=environment, log=log)
        until_said(log, SAID[name] if words is commands[-1] else "", child, port)
        stop(child, (signal.SIGTERM, signal.SIGKILL))
    said = list(lines_of(log))
    assert {line["process"] for line in said} <= {name} and (said or not SAID[name])
    assert any(line["message"].startswith(SAID[name]) for line in said) or not SAID[name]
    if name == "web":
        assert any(line.get("route") == "admin/" for line in said) and "said-in-the-address" not in log.read_text()


# gunicorn itself repeats the words of what keeps the web process from starting, bare, after its line.
@pytest.mark.parametrize("name", ["ringi-live", "ringi-scheduler", "ringi-worker@"])
def test_the_error_that_ends_a_unit_is_such_a_line(name: str, database: str, tmp_path: Path) -> None:
    variables, commands = unit(UNITS / f"{name}.service")
    environment = os.environ | variables | {"DATABASE_URL": address(database, "OWNER_")}
    argv = here(commands[-1], free_port())
    with (tmp_path / "log").open("wb") as log:
        ran = subprocess.run(argv, cwd=PROJECT, env=environment, stdout=log, stderr=log, timeout=60, check=False)
    assert ran.returncode != 0
    found = [line for line in lines_of(tmp_path / "log") if line["level"] in ("ERROR", "CRITICAL")]
    assert any("may become the owner of" in line["message"] + line.get("exception", "") for line in found), found
