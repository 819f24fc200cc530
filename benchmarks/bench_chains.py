"""The cost of an empty step in other workflow engines and job queues, beside ours of the same moment."""

from __future__ import annotations

import importlib.util
import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import deployments
from benchmarks.bench_peers import PROJECT, empty_database  # noqa: F401
from benchmarks.bench_steps import STEPS, Nothing, run_all
from benchmarks.chains.__main__ import PEERS
from benchmarks.report import Report, Spread
from releases import step_types
from tests.releases.conftest import World


@pytest.mark.parametrize("peer", PEERS)
def bench_chain(
    peer: str,
    world: World,
    empty_database: str,  # noqa: F811
    report: Report,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    quiet: None,
) -> None:
    """From the start of a step to the start of the next, one worker, on the same servers; ours first, then the peer."""
    name = f"a step that does nothing, beside {peer}"
    if importlib.util.find_spec(PEERS[peer][0]) is None:
        report.add("chains", name, "absent", note="not installed; `make bench PEERS=1` measures it")
        return
    monkeypatch.setattr(step_types, "STEP_TYPES", (*step_types.STEP_TYPES, Nothing()))
    made = deployments.release(world)
    run_all(world, deployments.plan(5, "bench_nothing", {}), made)  # warms plans and caches up
    ours = run_all(world, deployments.plan(STEPS, "bench_nothing", {}), made)
    file = tmp_path / "starts"
    subprocess.run(
        [sys.executable, "-m", "benchmarks.chains", peer, str(STEPS), str(file)],
        cwd=PROJECT,
        env={**os.environ, "DATABASE": empty_database},
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=300,
    )
    starts = [float(line) for line in file.read_text().splitlines()]
    theirs = Spread.of([later - earlier for earlier, later in itertools.pairwise(starts)])
    report.add(
        "chains",
        name,
        ours.cycle,
        limit=f"theirs {theirs}",
        ratio=ours.cycle.p50 / theirs.p50,
        target="≤ 0.9 ×, p99 ≤ theirs, ≥ 1.1 × workflows" if peer == "DBOS" else "",
        met=(
            ours.cycle.p50 <= 0.9 * theirs.p50 and ours.cycle.p99 <= theirs.p99 and 1.1 * ours.cycle.mean <= theirs.mean
            if peer == "DBOS"
            else None
        ),
        valid=ours.valid and len(starts) == STEPS,
        note=f"n={STEPS}; one worker, the same servers; workflows of ten steps a second: ours"
        f" {100 / ours.cycle.mean:.1f}, theirs {100 / theirs.mean:.1f}",
        figures={"theirs": theirs.__dict__, "ours": ours.cycle.__dict__},
    )
