"""Covered rows: evidence that comes too often for one event each, so that one event holds the digests of many rows.

The scheduler covers what is new every few minutes (`cover`, event `audit:cover`). Pages and packs ask `warning` before
they show a row, and the verification of the ledger asks `faults`. Only the owner of the tables may change such a row
(audit.roles).

A digest is the SHA-256, in hex, of the UTF-8 of PostgreSQL's `to_jsonb(row)::text`, times in UTC, without LATER.
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from django.apps import apps
from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from audit import capture
from audit.actor import current
from audit.apps import table_of
from audit.models import Event
from audit.operation import Operation, append

COVER = "audit:cover"
COVERED = ("releases.StepOutput", "releases.Measurement", "releases.MonitoringCheck", "audit.Outbox")
# Columns that are written after the row was made.
LATER = ("covered_by", "sent_at")
EVERY = timedelta(minutes=5)
BATCH, MOST = 500, 200
_DIGEST = f"encode(sha256(convert_to((to_jsonb({{table}}) - ARRAY{list(LATER)})::text, 'UTF8')), 'hex')"
_NEW = f"""
UPDATE {{table}} SET covered_by = %s WHERE id IN (
  SELECT id FROM {{table}} WHERE covered_by IS NULL ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED) RETURNING id, {_DIGEST}
"""
# Canonical JSON: a row and its digest stand in the bytes in this one way.
ALTERED = f"""({{table}}.covered_by IS NOT NULL AND NOT EXISTS (
  SELECT FROM audit_event e LEFT JOIN audit_ledgerentry l ON l.event_id = e.id
  WHERE e.operation_id = {{table}}.covered_by AND e.operation = '{COVER}'
    AND (sha256('\\x00'::bytea || e.bytes) = l.leaf
      OR l.number IS NULL AND EXISTS (SELECT FROM audit_pending p WHERE p.event_id = e.id))
    AND position(convert_to('[' || {{table}}.id || ',"' || {_DIGEST} || '"]', 'UTF8') IN e.bytes) > 0))
"""
_FAULTS = f"""
SELECT coalesce(r.id, {{table}}.id), r.id IS NULL, {{table}}.id IS NULL FROM (
  SELECT (pair ->> 0)::bigint AS id, pair ->> 1 AS digest
  FROM audit_event e, jsonb_array_elements(convert_from(e.bytes, 'UTF8')::jsonb #> '{{{{after,rows}}}}') AS pair
  WHERE e.operation = '{COVER}' AND e.object = %s AND e.at >= %s) AS r
{{side}} JOIN (SELECT * FROM {{table}} WHERE covered_by IS NOT NULL) AS {{table}} ON {{table}}.id = r.id
WHERE r.id IS NULL OR {{table}}.id IS NULL OR {_DIGEST} <> r.digest ORDER BY 1 LIMIT %s
"""


def due(moment: datetime) -> bool:
    """Tell whether new rows are due to be covered."""
    return not Event.objects.filter(operation=COVER, at__gt=moment - EVERY).exists()


def cover() -> None:
    """Write the digests of the rows that no event holds yet into events, BATCH rows each."""
    for label in _there():
        while _cover(label) == BATCH:
            pass


def _there() -> list[str]:
    return [label for label in COVERED if label.partition(".")[0] in apps.app_configs]


def _cover(label: str) -> int:
    op = Operation(COVER, current(), uuid4(), object=label)
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        capture.set_context(op.actor, operation=COVER, operation_id=op.id)
        cursor.execute(_NEW.format(table=table_of(label)), [op.id, BATCH])
        op.details["rows"] = sorted(cursor.fetchall())
        if op.details["rows"]:
            append("operation", op, reason="", outcome="done")
    return len(op.details["rows"])


def altered(rows: QuerySet[Any]) -> list[int]:
    """Return the primary keys of the rows of a covered model that differ from their events. No event covers rows of the
    last minutes yet.
    """
    table = rows.model._meta.db_table
    keys, values = rows.order_by().values("pk").query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT id FROM {table} WHERE id IN ({keys}) AND {ALTERED.format(table=table)} ORDER BY id", values
        )
        return [pk for (pk,) in cursor.fetchall()]


def warning(*shown: QuerySet[Any]) -> str:
    """Return a sentence that names what was altered of the rows that are shown; empty where nothing was."""
    rows = [f"{each.model._meta.verbose_name} {pk}" for each in shown for pk in altered(each)]
    text = _("These rows were altered after they were recorded and do not show what happened: %(rows)s.")
    return text % {"rows": ", ".join(rows)} if rows else ""


def faults(since: datetime | None) -> list[list[str]]:
    """Return [label, why] of the rows that differ from the events since a time; None: of all rows, and also of rows
    whose named event does not name them.
    """
    found = []
    with connection.cursor() as cursor:
        for label in _there():
            statement = _FAULTS.format(table=table_of(label), side="FULL" if since is None else "LEFT")
            cursor.execute(statement, [label, since or capture.EPOCH, MOST])
            for pk, unnamed, gone in cursor.fetchall():
                why = "no event covers it" if unnamed else "it was deleted" if gone else "it was changed"
                found.append([f"{label}:{pk}", why])
    return found
