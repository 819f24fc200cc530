"""Triggers of the database as their catalogue says them: which stand, and the making of those that do not.

audit/capture.py and the state machines install by it; audit/guards.py compares by it.
"""

from collections.abc import Mapping
from typing import Any

# What pg_trigger.tgtype adds up.
ROW, BEFORE, INSERT, DELETE, UPDATE, TRUNCATE = 1, 2, 4, 8, 16, 32
EVENTS = {INSERT: "INSERT", DELETE: "DELETE", UPDATE: "UPDATE", TRUNCATE: "TRUNCATE"}
# Function, type and arguments.
Expected = tuple[str, int, list[str]]

_STANDING = """
SELECT c.relname::text, t.tgname::text, t.tgenabled::text, p.proname::text, t.tgtype, t.tgargs,
       t.tgqual IS NULL AND t.tgattr::text = '' AND p.pronamespace = c.relnamespace
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid
WHERE NOT t.tgisinternal AND c.relnamespace = current_schema()::regnamespace
"""


def standing(cursor: Any) -> dict[tuple[str, str], tuple[str, Expected, bool]]:
    """Return (table, trigger) → whether and when it fires (`pg_trigger.tgenabled`), what it is, and whether it fires
    at each statement of its kind.
    """
    cursor.execute(_STANDING)
    return {
        (table, trigger): (enabled, (function, kind, bytes(given).decode().split("\0")[:-1]), plain)
        for table, trigger, enabled, function, kind, given, plain in cursor.fetchall()
    }


def hang(cursor: Any, wanted: Mapping[tuple[str, str], Expected]) -> None:
    """Make the triggers that do not stand as wanted, each firing always.

    The others are left alone: to make one again would wait for the writers of its table, and let them wait, while
    Ringi runs.
    """
    there = standing(cursor)
    for (table, trigger), (function, kind, given) in wanted.items():
        if there.get((table, trigger)) == ("A", (function, kind, given), True):
            continue
        events = " OR ".join(word for bit, word in EVENTS.items() if kind & bit)
        arguments = ", ".join(f"'{argument}'" for argument in given)
        cursor.execute(
            f'CREATE OR REPLACE TRIGGER {trigger} {"BEFORE" if kind & BEFORE else "AFTER"} {events} ON "{table}" '
            f"FOR EACH {'ROW' if kind & ROW else 'STATEMENT'} EXECUTE FUNCTION {function}({arguments})"
        )
        cursor.execute(f'ALTER TABLE "{table}" ENABLE ALWAYS TRIGGER {trigger}')
