"""The alerts for Prometheus: Prometheus itself plays them, and each reads a metric that Ringi has."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from config.development.processes import PROJECT

FOLDER = PROJECT / "deploy" / "prometheus"


def test_each_alert_fires_when_it_must_and_only_then() -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed: the alerts are not played")
    for words in (["check", "rules", "ringi.rules.yml"], ["test", "rules", "ringi.rules.test.yml"]):
        done = subprocess.run(["promtool", *words], cwd=FOLDER, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr


def unknown(expressions: list[str]) -> list[str]:
    """Return the metrics that expressions read and Ringi has not."""
    code = "".join((PROJECT / "config" / name).read_text("utf-8") for name in ("health.py", "served.py"))
    asked = re.findall(r"ringi_[a-z_]+", "\n".join(expressions))
    named = {re.sub("_(bucket|count)$", "", name) for name in asked}  # of a histogram
    assert len(named) >= 7
    return [name for name in named if f'"{name}"' not in code and f'"{name.removeprefix("ringi_")}"' not in code]


def test_each_alert_reads_metrics_that_there_are_and_says_what_to_do() -> None:
    rules = (FOLDER / "ringi.rules.yml").read_text("utf-8")
    assert unknown(re.findall(r"expr: (.*)", rules)) == []
    assert rules.count("- alert:") == rules.count("action:") == rules.count("summary:")
    played = (FOLDER / "ringi.rules.test.yml").read_text("utf-8")
    assert all(played.count(f"alertname: {alert}") >= 2 for alert in re.findall(r"alert: (\w+)", rules))


def test_each_panel_of_the_dashboard_asks_what_prometheus_understands_and_ringi_has(tmp_path: Path) -> None:
    panels = json.loads((FOLDER / "dashboard.json").read_text("utf-8"))["panels"]
    expressions = [target["expr"] for panel in panels for target in panel["targets"]]
    assert unknown(expressions) == [] and len({panel["id"] for panel in panels}) == len(panels)
    # The places on a grid of 24 columns: no two panels lie over each other.
    cells = [
        (x, y)
        for at in (panel["gridPos"] for panel in panels)
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(cells) == len(set(cells)) and max(x for x, _y in cells) == 23
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed: the expressions are not read by Prometheus")
    rows = [{"record": f"panel:{number}", "expr": one} for number, one in enumerate(expressions)]
    (tmp_path / "rules.json").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rows}]}), "utf-8")
    done = subprocess.run(["promtool", "check", "rules", "rules.json"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
