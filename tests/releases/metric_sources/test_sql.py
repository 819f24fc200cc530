"""The source that queries the target's own database, a real one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import ValidationError

from environments.targets.base import TargetSpec
from releases.metric_sources.base import Reading
from releases.metric_sources.sql import Sql, SqlSourceParameters
from tests.releases.step_types.conftest import new_database

__all__ = ["new_database"]
VALUES = {"requests": "all", "errors": "bad"}


def read(url: str, statement: str, **more: Any) -> Reading:
    wanted = SqlSourceParameters.model_validate({"statement": statement, "values": VALUES, **more})
    return Sql().read(TargetSpec("a", "e", Path("/"), {}), wanted, {"DATABASE_URL": url})


def test_one_row_is_read_by_its_columns_and_rows_by_their_names(new_database: Callable[[], str]) -> None:
    url = new_database()
    assert read(url, 'SELECT 7 AS "all", 2.5::numeric AS bad').values == {"requests": 7, "errors": 2.5}
    named = "SELECT * FROM (VALUES ('all', 7), ('bad', 2), ('other', 1)) AS named(name, value)"
    assert read(url, named).values == {"requests": 7, "errors": 2}
    assert read(url, "SELECT 'all', 7").values == {"requests": 7}, "one row of (name, value)"


def test_of_several_rows_with_one_name_the_greatest_counts(new_database: Callable[[], str]) -> None:
    url = new_database()
    rows = "SELECT * FROM (VALUES ('bad', 900), ('bad', 0), ('bad', NULL)) AS named(name, value)"
    assert read(url, rows).values == {"errors": 900}


def test_invalid_numbers_are_left_out(new_database: Callable[[], str]) -> None:
    url = new_database()
    assert read(url, """SELECT NULL AS "all", 'NaN'::float8 AS bad""").values == {}
    assert read(url, """SELECT 'x' AS "all", true AS bad""").values == {"errors": 1}
    assert read(url, 'SELECT 1 AS "all", 1 AS bad WHERE false').values == {}


def test_the_query_writes_nothing_and_ends_at_its_deadline(new_database: Callable[[], str]) -> None:
    url = new_database()
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE dataset AS SELECT 1 AS id")
    for statement in ("WITH g AS (DELETE FROM dataset RETURNING 1) SELECT 1 AS bad", "SELECT 1; DELETE FROM dataset"):
        reading = read(url, statement)
        assert reading.values == {} and reading.error
    slow = read(url, "SELECT 1 AS bad FROM pg_sleep(30)", seconds=0.1)
    assert slow.values == {} and slow.error
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM dataset").fetchone() == (1,)


def test_only_read_statements_are_accepted() -> None:
    for statement in ("DELETE FROM dataset", "", "DROP TABLE x", "CALL f()"):
        with pytest.raises(ValidationError):
            SqlSourceParameters.model_validate({"statement": statement, "values": VALUES})
