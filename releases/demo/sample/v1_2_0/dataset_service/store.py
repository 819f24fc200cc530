"""Keeps datasets in PostgreSQL, through a small pool of connections; called by the routes."""

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool

COLUMNS = "id, title, row_count, note, created_at"
POOL_SIZE = 8
WAIT_SECONDS = 2.0


class Store:
    """The datasets of one database."""

    def __init__(self, url: str, *, size: int = POOL_SIZE) -> None:
        self._pool = ConnectionPool(
            url,
            min_size=1,
            max_size=size,
            timeout=WAIT_SECONDS,
            open=False,
            kwargs={"autocommit": True, "row_factory": dict_row, "connect_timeout": 2},
        )

    def open(self) -> None:
        """Open the pool; connections are made behind it as they are needed."""
        self._pool.open()

    def close(self) -> None:
        """Close every connection."""
        self._pool.close()

    def write(self, statement: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """Run a statement once and return its rows."""
        with self._pool.connection() as connection:
            return connection.execute(statement, values).fetchall()

    def read(self, statement: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """Run a query and return its rows, once more on a fresh connection when the first one was dead."""
        try:
            return self.write(statement, values)
        except psycopg.OperationalError:
            self._pool.check()  # the others were most likely cut off at the same moment
            return self.write(statement, values)

    def newest(self, limit: int) -> list[dict[str, Any]]:
        """Return the newest `limit` datasets, newest first."""
        return self.read(f"SELECT {COLUMNS} FROM datasets ORDER BY id DESC LIMIT %s", [limit])

    def one(self, number: int) -> dict[str, Any] | None:
        """Return the dataset with this number, or None."""
        rows = self.read(f"SELECT {COLUMNS} FROM datasets WHERE id = %s", [number])
        return rows[0] if rows else None

    def create(self, title: str, row_count: int, note: str) -> dict[str, Any]:
        """Add a dataset and return it."""
        return self.write(
            f"INSERT INTO datasets (title, row_count, note) VALUES (%s, %s, %s) RETURNING {COLUMNS}",
            [title, row_count, note],
        )[0]

    def schema(self) -> str:
        """Return the name of the last migration that the database had."""
        rows = self.read("SELECT max(name) AS name FROM schema_migrations")
        return rows[0]["name"] or ""
