"""Hundreds of open pages at one process: from the commit of a change to the word that each of them gets."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from itertools import batched
from pathlib import Path
from socket import socket
from typing import Any

from benchmarks.bench_wake import until
from benchmarks.report import Report, Spread
from config.development.ports import free_port
from config.development.rows import rows
from releases.admin.components.live import updates
from tests.releases.conftest import World
from tests.releases.gates.asking import alter

STREAMS = int(os.environ.get("RINGI_BENCH_STREAMS", "500"))
CHANGES, EVERY = 20, 1.0
PEOPLE = ("manager", "developer", "operator", "committee_a", "tester")


class Pages:
    """Open streams, read in a thread of their own. heard: when each word “changed” came, on the clock of commits."""

    def __init__(self, port: int, asked: list[tuple[str, str]]) -> None:
        self.open, self.heard, self.refused = 0, list[float](), b""
        self._port, self._asked = port, asked
        self._thread = threading.Thread(target=lambda: asyncio.run(self._all()), daemon=True)
        self._thread.start()

    async def _all(self) -> None:
        tasks = []
        for some in batched(self._asked, 20):
            tasks += [asyncio.create_task(self._one(*one)) for one in some]
            await asyncio.sleep(0.2)
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _one(self, token: str, cookie: str) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        head = f"GET /live/?of={token} HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\n\r\n"
        writer.write(head.encode())
        try:
            while line := await reader.readline():
                if line.startswith(b"HTTP/1.1") and b" 200" not in line:
                    self.refused = line
                if line.strip() == b"event: open":
                    self.open += 1
                elif line.strip() == b"event: changed":
                    self.heard.append(time.monotonic())
        finally:
            writer.close()


def seconds_of(pid: int) -> float:
    """Return the CPU seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def bench_streams(world: World, report: Report, children: Any, browsers: Any, quiet: None) -> None:
    """Open STREAMS pages of one release, change it CHANGES times, and see when each page was told."""
    port, release = free_port(), world.planned()
    (row,) = (row for row in rows(0, 0, ["development"]) if row.name == "live")
    argv = [word.replace("--fd", "--port") for word in row.argv[1:]]
    argv[argv.index("--port") + 1] = str(port)
    process = children(*argv)
    clients = {name: browsers(name) for name in PEOPLE}
    asked = []
    for number in range(STREAMS):
        name = PEOPLE[number % len(PEOPLE)]
        cookie = "; ".join(f"{key}={morsel.value}" for key, morsel in clients[name].cookies.items())
        asked.append((updates(world.people[name], release)["of"], cookie))
    until(lambda: _listens(port), "the process of the streams")
    pages = Pages(port, asked)
    until(lambda: pages.open == STREAMS or pages.refused, "the streams")
    assert not pages.refused, pages.refused
    time.sleep(2)  # what the first streams may have missed has been told
    idle = seconds_of(process.pid)
    time.sleep(10)
    idle = (seconds_of(process.pid) - idle) / 10
    taken, missing = [], 0
    for number in range(CHANGES):
        before, committed = len(pages.heard), _altered(release, number)
        time.sleep(EVERY)
        heard = pages.heard[before:]
        missing += STREAMS - len(heard)
        taken += [max(0.0, at - committed) for at in heard]
    spread = Spread.of(taken)
    ordered = sorted(taken)
    p95 = 1000 * ordered[int(0.95 * (len(ordered) - 1))]
    report.add(
        "streams",
        f"commit → word to {STREAMS} open pages (p50 / p99)",
        spread,
        limit=f"p95 {p95:.0f} ms",
        target="p95 ≤ 1000 ms",
        met=p95 <= 1000,
        valid=not missing and spread.count == STREAMS * CHANGES,
        note=f"{CHANGES} changes; at rest the process uses {100 * idle:.0f} % of one core",
        figures={"total": spread.__dict__, "p95": p95, "idle": idle},
    )


def _altered(release: Any, number: int) -> float:
    alter(release, title=f"change {number}")
    return time.monotonic()


def _listens(port: int) -> bool:
    with socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
