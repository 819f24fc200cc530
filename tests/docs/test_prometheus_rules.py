"""The alerts for Prometheus: Prometheus itself plays them, and each reads a metric that Ringi has."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from config.development.processes import PROJECT

FOLDER = PROJECT / "docs" / "how-to" / "prometheus"


def test_each_alert_fires_when_it_must_and_only_then() -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed: the alerts are not played")
    for words in (["check", "rules", "ringi.rules.yml"], ["test", "rules", "ringi.rules.test.yml"]):
        done = subprocess.run(["promtool", *words], cwd=FOLDER, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_reads_metrics_that_there_are_and_says_what_to_do() -> None:
    rules = (FOLDER / "ringi.rules.yml").read_text("utf-8")
    code = "".join((PROJECT / "config" / name).read_text("utf-8") for name in ("health.py", "served.py"))
    asked = re.findall(r"ringi_[a-z_]+", "\n".join(re.findall(r"expr: (.*)", rules)))
    named = {re.sub("_(bucket|count)$", "", name) for name in asked}  # of a histogram
    assert len(named) >= 7
    assert not [name for name in named if f'"{name}"' not in code and f'"{name.removeprefix("ringi_")}"' not in code]
    assert rules.count("- alert:") == rules.count("action:") == rules.count("summary:")
    played = (FOLDER / "ringi.rules.test.yml").read_text("utf-8")
    assert all(played.count(f"alertname: {alert}") >= 2 for alert in re.findall(r"alert: (\w+)", rules))
