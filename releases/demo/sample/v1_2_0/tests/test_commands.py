"""The commands as they are typed."""

import http.client
import os
import re
import signal
import threading
import time
from pathlib import Path

import psycopg
import pytest
from dataset_service.__main__ import main
from dataset_service.version import VERSION


def test_it_migrates_checks_and_seeds(config: Path, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["migrate", "--check", "--config", str(config)]) == 3
    assert main(["migrate", "--config", str(config)]) == 0
    assert main(["migrate", "--check", "--config", str(config)]) == 0
    seeding = ["seed", "--config", str(config), "--rows", "30", "--seed", "7"]
    assert main(seeding) == 0
    assert main(seeding) == 0
    assert capsys.readouterr().out.endswith("30 datasets added\n0 datasets added\n")
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*), count(DISTINCT title) FROM datasets").fetchone() == (30, 30)


def test_it_says_what_the_configuration_lacks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--config", str(tmp_path / "none")]) == 2
    (tmp_path / "empty").touch()
    assert main(["serve", "--config", str(tmp_path / "empty")]) == 2
    assert "DATABASE_URL" in capsys.readouterr().err


def test_it_says_when_the_database_does_not_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config").write_text('DATABASE_URL="postgresql://nobody@127.0.0.1:1/none"')
    assert main(["migrate", "--check", "--config", str(tmp_path / "config")]) == 1
    assert "refused" in capsys.readouterr().err


def test_it_serves_until_it_is_stopped(config: Path, migrated: str, tmp_path: Path) -> None:
    log, answers = tmp_path / "app.log", []

    def talk() -> None:
        until = time.monotonic() + 10
        try:
            while time.monotonic() < until and not answers:
                found = re.search(r"serves on port (\d+)", log.read_text() if log.exists() else "")
                if found:
                    connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=5)
                    connection.request("GET", "/health")
                    answers.append(connection.getresponse().status)
                time.sleep(0.01)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    signal.signal(signal.SIGTERM, lambda *_: None)
    thread = threading.Thread(target=talk)
    thread.start()
    try:
        assert main(["serve", "--config", str(config)]) == 0
    finally:
        thread.join()
        for number, handling in kept.items():
            signal.signal(number, handling)
    assert answers == [200]
    assert log.read_text().splitlines()[-1].endswith(f"version {VERSION} stopped")
