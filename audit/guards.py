"""Whether what writes the ledger stands as it was installed, and which tables it knows nothing of.

`manage.py audit_verify` asks. A trigger that somebody dropped, disabled or made anew leaves no event itself, and what it
lets pass is in no chain.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from audit.capture import CAPTURE, NO_TRUNCATE, SQL, Governed, Uncapturable, arguments
from audit.governed import NOT_GOVERNED, is_history
from audit.ledger.functions import LEDGER_TABLES

# What pg_trigger.tgtype adds up.
ROW, BEFORE, INSERT, DELETE, UPDATE, TRUNCATE = 1, 2, 4, 8, 16, 32
CAUGHT, NEVER = ROW | INSERT | DELETE | UPDATE, BEFORE | TRUNCATE
# Function, kind, and label, key, columns that are left out and secret ones; times and bytes only change the form.
Expected = tuple[str, int, list[str]]
STATES = {"D": "is disabled", "O": "is not enabled always", "R": "is not enabled always"}

_TRIGGERS = """
SELECT c.relname::text, t.tgname::text, t.tgenabled::text, p.proname::text, t.tgtype, t.tgargs,
       t.tgqual IS NULL AND t.tgattr::text = '' AND p.pronamespace = c.relnamespace
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid
WHERE NOT t.tgisinternal AND c.relnamespace = current_schema()::regnamespace
"""
_FUNCTIONS = "SELECT proname::text, prosrc FROM pg_proc WHERE pronamespace = current_schema()::regnamespace"
_TABLES = """
SELECT CASE c.relnamespace WHEN current_schema()::regnamespace THEN c.relname ELSE n.nspname || '.' || c.relname END
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'f') AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%' ORDER BY 1
"""


def faults(connection: Any, governed: Iterable[Governed], table_of: Callable[[str], str]) -> list[str]:
    """Return what is not as `audit.capture.install` makes it, each as `table: what`; empty when all stands."""
    with connection.cursor() as cursor:
        cursor.execute(_TRIGGERS)
        standing = {(table, trigger): tuple(rest) for table, trigger, *rest in cursor.fetchall()}
        found = []
        for one in governed:
            try:
                expected = arguments(cursor, one, table_of(one.model))[:4]
            except Uncapturable as fault:
                found.append(str(fault))
                continue
            for trigger, wanted in (
                (CAPTURE, ("ringi_row_event", CAUGHT, expected)),
                (NO_TRUNCATE, ("ringi_refuse", NEVER, [])),
            ):
                found += _compared(standing, table_of(one.model), trigger, wanted)
        for table in LEDGER_TABLES:
            wanted = ("ringi_refuse", BEFORE | UPDATE | DELETE | TRUNCATE, [])
            found += _compared(standing, table, "ringi_append_only", wanted)
        found += _compared(standing, "audit_event", "ringi_link", ("ringi_link", ROW | INSERT, []))
        return found + list(_functions(cursor))


def _compared(
    standing: dict[tuple[str, str], tuple[Any, ...]], table: str, trigger: str, expected: Expected
) -> Iterator[str]:
    if (table, trigger) not in standing:
        yield f"{table}: there is no trigger {trigger}"
        return
    enabled, function, kind, arguments_, plain = standing[table, trigger]
    if enabled != "A":
        yield f"{table}: trigger {trigger} {STATES[enabled]}"
    given = bytes(arguments_).decode().split("\0")[:-1]
    if (function, kind, given[:4]) != expected or not plain:
        yield f"{table}: trigger {trigger} is not as it was installed"


def _functions(cursor: Any) -> Iterator[str]:
    cursor.execute(_FUNCTIONS)
    present = set(cursor.fetchall())
    for name, body in re.findall(r"CREATE OR REPLACE FUNCTION (\w+)\([^$]*AS \$\$(.*?)\$\$;", SQL, re.DOTALL):
        if (name, body) not in present:
            yield f"function {name} is not as it was installed"


def strangers(connection: Any, governed: Iterable[Governed], table_of: Callable[[str], str]) -> list[str]:
    """Return the tables of which no list says that they are governed, or why not."""
    known = {table_of(one.model) for one in governed} | set(NOT_GOVERNED)
    with connection.cursor() as cursor:
        cursor.execute(_TABLES)
        return [table for (table,) in cursor.fetchall() if table not in known and not is_history(table)]
