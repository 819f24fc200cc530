"""Fifty people who read pages at once, from the web server of the documented set-up on these same cores."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks.bench_memory import answers
from benchmarks.bench_pages import pages
from benchmarks.bench_size import THREADS, WEB
from benchmarks.bench_wake import until
from benchmarks.report import Report
from config.development.ports import free_port
from tests.releases.admin import seed
from tests.releases.admin.many import fill

PEOPLE = int(os.environ.get("RINGI_BENCH_READERS", "50"))
RELEASES, THINK, SECONDS = 3100, 5.0, 60.0
READERS = ("manager", "auditor")
P95_MS = 300


def bench_people(
    database: str,
    acting_as: Callable[..., Any],
    browsers: Callable[[str], Any],
    report: Report,
    children: Any,
    quiet: None,
) -> None:
    """Let each person open one page after the other for SECONDS and think for THINK seconds in between."""
    world = seed.world(acting_as)
    fill(database, world, RELEASES)
    port = free_port()
    gunicorn = ["-m", "gunicorn", "config.wsgi", "--bind", f"127.0.0.1:{port}", "--no-control-socket"]
    children(*gunicorn, "--workers", str(WEB), "--threads", str(THREADS), name="web")
    here = f"http://127.0.0.1:{port}"
    until(lambda: answers(f"{here}/health/"), "the web server")
    addresses = list(pages(world).values())
    cookies = [
        "; ".join(f"{key}={one.value}" for key, one in browsers(READERS[n % len(READERS)]).cookies.items())
        for n in range(PEOPLE)
    ]
    valid = all(answers(here + address, cookie) for cookie in cookies[: len(READERS)] for address in addresses)
    ended = threading.Event()

    def read(number: int) -> list[tuple[float, bool]]:
        chance, seen = random.Random(number), []  # noqa: S311 - the order of pages
        ended.wait(chance.uniform(0, THINK))
        while not ended.is_set():
            began = time.perf_counter()
            came = answers(here + chance.choice(addresses), cookies[number])
            seen.append((time.perf_counter() - began, came))
            ended.wait(THINK)
        return seen

    with ThreadPoolExecutor(PEOPLE) as people:
        asked = [people.submit(read, number) for number in range(PEOPLE)]
        time.sleep(SECONDS)
        ended.set()
        seen = [row for future in asked for row in future.result()]
    taken = sorted(seconds for seconds, _came in seen)
    errors = sum(not came for _seconds, came in seen)
    p50, p95 = (1000 * taken[int(share * (len(taken) - 1))] for share in (0.5, 0.95))
    speed, wanted = len(seen) / SECONDS, PEOPLE / THINK
    report.add(
        "people",
        f"{PEOPLE} at once, {THINK:.0f} s between two pages (p50 / p95)",
        f"{p50:.0f} / {p95:.0f} ms",
        limit=f"{speed:.1f} pages/s of {wanted:.0f} at most",
        ratio=speed / wanted,
        target=f"p95 ≤ {P95_MS} ms, no errors",
        met=p95 <= P95_MS and not errors,
        valid=valid,
        note=f"{len(seen)} pages, {errors} errors; {WEB} × {THREADS} threads, {RELEASES:,} releases; the readers use "
        "the same cores",
        figures={"p50": p50, "p95": p95, "errors": errors, "pages": len(seen)},
    )
