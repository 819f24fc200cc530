"""A failing row does not keep the others from their turn; a lost connection is raised."""

from __future__ import annotations

import logging

import psycopg
import pytest
from django.db import DatabaseError, OperationalError, connection

from audit.clock import now
from audit.isolated import isolated
from releases.worker.poll import poll_once

log = logging.getLogger(__name__)
FAULTS = {
    "constraint": "INSERT INTO django_migrations SELECT * FROM django_migrations LIMIT 1",
    "time limit": "SET statement_timeout = '1ms'; SELECT pg_sleep(1)",
    "deadlock": "DO $$ BEGIN RAISE EXCEPTION SQLSTATE '40P01'; END $$",
    "lock": "DO $$ BEGIN RAISE EXCEPTION SQLSTATE '55P03'; END $$",
}


def run(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.mark.parametrize("fault", FAULTS)
def test_what_the_database_refuses_about_one_row_stops_no_other(
    fault: str, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    done = []
    with pytest.raises(DatabaseError):
        run(FAULTS[fault])
    poll_once(now(), (lambda moment: run(FAULTS[fault]), lambda moment: done.append(moment)))
    assert done and "poll: <lambda>" in caplog.text


def test_a_lost_connection_is_raised(database: str) -> None:
    run("SELECT 1")
    number = connection.connection.info.backend_pid
    with psycopg.connect(database) as other:
        other.execute("SELECT pg_terminate_backend(%s)", [number])
    with pytest.raises(OperationalError), isolated(log, "a row"):
        run("SELECT 1")
    connection.close()
    run("SELECT 1")
