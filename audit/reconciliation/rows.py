"""Each audited row against its events: folded to the present they must make what stands in the table.

A write while a trigger was disabled is in no event; the comparison finds it. A column that no event names is not known.
Of a secret column only whether there is a value is compared, because only the database has the key of its digests.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from audit.apps import table_of
from audit.as_of import Past, last_of_rows
from audit.audited_tables import AuditedTable
from audit.capture import columns_of
from audit.personal import TABLES, Kept, commitments
from audit.reconciliation.compare import Unexplained, as_written
from audit.roles import name

BATCH, FILES = 200, 5  # rows at a time; of tables with files, which are hashed, fewer

# The first object behind the one before, along the index; DISTINCT would read all events.
_OBJECTS = """
WITH RECURSIVE found AS (
    (SELECT e.object FROM audit_event e WHERE e.object > %(behind)s AND e.object < %(end)s ORDER BY e.object LIMIT 1)
    UNION ALL
    SELECT (SELECT e.object FROM audit_event e WHERE e.object > found.object AND e.object < %(end)s
            ORDER BY e.object LIMIT 1)
    FROM found WHERE found.object IS NOT NULL
)
SELECT object FROM found WHERE object IS NOT NULL LIMIT %(most)s
"""


@dataclass(frozen=True)
class Table:
    """An audited table as it is compared. kinds: column → `time`, `plain` or `secret` (then: whether it is null)."""

    label: str
    key: str
    key_type: str
    kinds: dict[str, str]
    rows: str
    batch: int

    @classmethod
    def of(cls, cursor: Any, audited: AuditedTable) -> "Table | None":
        """Look at the table; None where this role may not read it, or it has several keys."""
        table = table_of(audited.model)
        keys, columns = columns_of(cursor, audited, table)
        cursor.execute("SELECT has_table_privilege(to_regclass(%s), 'SELECT')", [name(table)])
        if not cursor.fetchone()[0] or len(keys) != 1:
            return None
        types = {column.name: column.type for column in columns}
        kinds, selected = {}, []
        for column, type_ in sorted(types.items()):
            kinds[column] = "time" if type_ == "timestamp with time zone" else "plain"
            shown = quoted = name(column)
            if column in audited.secret:
                kinds[column], shown = "secret", f"{quoted} IS NULL"
            elif type_ == "bytea":  # a file of megabytes is hashed where it lies
                shown = f"'sha256:' || encode(sha256({quoted}), 'hex')"
            selected.append(f"{shown} AS {quoted}")
        rows = f"SELECT {', '.join(selected)} FROM {name(table)}"
        batch = FILES if "bytea" in types.values() else BATCH
        return cls(audited.model, keys[0], types[keys[0]], kinds, rows, batch)

    def present(self, cursor: Any, keys: list[str]) -> dict[str, dict[str, Any]]:
        """Return key → columns of the rows that are there."""
        wanted = f"WHERE {name(self.key)} = ANY (%s::text[]::{self.key_type}[])"
        cursor.execute(f"SELECT {name(self.key)}::text, to_jsonb(r)::text FROM ({self.rows} {wanted}) AS r", [keys])
        rows = {key: json.loads(text, parse_float=str) for key, text in cursor.fetchall()}
        if self.label in TABLES:
            for key, _number, made, _row in commitments(cursor, self.label, keys):
                rows[key] |= {column: Kept(as_written(rows[key][column]), one) for column, one in made.items()}
        return rows

    def differing(self, recorded: Past, row: dict[str, Any]) -> list[str]:
        """Return the columns in which a row differs from the ledger."""
        return sorted(
            column
            for column, value in recorded.values.items()
            if column in self.kinds and self._written(column, row[column], value) != value
        )

    def _written(self, column: str, present: Any, value: Any) -> Any:
        if self.kinds[column] == "secret":
            return None if present else value or "a value"
        if isinstance(present, Kept):
            return present.written(value)
        return as_written(present, self.kinds[column])


def rows_of_events(
    cursor: Any, table: Table, behind: str, found: dict[str, Any]
) -> Iterator[tuple[str, list[Unexplained]]]:
    """Compare each row that has events, some at a time; yield the key up to which was compared, and what was found."""
    begin, end = f"{table.label}:", f"{table.label};"
    while True:
        cursor.execute(_OBJECTS, {"behind": begin + behind, "end": end, "most": table.batch})
        objects = [label for (label,) in cursor.fetchall()]
        if not objects:
            return
        recorded = last_of_rows(objects)
        present = table.present(cursor, [label.removeprefix(begin) for label in recorded])
        found["present"] += len(present)
        behind = objects[-1].removeprefix(begin)
        faults = (
            _compared(table, label, one, present.get(label.removeprefix(begin))) for label, one in recorded.items()
        )
        yield behind, [fault for fault in faults if fault is not None]


def rows_without_event(
    cursor: Any, table: Table, behind: str, found: dict[str, Any]
) -> Iterator[tuple[str, list[Unexplained]]]:
    """Find the rows that no event made; yield as `told_rows` does."""
    key = name(table.key)
    while True:
        after = f"WHERE {key} > %s::{table.key_type}" if behind else ""
        cursor.execute(
            "SELECT r.key::text, EXISTS (SELECT FROM audit_event e WHERE e.object = %s || r.key::text AND "
            "e.kind = 'row')"
            f" FROM (SELECT {key} AS key FROM {name(table_of(table.label))} {after} ORDER BY {key} LIMIT %s) AS r"
            " ORDER BY r.key",
            [f"{table.label}:", *([behind] if behind else []), BATCH],
        )
        rows = cursor.fetchall()
        if not rows:
            return
        without_event = [key_ for key_, recorded in rows if not recorded]
        found["present"] += len(without_event)
        behind = rows[-1][0]
        yield behind, [Unexplained(f"{table.label}:{key_}", 0, "", "", "without_event") for key_ in without_event]


def _compared(table: Table, label: str, recorded: Past, row: dict[str, Any] | None) -> Unexplained | None:
    why, columns = "", ""
    if recorded.gone:
        why = "" if row is None else "left"
    elif row is None:
        why = "gone"
    elif differing := table.differing(recorded, row):
        why, columns = "differing", ", ".join(differing)
    if not why:
        return None
    return Unexplained(label, 0, recorded.at.astimezone(UTC).isoformat(), "", why, recorded.number, columns)
