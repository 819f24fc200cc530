"""What somebody with the owner's rights in the database of a test does to the ledger past Ringi."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from tests.conftest import _named


@contextmanager
def as_owner() -> Iterator[psycopg.Connection[Any]]:
    """Connect to the database of the test as the owner of its tables."""
    from django.db import connection

    address = _named(os.environ["DATABASE_OWNER_URL"], str(connection.settings_dict["NAME"]))
    with psycopg.connect(address, autocommit=True) as own:
        yield own


def set_event(number: int, change: str) -> None:
    """Change columns of an event, past the trigger that refuses it."""
    set_row("audit_event", change, f"id = (SELECT event_id FROM audit_ledgerentry WHERE number = {number})")


def set_row(table: str, change: str, where: str) -> None:
    """Change rows of a table past its triggers, which stand afterwards as they did before."""
    with as_owner() as own:
        triggers = own.execute(
            "SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal", [table]
        ).fetchall()
        for (trigger,) in triggers:
            own.execute(f"ALTER TABLE {table} DISABLE TRIGGER {trigger}")
        statement = f"DELETE FROM {table}" if change == "DELETE" else f"UPDATE {table} SET {change}"
        assert own.execute(f"{statement} WHERE {where}").rowcount >= 1
        for (trigger,) in triggers:
            own.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {trigger}")
