"""The declared order of row locks, held in every test.

A transaction locks rows of models in the order of their LOCK_ORDER (99 where none is declared), however it locks them:
at the operation, by `select_for_update`, or by writing. A transaction that holds a row of a later model and goes back
to an earlier one can wait for another that waits for it. Several rows of one model are locked in an order that is said.
The first row of a model counts; those that follow are guarded by what is held then.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable
from functools import cache
from typing import Any

from django.apps import apps
from django.db.backends.signals import connection_created

LAST = 99
LOCKS = re.compile(r'^\s*SELECT\b.*?\bFROM "(\w+)"(.*)\bFOR (?:NO KEY )?UPDATE(?: OF "(\w+)")?', re.DOTALL)
WRITES = re.compile(r'^\s*(UPDATE|DELETE FROM|INSERT INTO) "?(\w+)"?')
# One row by its key, as the operation asks for it, or at most one that `get` then asks for.
ONE = re.compile(r'^ WHERE "\w+" = %s $|LIMIT \d+\s*$')
FAULTS: list[str] = []


@cache
def _place(table: str) -> int | None:
    """Return a table's place in the order; None for a table of no model of the product."""
    models = (m for m in apps.get_models() if m._meta.app_label in ("audit", "environments", "releases"))
    model = next((m for m in models if m._meta.db_table == table), None)
    return None if model is None else getattr(model, "LOCK_ORDER", LAST)


class _Order:
    """What the open transaction of one connection has locked so far."""

    def __init__(self, connection: Any) -> None:
        self.connection, self.block = connection, None
        self.held: dict[str, int] = {}
        self.made: set[str] = set()

    def __call__(self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:
        """Look at a statement before it is sent."""
        if self.connection.in_atomic_block and isinstance(sql, str):
            blocks = self.connection.atomic_blocks
            # The operation's own, where a test holds a transaction around several of them.
            block = next((block for block in blocks if block.durable), blocks[0])
            if block is not self.block:
                self.block, self.held, self.made = block, {}, set()
            self.look(sql)
        return execute(sql, params, many, context)

    def look(self, sql: str) -> None:
        """Keep the table that a statement locks rows of, and what is wrong with it."""
        # Most statements only read: the pattern would look through each to its end.
        locks = LOCKS.match(sql) if " UPDATE" in sql else None
        writes = WRITES.match(sql)
        if locks is None and writes is None:
            return
        table = (locks[3] or locks[1]) if locks else writes[2] if writes else ""
        place = _place(table)
        if place is None or (writes and table in self.made):
            return
        if writes and writes[1] == "INSERT INTO":
            self.made.add(table)  # no other transaction sees the new row or waits for it
            return
        if later := [held for held, at in self.held.items() if at > place and table not in self.held]:
            self.fault(f"{table} ({place}) is locked after {', '.join(later)}")
        if locks and "ORDER BY" not in locks[2] and not ONE.search(locks[2]):
            self.fault(f"rows of {table} are locked in no order")
        self.held.setdefault(table, place)

    def fault(self, message: str) -> None:
        """Keep a fault with the lines of the product that came to it."""
        own = [f for f in traceback.extract_stack() if "/releases/" in f.filename or "/environments/" in f.filename]
        lines = [
            f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in own if "/.venv/" not in frame.filename
        ]
        FAULTS.append(f"{message}: {' < '.join(reversed(lines[-6:]))}")


def observe_connections() -> None:
    """Observe the locks of every connection that this process opens from now on."""

    def look(connection: Any, **_rest: Any) -> None:
        if not any(isinstance(wrapper, _Order) for wrapper in connection.execute_wrappers):
            connection.execute_wrappers.append(_Order(connection))

    connection_created.connect(look, weak=False)


def taken() -> list[str]:
    """Return the faults so far, each once, and forget them."""
    found = list(dict.fromkeys(FAULTS))
    FAULTS.clear()
    return found
