"""The form of titles, and the migration that brings the old ones into it."""

import psycopg
from dataset_service import migrate, seed
from dataset_service.titles import normalised

NAME = "0003_normalised_titles"


def test_it_writes_capital_letters_after_the_prefix() -> None:
    assert normalised("  rain \n 2024 ") == "DS RAIN 2024"
    assert normalised("DS RAIN") == "DS RAIN"
    assert normalised(" ") == ""


def test_it_rewrites_every_title_in_batches(url: str, tmp_path) -> None:
    for path in migrate.wanted()[:2]:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    migrate.migrate(url, pause=0, report=lambda line: None, folder=tmp_path)
    seed.seed(url, rows=450, number=7)
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE datasets SET title = 'rain ' || id")
    lines: list[str] = []
    migrate.migrate(url, pause=0, report=lines.append)
    assert len([line for line in lines if "batch" in line]) == 3
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM datasets WHERE title = 'DS RAIN ' || id").fetchone() == (450,)
        batches = connection.execute("SELECT batch, row_count FROM migration_batches ORDER BY batch").fetchall()
    assert batches == [(1, 200), (2, 200), (3, 50)]


def test_it_goes_on_where_it_was_cut_short(url: str, tmp_path) -> None:
    migrate.migrate(url, pause=0, report=lambda line: None)
    with psycopg.connect(url) as connection:
        connection.execute("DELETE FROM schema_migrations WHERE name = %s", [NAME])
        connection.execute("INSERT INTO datasets (title) SELECT 'rain' FROM generate_series(1, 250)")
        connection.execute("UPDATE migration_progress SET last_id = 200, batches = 1")
    migrate.migrate(url, pause=0, report=lambda line: None)
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT batch, row_count FROM migration_batches").fetchall() == [(2, 50)]
