"""The migrations, on a real database."""

import psycopg
import pytest
from dataset_service import migrate


def test_it_brings_an_empty_database_to_this_schema_once(url: str) -> None:
    lines: list[str] = []
    assert not migrate.is_current(url)
    assert migrate.migrate(url, pause=0, report=lines.append) == len(migrate.wanted())
    assert lines[-1] == f"{migrate.wanted()[-1].stem}: applied"
    assert migrate.is_current(url)
    assert migrate.migrate(url, pause=0, report=lines.append) == 0


def test_it_refuses_a_database_that_is_ahead(migrated: str) -> None:
    with psycopg.connect(migrated) as connection:
        migrate.record(connection, "9999_later")
    assert not migrate.is_current(migrated)
    with pytest.raises(migrate.Ahead, match="9999_later"):
        migrate.migrate(migrated, pause=0, report=print)


def test_it_runs_python_migrations_too(url: str, tmp_path) -> None:
    (tmp_path / "0001_first.py").write_text("def apply(connection, pause, report):\n    report(f'waits {pause}')\n")
    lines: list[str] = []
    migrate.migrate(url, pause=3, report=lines.append, folder=tmp_path)
    assert lines == ["waits 3", "0001_first: applied"]
