"""The check of backups: a real dump of the backup step; old, torn, changed and missing ones."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import ValidationError

from environments.targets.target import Layout
from releases.check_types.backup import Backup, BackupCheckParameters
from releases.check_types.base import CheckContext, CheckResult, Result
from tests.releases.step_types.conftest import Target, new_database, target, versions

__all__ = ["new_database", "target", "versions"]


def check(made: Target, **parameters: Any) -> CheckResult:
    context = CheckContext(made.spec, made.configuration)
    return Backup().run(context, BackupCheckParameters.model_validate(parameters))


@pytest.fixture
def dumped(target: Target) -> Path:
    """The dump of an installed target."""
    target.install_old()
    target.step("backup", target.context("1/1/x"), verify="list")
    return Layout(target.spec.root).backup("deployment:1") / "database.dump"


def aged(path: Path, hours: float) -> None:
    os.utime(path, (time.time() - hours * 3600, time.time() - hours * 3600))


@pytest.mark.parametrize("prove", ["digest", "list", "restore"])
def test_a_fresh_whole_dump_passes(target: Target, dumped: Path, prove: str) -> None:
    result = check(target, verify=prove)
    assert (result.result, result.value) == (Result.PASSED, "0.0 h"), result.output
    assert "deployment-1/database.dump" in result.output


def test_a_restored_dump_is_compared_and_leaves_nothing_behind(target: Target, dumped: Path) -> None:
    assert "Restored: 3 tables, 25 rows." in check(target, verify="restore").output
    with psycopg.connect(target.database) as connection:
        left = connection.execute("SELECT count(*) FROM pg_database WHERE datname LIKE 'ringi_check_%'").fetchone()
    assert left == (0,)


def test_an_old_dump_fails(target: Target, dumped: Path) -> None:
    aged(dumped, 27)
    assert check(target).result is Result.FAILED
    assert check(target, within_hours=28).result is Result.PASSED


def test_a_dump_whose_time_is_ahead_has_no_known_age(target: Target, dumped: Path) -> None:
    """A wrong clock at the time of one dump: it would stay fresh for years, and hide that no newer one was made."""
    aged(dumped, -24 * 365)
    assert check(target).result is Result.NO_DATA
    aged(dumped, -0.01)
    assert check(target).result is Result.PASSED


@pytest.mark.parametrize("prove", ["digest", "list", "restore"])
def test_a_torn_changed_or_missing_dump_fails(target: Target, dumped: Path, prove: str) -> None:
    content = dumped.read_bytes()
    for broken in (content[: len(content) // 2], content[:-1] + b"x", b""):
        dumped.write_bytes(broken)
        assert check(target, verify=prove).result is Result.FAILED
    dumped.unlink()
    assert check(target, verify=prove).result is Result.FAILED


def test_foreign_dumps_are_found_by_their_pattern(target: Target, dumped: Path) -> None:
    folder = target.spec.root / "nightly"
    folder.mkdir()
    assert check(target, files="nightly/*.dump").result is Result.NO_DATA
    (folder / "one.dump").write_bytes(dumped.read_bytes())
    (folder / "two.dump").write_bytes(b"no dump")
    aged(folder / "two.dump", 1)
    assert check(target, files="nightly/*.dump").result is Result.PASSED, "the newest counts"
    assert check(target, files="nightly/*.dump", verify="restore").result is Result.PASSED
    assert check(target, files="nightly/*.dump", verify="digest").result is Result.NO_DATA
    aged(folder / "one.dump", 2)
    assert check(target, files="nightly/*.dump").result is Result.FAILED


def test_a_target_without_a_dump_is_no_data(target: Target) -> None:
    assert check(target).result is Result.NO_DATA
    target.step("backup", target.context("1/1/x", previous=None), verify="list")
    assert check(target).result is Result.NO_DATA, "there was nothing to save"


@pytest.mark.parametrize(
    "wrong", [{"within_hours": 0}, {"files": "../*.dump"}, {"files": "/etc/*"}, {"verify": "hope"}]
)
def test_parameters_are_checked_when_the_plan_is_made(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        BackupCheckParameters.model_validate(wrong)
