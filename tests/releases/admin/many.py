"""Many rows at once, by SQL and without triggers: for tests and measurements that only read them."""

from __future__ import annotations

import os
from typing import Any

import psycopg
from django.db.models import Model
from psycopg import sql

from releases.models import Evidence, FollowUp, Release

ENDED = "'completed'"
# One of fifty is still open.
SOME_OPEN = "CASE WHEN n.g %% 50 = 0 THEN 'draft' ELSE 'completed' END"
NUMBERS = "SELECT g FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS g"
RELEASES = (
    "SELECT id, created_at, split_part(version, '.', 2)::bigint AS g FROM releases_release"
    " WHERE version LIKE '8.%%' AND split_part(version, '.', 2)::bigint BETWEEN %(first)s AND %(last)s"
)


def as_owner(address: str) -> psycopg.Connection[Any]:
    """Return a connection to a test's database as its owner."""
    owner = psycopg.conninfo.conninfo_to_dict(os.environ["DATABASE_OWNER_URL"])
    parts = {**psycopg.conninfo.conninfo_to_dict(address), "user": owner["user"], "password": owner["password"]}
    return psycopg.connect(psycopg.conninfo.make_conninfo(**parts), autocommit=True)


class Copies:
    """Copies rows, one for each number; leaves the triggers of their tables off."""

    def __init__(self, made: psycopg.Connection[Any], first: int, last: int) -> None:
        self.made, self.first, self.last = made, first, last

    def of(self, row: Model, given: dict[str, str], each: str = RELEASES) -> None:
        """Copy a row; given: column → expression, in which n.g is the number and n.id the release of that number."""
        model = type(row)
        table = sql.Identifier(model._meta.db_table)
        columns = [f.column for f in model._meta.concrete_fields if f.column != "id"]
        picked = [sql.SQL(given[c]) if c in given else sql.SQL("t.") + sql.Identifier(c) for c in columns]
        self.made.execute(sql.SQL("ALTER TABLE {} DISABLE TRIGGER USER").format(table))
        self.made.execute(
            sql.SQL(
                "INSERT INTO {table} ({columns}) SELECT {picked} FROM {table} t, ({each}) n WHERE t.id = %(of)s"
            ).format(
                table=table,
                columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
                picked=sql.SQL(", ").join(picked),
                each=sql.SQL(each),
            ),
            {"of": row.pk, "first": self.first, "last": self.last},
        )
        self.made.execute(sql.SQL("ANALYZE {}").format(table))


def fill(address: str, world: dict[str, Any], upto: int, *, state: str = ENDED, proof: bool = False) -> None:
    """Add releases up to a number and a deployment of each; proof: also an evidence file and a follow-up action."""
    with as_owner(address) as made:
        copies = Copies(made, Release.objects.count() + 1, upto)
        at = "now() - n.g * interval '1 minute'"
        given = {"version": "'8.' || n.g || '.0'", "state": state, "number": "NULL", "plan": "'{}'::jsonb"}
        copies.of(world["draft"], {**given, "created_at": at}, NUMBERS)
        copies.of(world["running"], {"state": "'succeeded'", "release_id": "n.id", "created_at": "n.created_at"})
        if proof:
            copies.of(Evidence.objects.latest("pk"), {"digest": "lpad(n.g::text, 64, '0')", "at": "n.created_at"})
            follow_up = FollowUp.objects.filter(completed_at=None).latest("pk")
            completed_at = "CASE WHEN n.g %% 50 = 0 THEN NULL ELSE now() END"
            copies.of(
                follow_up, {"release_id": "n.id", "due_at": "now() + interval '30 days'", "completed_at": completed_at}
            )
