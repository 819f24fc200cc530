"""From a change to the signed checkpoint that covers it, with a real ledger signer at its own pace."""

from __future__ import annotations

import os
import random
import time
from typing import Any

from django.db import connection

from audit.actor import acting
from audit.models import Checkpoint
from audit.operation import operation
from benchmarks.bench_ledger import ACTOR, freezes, last_number
from benchmarks.bench_wake import until
from benchmarks.report import Report, Spread
from environments.models import ChangeFreeze

CHANGES = int(os.environ.get("RINGI_BENCH_CHECKPOINTS", "20"))
SECONDS = 10


def bench_checkpoint(database: str, report: Report, children: Any, quiet: None) -> None:
    """Change a row at moments independent of the ledger signer's interval, and wait for each to be signed."""
    (row,) = freezes(ChangeFreeze, 1)
    children("manage.py", "ledger_signer", role="ledger_signer")
    until(Checkpoint.objects.exists, "the first checkpoint")
    chance, numbers = random.Random(1), []
    for n in range(CHANGES):
        time.sleep(chance.random())
        with acting(ACTOR), operation("bench:save", (ChangeFreeze, row.pk)) as op:
            op.get(ChangeFreeze).reason = f"reason {n}"
        numbers.append(last_number())
        until(lambda: Checkpoint.objects.filter(number__gte=numbers[-1]).exists(), "a checkpoint")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT extract(epoch FROM (SELECT min(c.at) FROM audit_checkpoint c WHERE c.number >= l.number) - e.at)"
            " FROM audit_ledgerentry l JOIN audit_event e ON e.id = l.event_id WHERE l.number = ANY (%s)",
            [numbers],
        )
        waited = [float(seconds) for (seconds,) in cursor.fetchall()]
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
        note=f"n={CHANGES}; a real ledger signer that looks every 2 s",
        figures=spread.__dict__,
    )
