"""From a change to the signed checkpoint that covers it, with a real ledger signer at its own pace."""

from __future__ import annotations

import os
import random
import time
from typing import Any

from django.db import connection

from audit.actor import acting
from audit.models import Checkpoint, LedgerHead
from audit.operation import operation
from benchmarks.bench_ledger import ACTOR, freezes
from benchmarks.bench_wake import until
from benchmarks.report import Report, Spread
from environments.models import ChangeFreeze

CHANGES = int(os.environ.get("RINGI_BENCH_CHECKPOINTS", "20"))
SECONDS = 10


def all_signed() -> bool:
    """Tell whether a checkpoint covers each event."""
    head, signed = LedgerHead.objects.get(), Checkpoint.objects.order_by("-number").first()
    return not head.pending and signed is not None and signed.number == head.number


def seconds_until_signed(events: str) -> list[float]:
    """Return how long each of the events (a condition in SQL) waited for its checkpoint, by the database's clock."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT extract(epoch FROM c.at - e.at) FROM audit_event e JOIN audit_ledgerentry l ON l.event_id = e.id,"
            " LATERAL (SELECT at FROM audit_checkpoint WHERE audit_checkpoint.number >= l.number ORDER BY"
            f" audit_checkpoint.number LIMIT 1) AS c WHERE {events}"
        )
        return [float(seconds) for (seconds,) in cursor.fetchall()]


def bench_checkpoint(database: str, report: Report, children: Any, quiet: None) -> None:
    """Change a row at moments independent of the ledger signer's interval, and wait for each to be signed."""
    (row,) = freezes(ChangeFreeze, 1)
    children("manage.py", "ledger_signer", role="ledger_signer")
    until(Checkpoint.objects.exists, "the first checkpoint")
    chance = random.Random(1)
    for n in range(CHANGES):
        time.sleep(chance.random())
        with acting(ACTOR), operation("bench:save", (ChangeFreeze, row.pk)) as op:
            op.get(ChangeFreeze).reason = f"reason {n}"
        until(all_signed, "a checkpoint")
    waited = seconds_until_signed("kind = 'operation' AND operation = 'bench:save'")
    spread = Spread.of(waited)
    report.add(
        "ledger",
        "change → signed checkpoint (p50 / p99)",
        spread,
        limit=f"{SECONDS} s",
        ratio=max(waited) / SECONDS,
        target=f"≤ {SECONDS} s",
        met=max(waited) <= SECONDS,
        valid=len(waited) == CHANGES,
        note=f"n={CHANGES}; a real ledger signer that looks each second",
        figures=spread.__dict__,
    )
