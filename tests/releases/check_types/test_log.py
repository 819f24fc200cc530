"""The check of the log: it reads from a position, whatever time the lines state."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from environments.targets import log_position
from environments.targets.base import TargetSpec
from releases.check_types.base import CheckContext, CheckResult, Result
from releases.check_types.log import Log, LogParameters
from tests.releases.step_types.conftest import Target, bare_target, host, versions

__all__ = ["bare_target", "host", "versions"]

CONFIGURATION = {"DATABASE_URL": "postgresql://app:tiger-7@db/x", "API_TOKEN": "s3cret", "PORT": "500"}
UVICORN = 'ERROR:    Exception in ASGI application\nTraceback (most recent call last):\n  File "x.py"\n'
FORMATS = {
    "uvicorn": (UVICORN, 'INFO:     127.0.0.1:3 - "GET / HTTP/1.1" 200 OK\n'),
    "gunicorn": ("[2026-03-18 01:00:00 +0000] [7] [ERROR] Error handling request\n", "[2026] [7] [INFO] Booting\n"),
    "nginx": ("2026/03/18 01:00:00 [error] 7#7: open() failed\n", "2026/03/18 01:00:00 [notice] 7#7: start\n"),
    "syslog": ("Mar 18 01:00:00 host app[7]: ERROR no disk\n", "Mar 18 01:00:00 host app[7]: started\n"),
    "logfmt": ("ts=1 level=error msg=x\n", "ts=2 level=info msg=x\n"),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "shared").mkdir()
    return tmp_path / "shared" / "app.log"


def check(
    root: Path, position: Any = None, settings: dict[str, str] | None = None, **parameters: object
) -> CheckResult:
    context = CheckContext(TargetSpec("a", "e", root, settings or {}), CONFIGURATION, position=position)
    return Log().run(context, LogParameters.model_validate(parameters))


def here(path: Path) -> dict[str, Any]:
    found = log_position.log_position(path)
    assert found is not None
    return found


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


@pytest.mark.parametrize("name", FORMATS)
def test_the_position_counts_in_every_log_format(path: Path, name: str) -> None:
    """Lines before the position do not count, with or without a time; lines after it do."""
    bad, good = FORMATS[name]
    path.write_text(good + bad * 3)
    position = here(path)
    append(path, good)
    result = check(path.parents[1], position)
    assert (result.result, result.value) == (Result.PASSED, "0"), result.output
    append(path, bad)
    result = check(path.parents[1], position)
    assert result.result is Result.FAILED and bad.splitlines()[0] in result.output
    assert f"app.log was read from byte {position['size']} on" in result.output


def test_each_check_continues_where_the_last_one_ended(path: Path) -> None:
    append(path, "INFO a\nERROR b\nINFO")
    first = check(path.parents[1], {"inode": None, "size": 0, "mark": ""})
    assert (first.result, first.value) == (Result.FAILED, "1")
    append(path, " and the rest: ERROR c\n")
    second = check(path.parents[1], first.position)
    assert second.value == "1" and "INFO and the rest: ERROR c" in second.output, "a torn line is read whole"
    assert check(path.parents[1], second.position).result is Result.NO_DATA


def test_without_a_position_the_check_has_no_result_and_the_next_one_has_one(path: Path) -> None:
    append(path, "ERROR of nobody knows when\n")
    first = check(path.parents[1])
    assert first.result is Result.NO_DATA and "The log was not read" in first.output
    append(path, "ERROR since\n")
    assert check(path.parents[1], first.position).value == "1"


def renamed(path: Path) -> None:
    path.rename(path.with_name("app.log.1"))


def renamed_twice(path: Path) -> None:
    renamed(path)
    append(path, "ERROR in between\n")
    path.with_name("app.log.1").rename(path.with_name("app.log.2"))
    renamed(path)


def copied_and_cut(path: Path) -> None:
    shutil.copy(path, path.with_name("app.log.1"))
    path.open("w").close()


@pytest.mark.parametrize(("rotate", "value"), [(renamed, "2"), (renamed_twice, "3"), (copied_and_cut, "2")])
def test_a_rotated_log_is_read_to_its_end_and_then_the_new_one(
    path: Path, rotate: Callable[[Path], None], value: str
) -> None:
    append(path, "ERROR before\n")
    position = here(path)
    append(path, "ERROR after\n")
    rotate(path)
    append(path, "ERROR new\n")
    result = check(path.parents[1], position)
    assert result.value == value and "ERROR before" not in result.output
    assert "ERROR after" in result.output and "ERROR new" in result.output
    assert check(path.parents[1], result.position).result is Result.NO_DATA


def test_a_log_whose_previous_file_is_gone_never_passes(path: Path) -> None:
    append(path, "INFO before\n")
    position = here(path)
    renamed(path)
    path.with_name("app.log.1").unlink()
    append(path, "INFO new, and longer than what was there\n")
    result = check(path.parents[1], position, silent_passes=True)
    assert result.result is Result.NO_DATA and "Lines may be missing" in result.output
    append(path, "ERROR new\n")
    assert check(path.parents[1], position).result is Result.FAILED, "what is seen is seen"


def test_a_truncated_log_that_outgrew_the_position_is_read_from_its_beginning(path: Path) -> None:
    append(path, "INFO before\n")
    position = here(path)
    path.write_text("ERROR new\n" + "INFO more\n" * 9)
    result = check(path.parents[1], position)
    assert result.value == "1" and "The log was cut" in result.output


def test_a_log_restarted_by_its_service_is_read_from_there(path: Path) -> None:
    append(path, "INFO before\n")
    position = here(path)
    assert log_position.after_start(path, position) == position
    path.write_text("INFO started\n")
    fresh = log_position.after_start(path, position)
    assert check(path.parents[1], fresh).result is Result.PASSED


def test_the_targets_pattern_finds_errors_and_a_checks_own_pattern_overrides_it(path: Path) -> None:
    append(path, "E! one\nERROR two\nE! three\n")
    own, start = {"log_error_pattern": "^E! "}, {"inode": None, "size": 0, "mark": ""}
    assert check(path.parents[1], start, own).value == "2"
    assert check(path.parents[1], start, own, pattern="two").value == "1"


def test_required_lines_are_counted_too(path: Path) -> None:
    append(path, "ready\nready\n")
    start = {"inode": None, "size": 0, "mark": ""}
    assert check(path.parents[1], start, pattern="ready", at_least=2, at_most=3).limit == "2 ≤ … ≤ 3"
    assert check(path.parents[1], start, pattern="ready", at_least=2, at_most=3).result is Result.PASSED
    assert check(path.parents[1], start, pattern="ready", at_least=3, at_most=3).result is Result.FAILED
    with pytest.raises(ValidationError):
        LogParameters(at_least=2, at_most=1)


def test_a_missing_or_unchanged_log_is_no_data(path: Path) -> None:
    start = here(path)
    assert start["inode"] is None and check(path.parents[1], start).result is Result.NO_DATA
    append(path, "ERROR old\n")
    unresponsive = here(path)
    assert check(path.parents[1], unresponsive).result is Result.NO_DATA
    assert check(path.parents[1], unresponsive, silent_passes=True).result is Result.PASSED
    assert check(path.parents[1], start).result is Result.FAILED


def test_the_output_is_masked_and_short(path: Path) -> None:
    append(path, "ERROR no connection to postgresql://app:tiger-7@db/x with s3cret on 500\n" * 500)
    result = check(path.parents[1], {"inode": None, "size": 0, "mark": ""})
    assert result.value == "500"
    assert "tiger-7" not in result.output and "s3cret" not in result.output
    assert "on 500" in result.output
    assert len(result.output.splitlines()) == 20


def test_a_log_beyond_the_read_limit_does_not_pass_and_the_next_check_continues(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_position, "MOST_BYTES", 20_000)
    append(path, f"INFO {'x' * 95}\n" * 300 + "ERROR late\n")
    first = check(path.parents[1], {"inode": None, "size": 0, "mark": ""})
    assert first.result is Result.NO_DATA and "next check continues from here" in first.output
    second = check(path.parents[1], first.position)
    assert (second.result, second.value) == (Result.FAILED, "1")


def test_a_log_outside_the_target_or_unreadable_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "other.log").write_text("fine\n")
    assert check(tmp_path / "target", None, {"log": "../other.log"}).result is Result.ERROR
    os.symlink(tmp_path / "other.log", tmp_path / "target" / "link.log")
    assert check(tmp_path / "target", None, {"log": "link.log"}).result is Result.ERROR
    (tmp_path / "target" / "folder").mkdir()
    assert check(tmp_path / "target", None, {"log": "folder"}).result is Result.ERROR


def test_an_invalid_pattern_is_refused() -> None:
    with pytest.raises(ValidationError):
        LogParameters(pattern="(")


@pytest.mark.parametrize("where", ["here", "there"])
def test_a_rollback_is_not_failed_by_the_broken_versions_log(
    bare_target: Target, where: str, request: pytest.FixtureRequest
) -> None:
    """The broken version fills the log with tracebacks in uvicorn's format, without a time; a later sound deployment
    passes as well, and the log lines of the restored version still count.
    """
    made, log = bare_target, bare_target.spec.root / "shared" / "app.log"
    if where == "there":
        made.move_to(request.getfixturevalue("host"))

    def evaluated(deployment: str) -> Result:
        return Log().run(CheckContext(made.spec, deployment=deployment), LogParameters()).result

    made.step("code_deploy", made.context("1/1/x"))
    made.step("configuration_update", made.context("1/2/x"))
    made.step("service_control", made.context("1/3/x"), action="restart")
    append(log, UVICORN * 40)
    assert evaluated("deployment:1") is Result.FAILED
    made.step("service_control", made.back("1/11/x", {}), action="stop")
    made.step("code_deploy", made.back("1/12/x", {}), direction="rollback")
    made.step("configuration_update", made.back("1/13/x", {}), direction="rollback")
    made.step("service_control", made.back("1/14/x", {}), action="start")
    assert evaluated("deployment:1") is Result.PASSED
    later = {"deployment_key": "deployment:2"}
    made.step("code_deploy", made.context("2/1/x", **later))
    made.step("configuration_update", made.context("2/2/x", **later))
    made.step("service_control", made.context("2/3/x", **later), action="restart")
    assert evaluated("deployment:2") is Result.PASSED
    append(log, UVICORN)
    assert evaluated("deployment:2") is Result.FAILED


def test_the_position_is_the_first_step_when_nothing_is_started_or_switched(bare_target: Target) -> None:
    log = bare_target.spec.root / "shared" / "app.log"
    log.parent.mkdir(exist_ok=True)
    log.write_text(UVICORN)
    bare_target.step("configuration_update", bare_target.context("1/1/x"))
    append(log, "INFO:     restarted\n")
    bare_target.step("configuration_update", bare_target.context("1/2/x"))
    result = Log().run(CheckContext(bare_target.spec, deployment="deployment:1"), LogParameters())
    assert result.result is Result.PASSED and "the log was read from the start of the deployment" in result.output
    assert (
        Log().run(CheckContext(bare_target.spec, deployment="deployment:2"), LogParameters()).result is Result.NO_DATA
    )


def test_the_position_is_the_code_switch_when_no_service_is_started(bare_target: Target) -> None:
    log = bare_target.spec.root / "shared" / "app.log"
    log.parent.mkdir(exist_ok=True)
    log.write_text(UVICORN)
    bare_target.step("code_deploy", bare_target.context("1/1/x"))
    append(log, "INFO:     served\n")
    context = CheckContext(bare_target.spec, deployment="deployment:1")
    assert Log().run(context, LogParameters()).result is Result.PASSED
