"""Whether what writes the ledger stands as it was installed, and which tables it knows nothing of.

`manage.py audit_verify` asks. A trigger that somebody dropped, disabled or made anew leaves no event itself, and what it
lets pass is in no chain; nor does a function that was altered, or a rule that turns a statement into another.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from audit.capture import CAPTURE, NO_TRUNCATE, SQL, Governed, Uncapturable, arguments
from audit.governed import NOT_GOVERNED, is_history
from audit.ledger.functions import APPLICATION_FUNCTIONS, LEDGER_TABLES, OWNER_FUNCTIONS, SEALER_FUNCTIONS

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
# A function of pg_catalog goes before one of the schema, whatever the search_path.
_FUNCTIONS = """
SELECT p.proname::text, p.proname || '(' || oidvectortypes(p.proargtypes) || ')', l.lanname::text, p.prosecdef,
       coalesce(p.proconfig, '{}'), p.prosrc, p.pronamespace = e.relnamespace AND p.proowner = e.relowner
FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
JOIN pg_class e ON e.relname = 'audit_event' AND e.relnamespace = current_schema()::regnamespace
WHERE p.proname = ANY (%s) AND p.pronamespace IN (e.relnamespace, 'pg_catalog'::regnamespace)
"""
_RULES = """
SELECT c.relname::text, r.rulename::text FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class
WHERE c.relname = ANY (%s) AND c.relnamespace = current_schema()::regnamespace ORDER BY 1, 2
"""
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
        found, tables = [], list(LEDGER_TABLES)
        for one in governed:
            tables.append(table_of(one.model))
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
        return [*found, *_functions(cursor), *_rules(cursor, tables)]


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


def _installed() -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yield the name of each function that is installed, and what `_FUNCTIONS` must say of it."""
    signatures = {one.partition("(")[0]: one for one in APPLICATION_FUNCTIONS + SEALER_FUNCTIONS + OWNER_FUNCTIONS}
    for function, head, body in re.findall(
        r"CREATE OR REPLACE FUNCTION (\w+)\(([^$]*)AS \$\$(.*?)\$\$;", SQL, re.DOTALL
    ):
        (language,) = re.findall(r"LANGUAGE (\w+)", head)
        settings = {(key, value.strip("'")) for key, value in re.findall(r"SET (\w+) = (.*?)(?= SET |\n)", head)}
        yield function, (signatures[function], language, "SECURITY DEFINER" in head, settings, body, True)


def _functions(cursor: Any) -> Iterator[str]:
    installed = dict(_installed())
    cursor.execute(_FUNCTIONS, [list(installed)])
    standing: dict[str, list[tuple[Any, ...]]] = {function: [] for function in installed}
    for function, signature, language, definer, options, *rest in cursor.fetchall():
        pairs = (option.partition("=") for option in options)
        settings = {(key.lower(), value) for key, _, value in pairs}  # PostgreSQL writes TimeZone
        standing[function].append((signature, language, definer, settings, *rest))
    for function, wanted in installed.items():
        if wanted not in standing[function]:
            yield f"function {function} is not as it was installed"
        if len(standing[function]) > 1:
            yield f"function {function} is there {len(standing[function])} times"


def _rules(cursor: Any, tables: list[str]) -> Iterator[str]:
    cursor.execute(_RULES, [tables])
    for table, rule in cursor.fetchall():
        yield f"{table}: there is a rule {rule}"


def strangers(connection: Any, governed: Iterable[Governed], table_of: Callable[[str], str]) -> list[str]:
    """Return the tables of which no list says that they are governed, or why not."""
    known = {table_of(one.model) for one in governed} | set(NOT_GOVERNED)
    with connection.cursor() as cursor:
        cursor.execute(_TABLES)
        return [table for (table,) in cursor.fetchall() if table not in known and not is_history(table)]
