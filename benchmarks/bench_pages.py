"""Queries and milliseconds of each admin page, at a few rows and at hundreds."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from django.db import connection
from django.urls import reverse

from benchmarks.report import Report, Spread
from tests.releases.admin import seed

ROWS = int(os.environ.get("RINGI_BENCH_ROWS", "300"))
LOOKS = 7


def pages(world: dict[str, Any]) -> dict[str, str]:
    """Return name → address."""
    lists = ("releases_release", "releases_deployment", "releases_rollback", "releases_evidence", "releases_followup")
    lists += ("environments_changewindow", "environments_account", "audit_outbox")
    return {
        "My tasks": reverse("admin:index"),
        "release": reverse("release", args=[world["draft"].pk]),
        "release in review": reverse("release", args=[world["review"].pk]),
        "deployment": reverse("deployment", args=[world["back"].pk]),
        "rollback": reverse("rollback", args=[world["rollback"].pk]),
        "approval request": reverse("approval-request", args=[world["round"].pk]),
        "timeline": reverse("timeline"),
        "calendar": reverse("calendar"),
        "access matrix": reverse("access"),
        **{f"list {name.partition('_')[2]}": reverse(f"admin:{name}_changelist") for name in lists},
    }


def look(client: Any, address: str) -> tuple[int, Spread, bool]:
    """Return queries, time of LOOKS looks, and whether all came."""
    fine = client.get(address).status_code == 200
    seen: list[str] = []

    def count(execute: Any, text: str, *rest: Any) -> Any:
        seen.append(text)
        return execute(text, *rest)

    counts = []
    for _look in range(2):  # in one of them, what all pages keep for ten seconds may be asked for again
        seen.clear()
        with connection.execute_wrapper(count):
            fine = client.get(address).status_code == 200 and fine
        counts.append(len(seen))
    taken = []
    for _ in range(LOOKS):
        began = time.perf_counter()
        fine = client.get(address).status_code == 200 and fine
        taken.append(time.perf_counter() - began)
    return min(counts), Spread.of(taken), fine and min(counts) > 0


def bench_pages(
    database: str, acting_as: Callable[..., Any], browsers: Callable[[str], Any], report: Report, quiet: None
) -> None:
    """Look at every page as a release manager, add ROWS of everything that repeats, and look again."""
    world = seed.world(acting_as)
    client, addresses = browsers("manager"), pages(world)
    few = {name: look(client, address) for name, address in addresses.items()}
    seed.more(acting_as, world, ROWS)
    note = f"Django's test client; comparison: the same page at 3 rows, ours at {ROWS}; no target in ms"
    for name, address in addresses.items():
        queries, spread, fine = look(client, address)
        before, earlier, was_fine = few[name]
        report.add(
            "pages",
            name,
            f"{queries} queries, {spread.p50:.0f} ms",
            limit=f"{before} queries, {earlier.p50:.0f} ms",
            ratio=spread.p50 / earlier.p50,
            target="queries do not grow",
            met=queries <= before,
            note=note,
            valid=fine and was_fine,
            figures={"queries": [before, queries], "few": earlier.__dict__, "many": spread.__dict__},
        )
        note = ""
