"""Personal columns: events hold commitments of their values, and the values stand in the rows and history rows.

The database alone has the keys. It gives the commitments of values that still stand, for reads of past states and for
the comparison with the ledger.
"""

import json
from collections.abc import Collection, Iterable, Iterator
from typing import Any, NamedTuple

from django.db import connection

from audit.apps import table_of
from audit.audited_tables import AUDITED_TABLES
from audit.capture import history_table
from audit.ledger.row_function import function_name
from audit.roles import name

PREFIX = "personal:sha256:"
TABLES = {one.model: one for one in AUDITED_TABLES if one.personal}
# The operations that empty the personal columns of a row and of its history rows, in events on the row.
ERASURES = ("erasure:confirm", "erasure:confirm_recipient")


class Kept(NamedTuple):
    """A personal value that stands in a row, as an event would write it, and its commitment; None without a key."""

    value: Any
    commitment: Any

    def written(self, recorded: Any) -> Any:
        """Return it as it is recorded: events of before 0.3.0 hold the value."""
        return self.commitment if committed(recorded) else self.value


def committed(value: Any) -> bool:
    """Tell whether a value of an event is a commitment."""
    return isinstance(value, str) and value.startswith(PREFIX)


def commitments(cursor: Any, label: str, keys: Collection[str], *, history: bool = False) -> Iterator[tuple[Any, ...]]:
    """Yield (key, history_id or 0, column → commitment, all columns) of the rows of a model, or of their history
    rows.
    """
    table = table_of(label)
    of, function = (history_table(cursor, table), "history") if history else (table, "personal")
    if not of:
        return
    cursor.execute(
        f"SELECT p.key, p.history, p.made::text, to_jsonb(r)::text FROM {function_name(table)}_{function}(%s) p"
        f" JOIN {name(of)} r ON r.id::text = p.key{' AND r.history_id = p.history' if history else ''}",
        [list(keys)],
    )
    for pk, number, made, text in cursor.fetchall():
        yield pk, number, json.loads(made), json.loads(text)


Values = dict[tuple[str, str, str], Any]


def standing(labels: Iterable[str]) -> Values:
    """Return (row `app.Model:pk`, column, commitment) → value of the personal values of rows that still stand."""
    keys: dict[str, set[str]] = {}
    for model, _colon, pk in (label.partition(":") for label in labels):
        if model in TABLES:
            keys.setdefault(model, set()).add(pk)
    found: Values = {}
    with connection.cursor() as cursor:
        for model, pks in keys.items():
            for history in (True, False):
                for pk, _number, made, row in commitments(cursor, model, pks, history=history):
                    for column, commitment in made.items():
                        if committed(commitment):
                            found[f"{model}:{pk}", column, commitment] = row[column]
    return found


def revealed(label: str, values: dict[str, Any] | None, known: Values) -> dict[str, Any]:
    """Return the values of an event with personal values that still stand in place of their commitments."""
    given = (values or {}).items()
    return {key: known.get((label, key, value), value) if committed(value) else value for key, value in given}
