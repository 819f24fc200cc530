"""The service over HTTP, with a real server and a real database."""

import os
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from conftest import Client
from dataset_service import journal, migrate
from dataset_service.app import plain
from dataset_service.titles import normalised
from dataset_service.version import VERSION


def test_it_creates_lists_and_shows_datasets(client: Client) -> None:
    for number in range(21):
        status, made = client.ask("POST", "/datasets", {"title": f" rain  {number}", "row_count": number})
        assert (status, made["title"]) == (201, normalised(f"rain {number}"))
    status, page = client.ask("GET", "/datasets?from=test")
    assert status == 200
    assert [row["row_count"] for row in page["datasets"]] == list(range(20, 0, -1))
    assert client.ask("GET", f"/datasets/{made['id']}") == (200, made)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "not JSON"),
        (b"[]", "not a JSON object"),
        ({"title": "  "}, "title is missing"),
        ({"title": 7}, "title must be"),
        ({"title": "x" * 201}, "title must be"),
        ({"title": "a\0"}, "title must be"),
        ({"title": "a", "row_count": -1}, "row_count"),
        ({"title": "a", "row_count": "many"}, "row_count"),
        (b"x" * 70_000, "65536 bytes"),
    ],
)
def test_it_refuses_a_bad_dataset(client: Client, body: object, words: str) -> None:
    status, content = client.ask("POST", "/datasets", body)
    assert status == 400
    assert words in content["error"]


def test_it_knows_what_it_does_not_have(client: Client) -> None:
    assert client.ask("GET", "/datasets/999999")[0] == 404
    assert client.ask("GET", "/datasets/99999999999999999999")[0] == 404
    assert client.ask("GET", "/elsewhere")[0] == 404
    assert client.ask("DELETE", "/datasets")[0] == 405


def test_it_reports_its_health(client: Client) -> None:
    schema = migrate.wanted()[-1].stem
    assert client.ask("GET", "/health") == (200, {"version": VERSION, "schema": schema, "maintenance": False})


def test_it_is_not_healthy_without_its_tables(serving: Callable[[str], Client], url: str) -> None:
    status, content = serving(url).ask("GET", "/health")
    assert (status, content["error"]) == (503, "UndefinedTable")


def test_it_turns_requests_away_during_maintenance(client: Client) -> None:
    client.flag.touch()
    status, content = client.ask("POST", "/datasets", {"title": "late"})
    assert (status, content) == (503, {"error": "planned work, please come back"})
    assert client.ask("GET", "/health")[1]["maintenance"] is True
    page = client.ask("GET", "/metrics")[1]
    assert "http_maintenance_total 1\n" in page
    assert "http_request_duration_seconds_count 0\n" in page
    client.flag.unlink()
    assert client.ask("GET", "/datasets")[0] == 200


def test_it_counts_only_what_it_serves(client: Client) -> None:
    client.ask("GET", "/datasets")
    client.ask("GET", "/datasets/1")
    client.ask("GET", "/health")
    page = client.ask("GET", "/metrics")[1]
    assert 'http_requests_total{status="200"} 1\nhttp_requests_total{status="404"} 1\n' in page
    assert "http_request_duration_seconds_count 2\n" in page
    assert "resource_use_ratio 0.0000\n" in page


def test_it_answers_a_fault_with_500_and_logs_it(serving: Callable[[str], Client], url: str) -> None:
    client = serving(url)
    assert client.ask("GET", "/datasets") == (500, {"error": "something went wrong"})
    lines = client.log.read_text().splitlines()
    assert " ERROR GET /datasets 500 " in lines[-1]
    assert "UndefinedTable" in lines[-1]


def test_it_reads_on_after_its_connections_were_cut(client: Client, migrated: str) -> None:
    assert client.ask("GET", "/datasets/1")[0] == 404
    with psycopg.connect(migrated, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND query LIKE '%FROM datasets%'"
        )
    assert client.ask("GET", "/datasets/2")[0] == 404


def test_it_serves_on_when_its_log_can_not_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = journal.Journal(tmp_path / "log")
    log.close()
    unwritable = os.open(tmp_path / "log", os.O_RDONLY)
    log._file = unwritable
    log.request("GET", "/", 200, 0.1)
    os.close(unwritable)
    assert "log not written" in capsys.readouterr().err


def test_it_sends_only_what_json_knows() -> None:
    with pytest.raises(TypeError, match="set"):
        plain({1})
