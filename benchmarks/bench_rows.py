"""Time, queries and bytes of the main pages at 100, 10,000 and a million rows, beside the plain Django admin."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable
from typing import Any

from django.urls import reverse

from benchmarks.bench_pages import look, pages
from benchmarks.report import Report, Spread
from tests.releases.admin import seed
from tests.releases.admin.many import fill

SIZES = [int(word) for word in os.environ.get("RINGI_BENCH_SIZES", "100 10000 1000000").split()]
PAGE_MS, PAGE_QUERIES, GROWTH = 30, 20, 1.2
NOISE_MS = 5  # by which the median of a few looks at a page of 20 ms differs by itself


def bench_rows(
    database: str,
    acting_as: Callable[..., Any],
    browsers: Callable[[str], Any],
    report: Report,
    quiet: None,
    settings: Any,
) -> None:
    """Look at the same pages at each size; `ratio` is the last size to the first."""
    from benchmarks import plain

    settings.ROOT_URLCONF = "benchmarks.plain"
    own = settings.TEMPLATES[0]
    world, client = seed.world(acting_as), browsers("manager")
    ours = {
        **pages(world),
        "search for a version": reverse("admin:releases_release_changelist") + "?q=1.3.0",
        "statistics": reverse("statistics"),
    }
    beside = {"list release": "/plain/releases/release/", "list deployment": "/plain/releases/deployment/"}
    seen: dict[tuple[str, int], tuple[int, Spread, bool, int]] = {}
    theirs: dict[tuple[str, int], tuple[int, Spread, bool, int]] = {}
    for size in SIZES:
        fill(database, world, size)
        for name, address in ours.items():
            seen[name, size] = (*look(client, address), len(client.get(address).content))
        settings.TEMPLATES = [{**own, "DIRS": [plain.TEMPLATES]}]
        for name, address in beside.items():
            theirs[name, size] = (*look(client, address), len(client.get(address).content))
        settings.TEMPLATES = [own]
    first, last = SIZES[0], SIZES[-1]
    for name in ours:
        small, large = seen[name, first], seen[name, last]
        ratio = large[1].p50 / small[1].p50
        met = large[1].p50 <= GROWTH * small[1].p50 + NOISE_MS and small[0] >= large[0]
        other = theirs.get((name, last))
        words = "" if other is None else f"plain admin {other[1].p50:.0f} ms, {other[0]} queries, {other[3] // 1000} kB"
        report.add(
            "rows",
            name,
            f"{large[1].p50:.0f} ms, {large[0]} queries, {large[3] // 1000} kB",
            limit=words,
            ratio=ratio,
            target=f"≤ {GROWTH} × and {NOISE_MS} ms from {first:,} to {last:,} rows",
            met=met,
            valid=all(entry[2] for (n, _s), entry in seen.items() if n == name),
            figures={
                str(s): {
                    "ms": seen[name, s][1].__dict__,
                    "queries": seen[name, s][0],
                    "bytes": seen[name, s][3],
                    "plain": theirs[name, s][1].__dict__ if (name, s) in theirs else None,
                }
                for s in SIZES
            },
        )
        report.add(
            "rows",
            f"cost: {name}",
            f"{large[1].p50:.0f} ms, {large[0]} queries",
            target=f"≤ {PAGE_MS} ms, ≤ {PAGE_QUERIES} queries",
            met=large[1].p50 <= PAGE_MS and large[0] <= PAGE_QUERIES,
        )
    middle = statistics.median(seen[name, last][1].p50 for name in ours)
    report.add("rows", "time of a page, median of all", f"{middle:.0f} ms", target="≤ 25 ms", met=middle <= 25)
