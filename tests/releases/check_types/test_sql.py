"""The check of a statement's value, on a real database."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import ValidationError

from environments.targets.base import TargetSpec
from releases.check_types.base import CheckContext, CheckResult, Result
from releases.check_types.sql import Sql, SqlParameters
from tests.releases.step_types.conftest import PASSWORD, new_database

__all__ = ["new_database"]


@pytest.fixture
def url(new_database: Callable[[], str]) -> str:
    made = new_database()
    with psycopg.connect(made) as connection:
        connection.execute("CREATE TABLE dataset (id int, title text)")
        connection.execute("INSERT INTO dataset SELECT n, 'title' FROM generate_series(1, 3) n")
    return made


def check(url: str, statement: str, **parameters: Any) -> CheckResult:
    context = CheckContext(TargetSpec("a", "e", Path("/"), {}), {"DATABASE_URL": url})
    return Sql().run(context, SqlParameters.model_validate({"statement": statement, **parameters}))


@pytest.mark.parametrize(
    ("statement", "limits", "expected", "value"),
    [
        ("SELECT count(*) FROM dataset", {"equals": "3"}, Result.PASSED, "3"),
        ("SELECT count(*) FROM dataset", {"equals": "3.0"}, Result.PASSED, "3"),
        ("SELECT count(*) FROM dataset", {"equals": "4"}, Result.FAILED, "3"),
        ("SELECT count(*) FROM dataset", {"at_least": "3", "at_most": "3"}, Result.PASSED, "3"),
        ("SELECT count(*) FROM dataset", {"at_most": "2.9"}, Result.FAILED, "3"),
        ("SELECT count(*) FROM dataset", {"at_least": "3.1"}, Result.FAILED, "3"),
        ("SELECT max(title) FROM dataset", {"equals": "title"}, Result.PASSED, "title"),
        ("SELECT bool_and(id > 0) FROM dataset", {"equals": "true"}, Result.PASSED, "true"),
        ("SELECT max(title) FROM dataset", {"at_most": "1"}, Result.ERROR, "title"),
        ("SELECT 'NaN'::float8", {"at_most": "1"}, Result.ERROR, "nan"),
        ("SELECT 0.1::numeric", {"equals": "0.1"}, Result.PASSED, "0.1"),
        ("SELECT max(id) FROM dataset WHERE id > 9", {"at_most": "0"}, Result.NO_DATA, ""),
        ("SELECT id FROM dataset WHERE id > 9", {"equals": "0"}, Result.NO_DATA, ""),
        ("SELECT id FROM dataset", {"equals": "1"}, Result.ERROR, ""),
        ("SELECT 1, 2", {"equals": "1"}, Result.ERROR, ""),
        ("SELECT '100%'", {"equals": "100%"}, Result.PASSED, "100%"),
        ("SELECT nothing FROM nowhere", {"equals": "1"}, Result.ERROR, ""),
    ],
)
def test_one_value_is_compared(url: str, statement: str, limits: dict[str, str], expected: Result, value: str) -> None:
    result = check(url, statement, **limits)
    assert (result.result, result.value) == (expected, value)
    assert result.limit and result.output.startswith(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "WITH gone AS (DELETE FROM dataset RETURNING 1) SELECT count(*) FROM gone",
        "SELECT 1; DELETE FROM dataset",
        "SELECT 1; COMMIT; DELETE FROM dataset; SELECT 1",
        "SELECT nextval('seven')",
        "SELECT set_config('transaction_read_only', 'off', true)",
    ],
)
def test_the_check_never_writes(url: str, statement: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE SEQUENCE seven")
    assert check(url, statement, equals="1").result is not Result.PASSED
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM dataset").fetchone() == (3,)
        assert connection.execute("SELECT is_called FROM seven").fetchone() == (False,)


def test_the_check_ends_at_its_deadline(url: str) -> None:
    began = datetime.now(UTC)
    assert check(url, "SELECT pg_sleep(30)::text", equals="", seconds=0.2).result is Result.ERROR
    assert (datetime.now(UTC) - began).total_seconds() < 5


def test_the_check_reads_no_more_rows_than_needed(url: str) -> None:
    """The statement returns two thousand million rows; the second one decides."""
    result = check(url, "SELECT generate_series(1, 2000000000)", equals="1", seconds=1)
    assert result.result is Result.ERROR
    assert "more than one value" in result.output


def test_an_unreachable_database_is_an_error_without_its_password(url: str) -> None:
    away = url.replace("dbname=", "dbname=no_such_")
    result = check(away, f"SELECT '{PASSWORD}'", equals="1")
    assert result.result is Result.ERROR
    assert check(url, "SELECT 1", equals="1").result is Result.PASSED


def test_a_missing_database_is_no_data() -> None:
    assert check("", "SELECT 1", equals="1").result is Result.NO_DATA


@pytest.mark.parametrize(
    "wrong",
    [
        {"statement": "DELETE FROM dataset", "equals": "1"},
        {"statement": "UPDATE dataset SET id = 1", "equals": "1"},
        {"statement": "SELECT 1"},
        {"statement": "", "equals": "1"},
        {"statement": "SELECT 1", "at_most": "NaN"},
        {"statement": "SELECT 1", "equals": "1", "seconds": 0},
    ],
)
def test_parameters_are_checked_when_the_plan_is_made(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SqlParameters.model_validate(wrong)
