"""The sample application as real processes with a real database."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from environments.targets.log_position import log_position
from releases.check_types import by_name
from releases.check_types.base import CheckContext, CheckResult, Result
from releases.demo.load import send
from releases.demo.repository import LAYERS, files, lay
from releases.metric_sources import source
from tests.releases.demo.conftest import Copy

Serving = Callable[[str], Copy]
Statuses = Counter[str]


@pytest.mark.parametrize("layer", [LAYERS[0], LAYERS[-1]])  # together the runs cover every file
def test_the_samples_own_tests_pass_with_high_coverage(layer: str, database: str, tmp_path: Path) -> None:
    lay(files(layer), tmp_path / "tree")
    words = ["-m", "pytest", "-q", "--cov", "--cov-report=xml:coverage.xml", "--junitxml=junit.xml"]
    done = subprocess.run(
        [sys.executable, *words],
        cwd=tmp_path / "tree",
        env={"PATH": os.environ["PATH"], "DATASET_TEST_DATABASE_URL": database, "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    coverage = ElementTree.parse(tmp_path / "tree" / "coverage.xml").getroot()
    assert float(coverage.attrib["line-rate"]) >= 0.95
    suite = ElementTree.parse(tmp_path / "tree" / "junit.xml").getroot()[0]
    assert int(suite.attrib["tests"]) >= 40
    assert (suite.attrib["failures"], suite.attrib["errors"], suite.attrib["skipped"]) == ("0", "0", "0")


def test_the_check_command_distinguishes_the_schemas_of_the_versions(copy: Copy) -> None:
    for layer in LAYERS:
        copy.lay(layer)
        assert copy.run("migrate", "--check").returncode == 3
        assert copy.run("migrate").returncode == 0
    assert copy.run("migrate", "--check").returncode == 0
    copy.run("seed", "--rows", "3000", "--seed", "7")
    with psycopg.connect(copy.database) as connection:
        assert connection.execute("SELECT count(*) FROM datasets").fetchone() == (3000,)


def test_the_sample_migrates_but_does_not_start_without_its_new_key(copy: Copy) -> None:
    del copy.settings["EXPORT_LIMIT"]
    copy.configure()
    copy.lay("v1_3_0")
    assert copy.run("migrate").returncode == 0
    done = copy.run("serve")
    assert done.returncode == 2
    assert "EXPORT_LIMIT" in done.stderr


def test_an_installed_tree_stays_unchanged(serving: Serving) -> None:
    copy = serving("v1_4_0")
    assert copy.stop() == 0
    tree = copy.root / "releases" / "v1_4_0"
    found = {path.relative_to(tree).as_posix(): path.read_bytes() for path in tree.rglob("*") if path.is_file()}
    assert found == files("v1_4_0")


def test_a_killed_migration_continues_with_each_batch_once(copy: Copy) -> None:
    copy.lay("v1_3_0")
    copy.run("migrate")
    copy.run("seed", "--rows", "900")
    copy.lay("v1_4_0")
    copy.configure(BATCH_PAUSE="5")
    process = subprocess.Popen(copy.words("migrate"), stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout as lines:
        assert b"batch 1, datasets 1 to 200" in next(iter(lines))
        process.send_signal(signal.SIGKILL)
    assert process.wait(10) == -signal.SIGKILL
    assert copy.run("migrate", "--check").returncode == 3
    copy.configure(BATCH_PAUSE="0")
    done = copy.run("migrate")
    assert done.stdout.startswith("0003_normalised_titles: batch 2, datasets 201 to 400\n"), done.stderr
    with psycopg.connect(copy.database) as connection:
        batches = connection.execute("SELECT batch, first_id, last_id FROM migration_batches ORDER BY batch")
        assert batches.fetchall() == [(1, 1, 200), (2, 201, 400), (3, 401, 600), (4, 601, 800), (5, 801, 900)]
        forms = connection.execute(
            "SELECT count(*) FILTER (WHERE title LIKE 'DS %'), count(*) FILTER (WHERE title LIKE 'DS DS %')"
            " FROM datasets"
        )
        assert forms.fetchone() == (900, 0)


def test_requests_refused_by_maintenance_are_not_counted(serving: Serving) -> None:
    copy = serving("v1_2_0")
    copy.flag.touch()
    report = send(f"http://127.0.0.1:{copy.port}", rate=200, seconds=0.5)
    assert set(report["statuses"]) == {"503"}
    reading = source("prometheus_text").read(copy.target, source("prometheus_text").parameters())
    assert reading.up
    assert (reading.values["requests"], reading.values["errors"]) == (0, 0)


def measured(copy: Copy, send_load: Callable[[], Statuses]) -> tuple[Statuses, dict[str, float | None]]:
    """Send load between two readings; return the answers and the derived metrics."""
    prometheus = source("prometheus_text")
    wanted = prometheus.parameters()
    earlier = prometheus.read(copy.target, wanted)
    statuses = send_load()
    return statuses, prometheus.derive(earlier, prometheus.read(copy.target, wanted), wanted)


def paced(copy: Copy, rate: float, seconds: float) -> Statuses:
    """Send load at a rate; return status → number."""
    statuses = send(f"http://127.0.0.1:{copy.port}", rate=rate, seconds=seconds)["statuses"]
    assert isinstance(statuses, dict)
    return Counter(statuses)


def beyond(copy: Copy, requests: int) -> Statuses:
    """Send load until there were so many requests, however slow the machine is."""
    statuses: Statuses = Counter()
    while statuses.total() < requests:
        statuses += paced(copy, 2000, 0.3)
    return statuses


def test_1_3_0_bears_the_load_that_breaks_1_4_0(serving: Serving) -> None:
    copy = serving("v1_3_0")
    statuses, metrics = measured(copy, lambda: beyond(copy, 2200))
    assert set(statuses) <= {"200", "201"}
    assert (metrics["error_rate"], metrics["service_down"]) == (0, 0)
    healthy = metrics["response_time"]
    copy.stop()

    copy.lay("v1_4_0")
    assert copy.run("migrate").returncode == 0
    copy.start()
    began = log_position(copy.log)
    statuses, metrics = measured(copy, lambda: paced(copy, 300, 0.5))
    assert metrics["error_rate"] == 0, statuses
    assert checked(copy, "log", began).result is Result.PASSED
    beyond(copy, 2000)
    statuses, metrics = measured(copy, lambda: paced(copy, 80, 1.5))
    assert metrics["error_rate"] == pytest.approx(0.2, abs=0.03), statuses
    assert statuses["500"] > 5
    assert healthy is not None and metrics["response_time"] is not None
    assert metrics["response_time"] > 3 * healthy
    found = checked(copy, "log", began)
    assert found.result is Result.FAILED
    assert "CacheBusy" in found.output
    asked = checked(copy, "http", None, path="/health", json_equals={"version": "1.4.0"})
    assert asked.result is Result.PASSED


def checked(copy: Copy, name: str, began: dict[str, Any] | None, **parameters: object) -> CheckResult:
    check = by_name(name)
    return check.run(CheckContext(copy.target, position=began), check.parameters.model_validate(parameters))
