"""One writer of the measurement of chained transactions: `python -m benchmarks.writer plain|audited SECONDS PK`."""

from __future__ import annotations

import os
import sys
import time
import uuid

import django


def main(table: str, seconds: float, pk: int) -> None:
    """Say `ready`, wait for a line, save the row in transactions of its own, and print how many there were."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    django.setup()
    from django.conf import settings
    from django.db import transaction

    from audit import capture
    from benchmarks.bench_ledger import ACTOR, plain_model
    from environments.models import ChangeFreeze

    settings.SIMPLE_HISTORY_ENABLED = False
    row = (ChangeFreeze if table == "audited" else plain_model("bench_plain"))._default_manager.get(pk=pk)
    print("ready", flush=True)
    sys.stdin.readline()
    done, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        row.reason = f"reason {done}"  # type: ignore[attr-defined]
        with transaction.atomic():
            if table == "audited":
                capture.set_context(ACTOR, operation="bench:save", operation_id=uuid.uuid4())
            row.save()
        done += 1
    print(done)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))
