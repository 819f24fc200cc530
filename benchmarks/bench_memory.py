"""Memory of each process of a set-up, after it has done some of its work."""

from __future__ import annotations

import json
import os
import re
import urllib.request
from pathlib import Path
from typing import Any

from benchmarks import deployments
from benchmarks.bench_wake import until
from benchmarks.report import Report
from config.development.ports import free_port
from config.development.rows import rows
from releases.models import Deployment
from tests.releases.conftest import World

MB = 1024


def family(pid: int) -> list[int]:
    """Return a process and all below it."""
    below = [int(child) for task in Path(f"/proc/{pid}/task").glob("*/children") for child in task.read_text().split()]
    return [pid, *(member for child in below for member in family(child))]


def megabytes(pid: int) -> tuple[float, float]:
    """Return (proportional, resident) memory of a process with its children; shared pages count in parts in the
    first.
    """
    pss = rss = 0
    for member in family(pid):
        text = Path(f"/proc/{member}/smaps_rollup").read_text()
        for name in ("Pss", "Rss"):
            found = re.search(rf"^{name}:\s+(\d+) kB", text, re.M)
            assert found is not None
            if name == "Pss":
                pss += int(found[1])
            else:
                rss += int(found[1])
    return pss / MB, rss / MB


def answers(address: str, cookie: str = "") -> bool:
    """Tell whether the page comes."""
    try:
        request = urllib.request.Request(address, headers={"Cookie": cookie})
        with urllib.request.urlopen(request, timeout=20) as response:
            return bool(response.status == 200)
    except OSError:  # refused, too late, or an error page
        return False


def bench_memory(world: World, report: Report, children: Any, browsers: Any, quiet: None) -> None:
    """Start what `make up` starts, look at pages, make a deployment, and read /proc."""
    port, live_port = free_port(), free_port()
    table = rows(0, 0, ["development", "production", "measurements", "checks", "notifications"])
    roles = {"ledger_signer": "ledger_signer"} | {row.name: "worker" for row in table if row.name.startswith("worker")}
    # No sockets are given: each server binds its own.
    own = {"web": ("fd://0", f"127.0.0.1:{port}"), "live": ("--fd", "--port")}
    started = {}
    for row in table:
        argv = [word.replace(*own.get(row.name, ("", ""))) for word in row.argv[1:]]
        if row.name == "live":
            argv[argv.index("--port") + 1] = str(live_port)
        started[row.name] = children(*argv, role=roles.get(row.name, ""))
    here = f"http://127.0.0.1:{port}"
    until(lambda: answers(f"{here}/health/"), "the web server")
    client = browsers("manager")
    cookie = "; ".join(f"{key}={morsel.value}" for key, morsel in client.cookies.items())
    made = deployments.replan(world, deployments.release(world), deployments.plan(3))
    pages = ("/admin/", f"/admin/release/{made.pk}/", "/admin/timeline/", "/admin/calendar/")
    seen = [answers(here + page, cookie) for page in pages for _ in range(3)]
    deployment = deployments.scheduled(world, made)
    until(lambda: Deployment.objects.get(pk=deployment.pk).state == "succeeded", "the end of the deployment")
    alive = all(child.poll() is None for child in started.values())
    found = {name: megabytes(child.pid) for name, child in started.items()} if alive else {}
    note = "proportional share (PSS) of the process and its children; idle again after a deployment and some pages"
    valid = all(seen) and alive
    for name, (pss, rss) in found.items():
        worker = name.startswith("worker")
        report.add(
            "memory",
            name,
            f"{pss:.0f} MB",
            limit=f"RSS {rss:.0f} MB",
            target="≤ 120 MB" if worker else "",
            met=max(pss, rss) <= 120 if worker else None,
            note=note,
            valid=valid,
            figures={"pss": pss, "rss": rss},
        )
        note = ""
    everything = sum(pss for pss, _ in found.values())
    for name in ("postgres", "valkey"):
        record = Path(os.environ["RINGI_STATE_DIR"]) / "run" / f"{name}.json"
        if record.exists():  # else the servers are not ours
            pss, rss = megabytes(json.loads(record.read_text())["pid"])
            everything += pss
            report.add("memory", name, f"{pss:.0f} MB", limit=f"RSS {rss:.0f} MB", figures={"pss": pss, "rss": rss})
    report.add(
        "memory",
        "everything",
        f"{everything:.0f} MB",
        target="≤ 600 MB",
        met=everything <= 600,
        valid=valid,
        note="without the sample application, of which `make demo` runs three",
        figures={"pss": everything},
    )
