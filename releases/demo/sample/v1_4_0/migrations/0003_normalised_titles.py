"""Rewrites the title of every dataset, in committed batches, going on where an earlier run was cut short."""

import time
from collections.abc import Callable

import psycopg

from dataset_service.titles import normalised

NAME = "0003_normalised_titles"
BATCH = 200
TABLES = """
CREATE TABLE IF NOT EXISTS migration_progress (
    migration text PRIMARY KEY,
    last_id bigint NOT NULL DEFAULT 0,
    batches integer NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS migration_batches (
    migration text NOT NULL,
    batch integer NOT NULL,
    first_id bigint NOT NULL,
    last_id bigint NOT NULL,
    row_count integer NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (migration, batch)
);
"""
NEXT = "SELECT id, title FROM datasets WHERE id > %s ORDER BY id LIMIT %s FOR UPDATE"
DONE = "INSERT INTO migration_batches (migration, batch, first_id, last_id, row_count) VALUES (%s, %s, %s, %s, %s)"


def apply(connection: psycopg.Connection, pause: float, report: Callable[[str], None]) -> None:
    """Rewrite batch after batch, each with its progress in one transaction, `pause` seconds apart."""
    connection.execute(TABLES)
    connection.execute("INSERT INTO migration_progress (migration) VALUES (%s) ON CONFLICT DO NOTHING", [NAME])
    while batch(connection, report):
        time.sleep(pause)  # the database serves others meanwhile


def batch(connection: psycopg.Connection, report: Callable[[str], None]) -> bool:
    """Rewrite the next batch; return False when there is none."""
    with connection.transaction():
        row = connection.execute(
            "SELECT last_id, batches FROM migration_progress WHERE migration = %s FOR UPDATE", [NAME]
        ).fetchone()
        assert row is not None
        last, number = row
        rows = connection.execute(NEXT, [last, BATCH]).fetchall()
        if not rows:
            return False
        with connection.cursor() as cursor:
            cursor.executemany(
                "UPDATE datasets SET title = %s WHERE id = %s",
                [(normalised(title), identity) for identity, title in rows],
            )
        number, first, last = number + 1, rows[0][0], rows[-1][0]
        connection.execute(DONE, [NAME, number, first, last, len(rows)])
        connection.execute(
            "UPDATE migration_progress SET last_id = %s, batches = %s WHERE migration = %s", [last, number, NAME]
        )
    report(f"{NAME}: batch {number}, datasets {first} to {last}")
    return True
