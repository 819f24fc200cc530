"""How long requests took, over all processes of one web server."""

from __future__ import annotations

import os
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from config.served import FOLDER, share
from tests.browser.conftest import static_files
from tests.browser.serving import serving

__all__ = ["static_files"]
TOKEN = "a-word-for-prometheus"
pytestmark = pytest.mark.timeout(300)


def counted(text: str) -> dict[tuple[str, str], float]:
    """Return (kind, status) → number of requests."""
    (family,) = [one for one in text_string_to_metric_families(text) if one.name == "ringi_request_seconds"]
    named = [one for one in family.samples if one.name == "ringi_request_seconds_count"]
    return {(one.labels["kind"], one.labels["status"]): one.value for one in named}


def test_each_process_of_a_web_server_counts_for_all(
    database: str, static_files: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RINGI_METRICS_TOKEN", TOKEN)
    monkeypatch.setenv("RINGI_STATE_DIR", str(tmp_path / "state"))
    asks = urllib.request.Request

    def read(url: str) -> str:
        with urllib.request.urlopen(asks(url, headers={"Authorization": f"Bearer {TOKEN}"}), timeout=90) as answer:
            return answer.read().decode()

    def files() -> list[Path]:
        return list((tmp_path / "state" / "metrics").glob("*/histogram_*.db"))

    asked, until = 0, time.monotonic() + 120
    with serving(database, tmp_path / "web.log", workers=2) as address, ThreadPoolExecutor(8) as together:
        while len(files()) < 2 and time.monotonic() < until:
            asked += len(list(together.map(read, [f"{address}/account/login/"] * 40)))
        seen = [counted(read(f"{address}/metrics")) for _scrape in range(10)]
        assert len(files()) == 2, "both processes have served"
    assert [one["other", "2xx"] for one in seen] == [float(asked)] * 10, "whichever process is asked"


def test_the_folders_of_ended_processes_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {})
    ended = tmp_path / "metrics" / "999999999"
    ended.mkdir(parents=True)
    share(tmp_path)
    own = tmp_path / "metrics" / str(os.getppid())
    assert os.environ[FOLDER] == str(own) and own.is_dir() and not ended.exists()
    share(tmp_path / "elsewhere")
    assert os.environ[FOLDER] == str(own), "a folder that is named already is kept"


def test_a_process_alone_counts_for_itself(people: dict[str, Any], browsers: Any, settings: Any) -> None:
    settings.METRICS_TOKEN = TOKEN

    def now() -> dict[tuple[str, str], float]:
        answer = Client().get("/metrics", headers={"authorization": f"Bearer {TOKEN}"})
        return counted(answer.content.decode())

    browsers("manager").get("/admin/")
    before = now()
    browsers("manager").get("/admin/")
    browsers("manager").post("/admin/operation/release/plan/", {})
    Client().get("/api/v1/releases")
    after = now()
    grown = {key: after[key] - before.get(key, 0) for key in after if after[key] != before.get(key)}
    assert grown == {("page", "2xx"): 1, ("operation", "4xx"): 1, ("api", "4xx"): 1}
