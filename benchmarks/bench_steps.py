"""What a step costs beyond its own work: claim, lease, fence, history and ledger, in one process."""

from __future__ import annotations

import itertools
import os
import subprocess
import time
from pathlib import Path
from typing import Any, ClassVar

import psycopg
import pytest
from django.db import connection

from audit.actor import Actor, acting
from audit.models import Event
from benchmarks import runs
from benchmarks.report import Report, Spread, repeated
from releases import steps
from releases.models import Deployment, Step, StepAttempt
from releases.steps.base import Parameters, Probe, StepContext, StepKind
from releases.steps.command import Command, CommandParameters
from releases.steps.runner import base_environment
from tests.releases.conftest import World

STEPS = int(os.environ.get("RINGI_BENCH_STEPS", "200"))


class Nothing(StepKind):
    """A kind that does nothing at all, so that what remains is the executor's own cost."""

    name: ClassVar[str] = "bench_nothing"
    parameters: ClassVar[type[Parameters]] = Parameters
    repeatable: ClassVar[bool] = True
    estimate_seconds: ClassVar[float] = 1

    def run(self, context: StepContext, parameters: Any) -> dict[str, Any]:
        """Do nothing."""
        return {}

    def probe(self, context: StepContext, parameters: Any) -> tuple[Probe, dict[str, Any]]:
        """Say that it was done."""
        return Probe.DONE, {}

    def describe(self, context: StepContext, parameters: Any) -> list[str]:
        """Return no line."""
        return []


class Statements:
    """Counts the statements of this connection by their first words."""

    def __init__(self) -> None:
        self.seen: dict[str, int] = {}

    def __call__(self, execute: Any, text: str, params: Any, many: bool, context: Any) -> Any:
        words = str(text).replace('"', "").split()
        named = next((word for word in words[1:] if word.startswith(("releases_", "audit_", "environments_"))), "")
        key = f"{words[0]} {named or ' '.join(words[1:2])[:40]}"
        self.seen[key] = self.seen.get(key, 0) + 1
        return execute(text, params, many, context)


def run_all(world: World, planned: dict[str, list[Any]], made: Any) -> tuple[Spread, Deployment, bool]:
    """Queue a run and execute it in this process; return the time from claim to claim, the run, and if all was done."""
    from releases.actions.deployment.queue import queue
    from releases.worker.executor import run_from

    made = runs.replan(world, made, planned)
    run = runs.scheduled(world, made)
    with acting(Actor(account_id=None, name="bench", kind="worker", channel="worker")):
        queue(run.pk)
        before = Event.objects.count()
        run_from(run.steps.get(ordinal=1).pk)
    began = StepAttempt.objects.filter(step__deployment=run).order_by("step__ordinal").values_list("began_at", flat=True)
    cycles = [(later - earlier).total_seconds() for earlier, later in itertools.pairwise(began)]
    count = len(planned["forward"]) + 1
    done = Step.objects.filter(deployment=run, state="done").count()
    claims = Event.objects.filter(action="step:claim", kind="action").count()
    ended = Event.objects.filter(action="step:finish", kind="action").count()
    assert claims >= count and ended >= count
    per_step = (Event.objects.count() - before) / count
    run = world.fresh(run)
    # Per step two doors, each with its action event, and the rows they changed: a step without events is no step.
    valid = done == count and len(cycles) == count - 1 and run.state == "succeeded" and per_step >= 8
    return Spread.of(cycles[1:-1]), run, valid


def context(root: Path, ordinal: int) -> StepContext:
    """Return a context like the executor's, for the kind alone."""
    from releases.steps.base import TargetSpec

    return StepContext(
        key=f"0/{ordinal}/0123456789abcdef", epoch=1, run_token="deployment:0",
        target=TargetSpec("datasets", "development", root), repository="", wanted=None, previous=None,
        configuration={}, previous_configuration={}, earlier={}, deadline_seconds=60,
        output=lambda chunk: None, beat=lambda: None,
    )  # fmt: skip


def bench_own_cost_per_step(
    world: World, report: Report, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, quiet: None
) -> None:
    """Run STEPS steps that do nothing through the executor, beside two commits and beside spawning /bin/true."""
    monkeypatch.setattr(steps, "KINDS", (*steps.KINDS, Nothing()))
    made = runs.release(world)
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"]) as owner:
        owner.execute("CREATE TABLE IF NOT EXISTS bench_commit (id int PRIMARY KEY, n int)")
        owner.execute("INSERT INTO bench_commit VALUES (1, 0) ON CONFLICT DO NOTHING")
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as plain:

        def two_commits() -> None:
            for _ in range(2):
                plain.execute("UPDATE bench_commit SET n = n + 1 WHERE id = 1")

        commits = repeated(STEPS, two_commits)
        trip = repeated(STEPS, lambda: plain.execute("SELECT 1"))
    spawn = repeated(STEPS, lambda: subprocess.run(["/bin/true"], env=base_environment(), check=True))

    run_all(world, runs.plan(5, "bench_nothing", {}), made)  # warms plans and caches up
    bare, run, valid = run_all(world, runs.plan(STEPS, "bench_nothing", {}), made)
    counted = Statements()
    with connection.execute_wrapper(counted):
        run_all(world, runs.plan(20, "bench_nothing", {}), made)
    per_step = sum(counted.seen.values()) / 21
    most = sorted(counted.seen.items(), key=lambda item: -item[1])[:14]
    report.add(
        "steps", "own cost per step, a kind that does nothing (p50 / p99)", bare,
        limit=f"two commits {commits}", ratio=bare.p50 / commits.p50, target="p50 ≤ 5 ms", met=bare.p50 <= 5,
        note=f"n={STEPS}; {per_step:.0f} statements a step, an empty one takes {trip.p50:.2f} ms", valid=valid,
        figures={"per_step": bare.__dict__, "commits": commits.__dict__, "statements": dict(most)},
    )  # fmt: skip
    print("\n".join(f"{n / 21:6.2f} {text}" for text, n in most))

    whole, run, valid = run_all(world, runs.plan(STEPS), made)
    kind, taken = Command(), []
    (alone := tmp_path / "alone").mkdir()
    for ordinal in range(STEPS):
        began = time.perf_counter()
        kind.run(context(alone, ordinal), CommandParameters(argv=("/bin/true",)))
        taken.append(time.perf_counter() - began)
    work = Spread.of(taken)
    report.add(
        "steps", "`command` /bin/true through the executor, without the kind's own time (p50)",
        f"{whole.p50 - work.p50:.2f} ms", limit=f"two commits {commits}", ratio=(whole.p50 - work.p50) / commits.p50,
        target="≤ 5 ms", met=whole.p50 - work.p50 <= 5, note=f"n={STEPS}; whole step {whole}", valid=valid,
        figures={"whole": whole.__dict__, "kind": work.__dict__},
    )  # fmt: skip
    report.add(
        "steps", "the kind `command` alone: target lock, fence, journal, spawn", work, limit=f"/bin/true {spawn}",
        ratio=work.p50 / spawn.p50, note="four writes forced to the disk", figures=work.__dict__,
    )  # fmt: skip
