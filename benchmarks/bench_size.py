"""What a server and a database must hold: connections of each process, CPU time of a page, disk and CPU of events."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from audit.actor import acting
from audit.ledger.checkpoint import LedgerSigner
from audit.operation import operation
from benchmarks import deployments
from benchmarks.bench_ledger import ACTOR, fill, freezes, last_number
from benchmarks.bench_memory import answers, family
from benchmarks.bench_wake import until
from benchmarks.report import Report
from config.development.ports import free_port
from config.development.rows import rows
from environments.models import ChangeFreeze
from releases.models import Deployment
from tests.conftest import sign_ledger
from tests.releases.conftest import World

QUEUES = ["development", "production", "measurements", "checks", "notifications"]
STEPS, WEB, THREADS, PAGES = 10, 2, 4, 80
OPERATIONS, EVENTS = 2000, 20000
TICKS = os.sysconf("SC_CLK_TCK")
SEEN = (
    "SELECT application_name, count(*) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid() GROUP BY 1"
)


def seconds_of(pid: int) -> float:
    """Return the CPU time of a process and all below it, those that have ended included."""
    fields = [Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split() for one in family(pid)]
    return sum(int(number) for row in fields for number in row[11:15]) / TICKS


class Connections:
    """The most sessions that each process had at once, by its name, asked twenty times a second."""

    def __init__(self, name: str) -> None:
        self.name, self.most, self.ended = name, Counter[str](), threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)
        self.thread.start()

    def _look(self) -> None:
        with psycopg.connect(os.environ["DATABASE_SERVER_URL"], autocommit=True) as server:
            while not self.ended.wait(0.05):
                self.most |= Counter(dict(server.execute(SEEN, [self.name]).fetchall()))

    def end(self) -> Counter[str]:
        """Stop asking, and return them."""
        self.ended.set()
        self.thread.join()
        return self.most


def bench_size_connections(
    world: World, database: str, report: Report, children: Any, browsers: Any, quiet: None
) -> None:
    """Start every process, ask for pages from as many readers as the web process has threads, make a deployment."""
    port, asked = free_port(), Connections(str(conninfo_to_dict(database)["dbname"]))
    gunicorn = ["-m", "gunicorn", "config.wsgi", "--bind", f"127.0.0.1:{port}", "--no-control-socket"]
    web = children(*gunicorn, "--workers", str(WEB), "--threads", str(THREADS), name="web")
    here = f"http://127.0.0.1:{port}"
    until(lambda: answers(f"{here}/health/"), "the web server")
    cookie = "; ".join(f"{key}={one.value}" for key, one in browsers("manager").cookies.items())
    made = deployments.replan(world, deployments.release(world), deployments.plan(STEPS))
    pages = [
        f"{here}{page}" for page in ("/admin/", f"/admin/release/{made.pk}/", "/admin/timeline/", "/admin/calendar/")
    ]
    with ThreadPoolExecutor(WEB * THREADS) as readers:
        valid = all(readers.map(lambda page: answers(page, cookie), pages * WEB * THREADS))
        began = seconds_of(web.pid)
        valid &= all(readers.map(lambda page: answers(page, cookie), pages * (PAGES // len(pages))))
        spent = (seconds_of(web.pid) - began) / PAGES
    table = [row for row in rows(0, 0, QUEUES) if row.name != "web"]
    for row in table:
        argv = [word.replace("--fd", "--port") for word in row.argv[1:]]  # any free one
        role = "ledger_signer" if row.name == "ledger_signer" else "worker" if row.name.startswith("worker") else ""
        children(*argv, role=role, name=row.name)
    before = last_number()
    deployment = deployments.scheduled(world, made)
    until(lambda: Deployment.objects.get(pk=deployment.pk).state == "succeeded", "its end", 300)
    events = last_number() - before
    time.sleep(5)
    for name, count in sorted(asked.end().items()):
        if name in {"web", *(row.name for row in table)}:
            report.add("size", f"connections: {name}", str(count), valid=valid, figures={"count": count})
    report.add(
        "size",
        f"events of a deployment of {STEPS} steps",
        str(events),
        valid=valid,
        note="and one check, from its request to its end in development",
        figures={"events": events},
    )
    report.add(
        "size",
        "pages a second and core",
        f"{1 / spent:.0f}/s",
        valid=valid,
        note="CPU time of the web processes alone: home page, release, timeline, calendar in turn",
        figures={"seconds": spent},
    )


def bench_size_events(database: str, report: Report, tmp_path: Path, quiet: None) -> None:
    """Make operations with their history and events, and measure what the database grows by; sign many events."""
    name = str(conninfo_to_dict(database)["dbname"])
    (row,) = freezes(ChangeFreeze, 1)
    with psycopg.connect(make_conninfo(os.environ["DATABASE_SERVER_URL"], dbname=name), autocommit=True) as server:

        def size() -> int:
            server.execute("VACUUM")
            found = server.execute("SELECT pg_database_size(current_database())").fetchone()
            return int(found[0]) if found else 0

        signer = LedgerSigner(tmp_path / "ledger_signer")
        sign_ledger(signer)
        before, numbers = size(), last_number()
        with acting(ACTOR):
            for index in range(OPERATIONS):
                with operation("bench:save", (ChangeFreeze, row.pk), reason="measured") as op:
                    op.get(ChangeFreeze).reason = f"reason {index}"
        sign_ledger(signer)
        grown, events = size() - before, last_number() - numbers
    report.add(
        "size",
        "disk for 1,000 events",
        f"{1000 * grown / events / 1e6:.1f} MB",
        valid=events == 2 * OPERATIONS,
        note=f"{OPERATIONS} operations, each with its event, a row event, a snapshot and an outbox entry; with indexes",
        figures={"bytes": grown, "events": events},
    )
    fill(database, EVENTS)
    began, cpu = time.perf_counter(), time.process_time()
    assert sign_ledger(signer) is not None
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    report.add(
        "size",
        "ledger signer: events a second",
        f"{EVENTS / took:,.0f}/s",
        limit=f"its own CPU alone {EVENTS / cpu:,.0f}/s",
        note="linked by PostgreSQL and signed under one checkpoint",
        figures={"seconds": took, "cpu": cpu},
    )
