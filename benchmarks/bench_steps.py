"""The cost of a step beyond its own work: claim, lease, fence, history and ledger, in one process."""

from __future__ import annotations

import itertools
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import psycopg
import pytest
from django.db import connection

from audit.actor import Actor, acting
from audit.models import Event
from benchmarks import deployments
from benchmarks.report import Report, Spread, repeated
from environments.targets.base import Parameters, Probe, StepContext, StepType
from environments.targets.runner import base_environment
from releases import step_types
from releases.models import Step, StepAttempt
from releases.step_types.command import Command, CommandParameters
from tests.releases.conftest import World

STEPS = int(os.environ.get("RINGI_BENCH_STEPS", "200"))


class Nothing(StepType):
    """A step type that does nothing, so that the executor's own cost remains."""

    name: ClassVar[str] = "bench_nothing"
    parameters: ClassVar[type[Parameters]] = Parameters
    repeatable: ClassVar[bool] = True
    estimate_seconds: ClassVar[float] = 1

    def run(self, context: StepContext, parameters: Any) -> dict[str, Any]:
        """Do nothing."""
        return {}

    def probe(self, context: StepContext, parameters: Any) -> tuple[Probe, dict[str, Any]]:
        """Return that it was done."""
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


@dataclass(frozen=True)
class Ran:
    """An executed deployment: the time from claim to claim, CPU milliseconds a step, and if all was really done."""

    cycle: Spread
    cpu: float
    cpu_database: float
    valid: bool


def ticks(pid: int) -> float:
    """Return the CPU seconds that a process has used."""
    parts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")


def run_all(world: World, planned: dict[str, list[Any]], made: Any) -> Ran:
    """Queue a development deployment and execute it in this process, as a worker's child would."""
    from releases.operations.deployment.enqueue import enqueue
    from releases.worker.executor import run_from

    deployment = deployments.scheduled(world, deployments.replan(world, made, planned))
    with acting(Actor(account_id=None, name="bench", kind="worker", channel="worker")):
        enqueue(deployment.pk)
        first = deployment.steps.get(ordinal=1).pk
        connection.ensure_connection()
        backend = connection.connection.info.backend_pid
        own, theirs = time.process_time(), ticks(backend)
        run_from(first)
        own, theirs = time.process_time() - own, ticks(backend) - theirs
    rows = list(Step.objects.filter(deployment=deployment).order_by("ordinal"))
    attempts = StepAttempt.objects.filter(step__in=rows).order_by("step__ordinal")
    began = list(attempts.values_list("started_at", flat=True))
    labels = [f"releases.Step:{row.pk}" for row in rows]
    operations = Event.objects.filter(object__in=labels, kind="operation")
    counts = [operations.filter(operation=f"step:{verb}").count() for verb in ("claim", "succeed")]
    count = len(planned["deployment"]) + 1
    valid = counts == [count, count] and len(began) == count and world.fresh(deployment).state == "succeeded"
    valid = valid and all(row.state == "succeeded" for row in rows)
    cycles = [(later - earlier).total_seconds() for earlier, later in itertools.pairwise(began)]
    return Ran(Spread.of(cycles[1:-1]), 1000 * own / count, 1000 * theirs / count, valid)


def context(root: Path, ordinal: int) -> StepContext:
    """Return a context like the executor's, for the step type alone."""
    from environments.targets.base import TargetSpec

    return StepContext(
        key=f"0/{ordinal}/0123456789abcdef",
        fencing_token=1,
        deployment_key="deployment:0",
        target=TargetSpec("datasets", "development", root),
        repository="",
        wanted=None,
        previous=None,
        configuration={},
        previous_configuration={},
        earlier={},
        deadline_seconds=60,
        output=lambda chunk: None,
        heartbeat=lambda: None,
    )


def bench_own_cost_per_step(
    world: World, report: Report, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, quiet: None
) -> None:
    """Run STEPS steps that do nothing through the executor, beside two commits and beside spawning /bin/true."""
    monkeypatch.setattr(step_types, "STEP_TYPES", (*step_types.STEP_TYPES, Nothing()))
    made = deployments.release(world)
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

    run_all(world, deployments.plan(5, "bench_nothing", {}), made)  # warms plans and caches up
    bare = run_all(world, deployments.plan(STEPS, "bench_nothing", {}), made)
    counted = Statements()
    with connection.execute_wrapper(counted):
        run_all(world, deployments.plan(STEPS, "bench_nothing", {}), made)
    per_step = {text: round(n / (STEPS + 1), 2) for text, n in counted.seen.items() if n > STEPS / 2}
    statements = sum(per_step.values())
    report.add(
        "steps",
        "own cost per step, a step type that does nothing (p50 / p99)",
        bare.cycle,
        limit=f"two commits {commits}",
        ratio=bare.cycle.p50 / commits.p50,
        target="≤ 4 ×; ≤ 1.2 ms of PostgreSQL",
        met=bare.cycle.p50 <= 4 * commits.p50 and bare.cpu_database <= 1.2,
        valid=bare.valid,
        note=f"n={STEPS}; CPU a step {bare.cpu:.1f} ms ours, {bare.cpu_database:.1f} ms PostgreSQL; {statements:.0f}"
        f" statements a step (an empty one {trip.p50:.2f} ms)",
        figures={
            "cycle": bare.__dict__ | {"cycle": bare.cycle.__dict__},
            "commits": commits.__dict__,
            "statements_per_step": dict(sorted(per_step.items(), key=lambda item: -item[1])),
        },
    )

    whole = run_all(world, deployments.plan(STEPS), made)
    kind, taken = Command(), []
    (alone := tmp_path / "alone").mkdir()
    for ordinal in range(STEPS):
        began = time.perf_counter()
        kind.run(context(alone, ordinal), CommandParameters(argv=("/bin/true",)))
        taken.append(time.perf_counter() - began)
    work = Spread.of(taken)
    own = whole.cycle.p50 - work.p50
    report.add(
        "steps",
        "`command` /bin/true through the executor, less the kind alone (p50)",
        f"{own:.2f} ms",
        limit=f"two commits {commits}",
        ratio=own / commits.p50,
        target="≤ 5 ms",
        met=own <= 5,
        note=f"n={STEPS}; whole step {whole.cycle}",
        valid=whole.valid,
        figures={"whole": whole.cycle.__dict__, "kind": work.__dict__},
    )
    report.add(
        "steps",
        "the kind `command` alone: target lock, fence, journal, spawn",
        work,
        limit=f"/bin/true {spawn}",
        ratio=work.p50 / spawn.p50,
        note="four writes forced to the disk",
        figures=work.__dict__,
    )
