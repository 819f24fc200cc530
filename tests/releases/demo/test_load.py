"""The load generator."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from releases.demo.load import NotLocal, loopback, send
from tests.releases.demo.conftest import Copy


@pytest.mark.parametrize(
    "address",
    [
        "http://192.0.2.7:80",
        "http://example.test",
        "https://127.0.0.1",
        "http://127.0.0.1@192.0.2.7/",
        "http://127.0.0.1.example.test",
        "http://0.0.0.0:80",
        "127.0.0.1",
        "http://127.0.0.1:99999",
        "",
    ],
)
def test_an_address_of_another_machine_is_refused(address: str) -> None:
    with pytest.raises(NotLocal):
        loopback(address)


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:80", "http://127.9.9.9:80/", "http://[::1]:80", "http://localhost:80"]
)
def test_an_address_of_this_machine_is_accepted(address: str) -> None:
    assert loopback(address)[1] == 80


def test_the_command_refuses_foreign_addresses_and_unbounded_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    words = [sys.executable, "-m", "releases.demo.load", "--seconds", "1", "--base-url"]
    done = subprocess.run([*words, "http://192.0.2.7", "--rate", "1"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "not an http address of this machine" in done.stderr
    done = subprocess.run([*words, "http://[::1]", "--rate", "1e9"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "at most 2000" in done.stderr


def test_rate_time_and_share_of_writes_are_kept(serving: Callable[[str], Copy], tmp_path: Path) -> None:
    copy = serving("v1_2_0")
    words = ["--base-url", f"http://127.0.0.1:{copy.port}", "--rate", "100", "--seconds", "1"]
    kept = ["--write-share", "0.3", "--report", str(tmp_path / "report.json")]
    subprocess.run([sys.executable, "-m", "releases.demo.load", *words, *kept], check=True)
    report = json.loads((tmp_path / "report.json").read_text())
    assert 40 <= report["requests"] <= 110
    assert 1 <= report["elapsed_seconds"] < 3
    assert 0.15 < report["written"] / report["requests"] < 0.45
    with psycopg.connect(copy.database) as connection:
        assert connection.execute("SELECT count(*) - 100 FROM datasets").fetchone() == (report["written"],)


def test_the_load_continues_without_answers() -> None:
    report = send("http://127.0.0.1:1", rate=1000, seconds=0.7)
    assert report["requests"] == 0
    assert 4 <= int(str(report["refused"])) <= 16  # four visitors that wait 0.2 s each time
