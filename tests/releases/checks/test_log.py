"""The check of the log."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from releases.checks import log
from releases.checks.base import CheckContext, CheckResult, Verdict
from releases.checks.log import Log, LogParameters, count, time_of
from releases.steps.base import TargetSpec

SINCE = datetime(2026, 3, 18, 1, 0, 0, 500_000, tzinfo=UTC)


def check(root: Path, text: str | None, *, settings: dict[str, str] | None = None, **parameters: object) -> CheckResult:
    if text is not None:
        (root / "shared").mkdir(exist_ok=True)
        (root / "shared" / "app.log").write_text(text)
    configuration = {"DATABASE_URL": "postgresql://app:tiger-7@db/x", "API_TOKEN": "s3cret", "PORT": "500"}
    context = CheckContext(TargetSpec("a", "e", root, settings or {}), SINCE, configuration)
    return Log().run(context, LogParameters.model_validate(parameters))


def test_it_counts_only_lines_since_the_run_began(tmp_path: Path) -> None:
    text = "2026-03-18T00:59:59.900Z ERROR old\n2026-03-18T01:00:01Z INFO fine\n2026-03-18T01:00:02Z ERROR new\n"
    result = check(tmp_path, text)
    assert (result.verdict, result.value, result.limit) == (Verdict.FAIL, "1", "≤ 0")
    assert result.output == "2026-03-18T01:00:02Z ERROR new"
    assert check(tmp_path, text, at_most=1).verdict is Verdict.PASS
    assert check(tmp_path, text, pattern="INFO", at_most=1).value == "1"


def test_times_without_an_offset_are_of_the_zone_that_is_named(tmp_path: Path) -> None:
    text = "2026-03-18 09:59:59,900 ERROR old\n2026-03-18 10:00:02,000 ERROR new\n"
    assert check(tmp_path, text, zone="Asia/Tokyo").output == "2026-03-18 10:00:02,000 ERROR new"
    assert check(tmp_path, text).value == "2"
    with pytest.raises(ValidationError, match="no time zone"):
        LogParameters(zone="Mars/Olympus")


def test_what_must_be_there_is_counted_too(tmp_path: Path) -> None:
    text = "2026-03-18T01:00:01Z ready\n2026-03-18T01:00:02Z ready\n"
    assert check(tmp_path, text, pattern="ready", at_least=2, at_most=3).limit == "2 ≤ … ≤ 3"
    assert check(tmp_path, text, pattern="ready", at_least=2, at_most=3).verdict is Verdict.PASS
    assert check(tmp_path, text, pattern="ready", at_least=3, at_most=3).verdict is Verdict.FAIL
    with pytest.raises(ValidationError):
        LogParameters(at_least=2, at_most=1)


def test_a_line_without_a_time_belongs_to_the_one_before(tmp_path: Path) -> None:
    old, new = "2026-03-18T00:00:00Z INFO a\n", "2026-03-18T02:00:00Z INFO b\n"
    assert check(tmp_path, f"{old}Traceback (old)\n{new}").verdict is Verdict.PASS
    assert check(tmp_path, f"{old}{new}Traceback (new)\n").verdict is Verdict.FAIL
    assert check(tmp_path, f"Traceback (of unknown age)\n{new}").verdict is Verdict.FAIL


def test_a_missing_or_silent_log_is_no_data(tmp_path: Path) -> None:
    assert check(tmp_path, None).verdict is Verdict.NO_DATA
    assert check(tmp_path, "").verdict is Verdict.NO_DATA
    silent = "2026-03-18T00:00:00Z ERROR old\n"
    assert check(tmp_path, silent).verdict is Verdict.NO_DATA
    assert check(tmp_path, silent, silent_passes=True).verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("line", "counts"),
    [
        ("2026-01-05T10:00:00.948Z ERROR x", 0),
        ("2026-01-05T10:00:00.949Z ERROR x", 1),
        ("2026-01-05T10:00:00.949100Z ERROR x", 0),
        ("2026-01-05T10:00:00.9Z ERROR x", 1),
        ("2026-01-05T10:00:00Z ERROR x", 1),
        ("2026-01-05T09:59:59Z ERROR x", 0),
        ('{"ts": "2026-01-05T10:00:00.100Z", "m": "ERROR"}', 0),
        ('{"ts": "2026-01-05T10:00:00", "m": "ERROR"}', 1),
    ],
)
def test_a_line_is_compared_in_the_digits_of_its_own_time(line: str, counts: int) -> None:
    """A service that wrote errors and was restarted within the same second did not write them since."""
    since = datetime(2026, 1, 5, 10, 0, 0, 949_659, tzinfo=UTC)
    assert count([line], since, re.compile("ERROR")).matched == counts


def test_an_error_in_the_same_second_is_not_missed(tmp_path: Path) -> None:
    assert check(tmp_path, "2026-03-18 01:00:00 ERROR\n").verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("line", "at"),
    [
        ("2026-03-18T10:00:00+09:00 x", datetime(2026, 3, 18, 1, tzinfo=UTC)),
        ("2026-03-18 10:00:00,250 +0900 x", datetime(2026, 3, 18, 1, 0, 0, 250_000, tzinfo=UTC)),
        ("2026-03-18 01:00:00.123456789 x", datetime(2026, 3, 18, 1, 0, 0, 123_456, tzinfo=UTC)),
        ('{"level": "INFO", "time": "2026-03-18T01:00:00Z"}', datetime(2026, 3, 18, 1, tzinfo=UTC)),
        ("2026-13-18T01:00:00Z x", None),
        ("{not json", None),
        ("at 2026-03-18T01:00:00Z", None),
    ],
)
def test_it_reads_the_time_of_a_line(line: str, at: datetime | None) -> None:
    assert time_of(line) == at


def test_it_masks_secrets_and_keeps_the_proof_short(tmp_path: Path) -> None:
    line = "2026-03-18T01:00:01Z ERROR no connection to postgresql://app:tiger-7@db/x with s3cret on 500\n"
    result = check(tmp_path, line * 500)
    assert result.value == "500"
    assert "tiger-7" not in result.output and "s3cret" not in result.output
    assert "on 500" in result.output
    assert len(result.output.splitlines()) == 20


def test_a_long_log_is_read_from_its_end_and_a_long_line_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "MOST_BYTES", 20_000)
    late = (SINCE + timedelta(seconds=5)).isoformat()
    text = f"{late} ERROR early\n" + f"{late} INFO {'x' * 90}\n" * 300 + f"{late} INFO {'y' * 9000}\n"
    assert check(tmp_path, text).verdict is Verdict.PASS


def test_a_log_outside_the_target_or_unreadable_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "other.log").write_text("2026-03-18T02:00:00Z fine\n")
    assert check(tmp_path / "target", None, settings={"log": "../other.log"}).verdict is Verdict.ERROR
    os.symlink(tmp_path / "other.log", tmp_path / "target" / "link.log")
    assert check(tmp_path / "target", None, settings={"log": "link.log"}).verdict is Verdict.ERROR
    (tmp_path / "target" / "folder").mkdir()
    assert check(tmp_path / "target", None, settings={"log": "folder"}).verdict is Verdict.ERROR


def test_it_refuses_a_pattern_that_is_none() -> None:
    with pytest.raises(ValidationError):
        LogParameters(pattern="(")
