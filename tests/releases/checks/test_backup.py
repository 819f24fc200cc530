"""The check of backups: a real dump that the step took, old, torn, changed and gone."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import ValidationError

from releases.checks.backup import Backup, BackupCheckParameters
from releases.checks.base import CheckContext, CheckResult, Verdict
from releases.steps.target import Layout
from tests.releases.steps.conftest import Target, new_database, target, versions

__all__ = ["new_database", "target", "versions"]


def check(made: Target, **parameters: Any) -> CheckResult:
    context = CheckContext(made.spec, made.configuration)
    return Backup().run(context, BackupCheckParameters.model_validate(parameters))


@pytest.fixture
def dumped(target: Target) -> Path:
    """The dump of an installed target."""
    target.install_old()
    target.step("backup", target.context("1/1/x"), prove="list")
    return Layout(target.spec.root).backup("deployment:1") / "database.dump"


def aged(path: Path, hours: float) -> None:
    os.utime(path, (time.time() - hours * 3600, time.time() - hours * 3600))


@pytest.mark.parametrize("prove", ["digest", "list", "restore"])
def test_a_fresh_whole_dump_passes(target: Target, dumped: Path, prove: str) -> None:
    result = check(target, prove=prove)
    assert (result.verdict, result.value) == (Verdict.PASS, "0.0 h"), result.output
    assert "deployment-1/database.dump" in result.output


def test_what_was_restored_is_compared_and_leaves_nothing_behind(target: Target, dumped: Path) -> None:
    assert "Restored: 3 tables, 25 rows." in check(target, prove="restore").output
    with psycopg.connect(target.database) as connection:
        left = connection.execute("SELECT count(*) FROM pg_database WHERE datname LIKE 'ringi_check_%'").fetchone()
    assert left == (0,)


def test_an_old_one_fails(target: Target, dumped: Path) -> None:
    aged(dumped, 27)
    assert check(target).verdict is Verdict.FAIL
    assert check(target, within_hours=28).verdict is Verdict.PASS


@pytest.mark.parametrize("prove", ["digest", "list", "restore"])
def test_a_torn_changed_or_missing_one_fails(target: Target, dumped: Path, prove: str) -> None:
    content = dumped.read_bytes()
    for broken in (content[: len(content) // 2], content[:-1] + b"x", b""):
        dumped.write_bytes(broken)
        assert check(target, prove=prove).verdict is Verdict.FAIL
    dumped.unlink()
    assert check(target, prove=prove).verdict is Verdict.FAIL


def test_dumps_of_others_are_found_by_their_pattern(target: Target, dumped: Path) -> None:
    folder = target.spec.root / "nightly"
    folder.mkdir()
    assert check(target, files="nightly/*.dump").verdict is Verdict.NO_DATA
    (folder / "one.dump").write_bytes(dumped.read_bytes())
    (folder / "two.dump").write_bytes(b"no dump")
    aged(folder / "two.dump", 1)
    assert check(target, files="nightly/*.dump").verdict is Verdict.PASS, "the newest counts"
    assert check(target, files="nightly/*.dump", prove="restore").verdict is Verdict.PASS
    assert check(target, files="nightly/*.dump", prove="digest").verdict is Verdict.NO_DATA
    aged(folder / "one.dump", 2)
    assert check(target, files="nightly/*.dump").verdict is Verdict.FAIL


def test_a_target_without_a_dump_is_no_data(target: Target) -> None:
    assert check(target).verdict is Verdict.NO_DATA
    target.step("backup", target.context("1/1/x", previous=None), prove="list")
    assert check(target).verdict is Verdict.NO_DATA, "there was nothing to save"


@pytest.mark.parametrize("wrong", [{"within_hours": 0}, {"files": "../*.dump"}, {"files": "/etc/*"}, {"prove": "hope"}])
def test_parameters_are_checked_when_the_plan_is_made(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        BackupCheckParameters.model_validate(wrong)
