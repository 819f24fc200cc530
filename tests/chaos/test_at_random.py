"""A queue emptied at random moments, two deployments that race for one place, a worker whose clock is wrong.

CHAOS_FLUSHES is how often the queue is emptied (200 in a long trial), CHAOS_SEED repeats the moments.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import translation
from django.utils.translation import gettext

from audit.actor import Actor, acting
from audit.operation import operation
from releases import dispatch
from tests.chaos.running import LEASE, PATIENCE, Point, Running, command, queues_url, step, until
from tests.releases.conftest import World

Begin = Callable[[list[dict[str, Any]]], Running]
FLUSHES = int(os.environ.get("CHAOS_FLUSHES", "25"))
STEPS = max(12, FLUSHES // 4)
NAMES = ("one", "two", "three")
FAKETIME = shutil.which("faketime")


@pytest.mark.timeout(60 + 2 * (FLUSHES + STEPS) * LEASE, func_only=True)
def test_a_queue_emptied_at_random_moments_loses_nothing(scheduled_deployment: Begin) -> None:
    seed = int(os.environ.get("CHAOS_SEED", str(time.time_ns() % 10_000_000)))
    chance = random.Random(seed)
    names = [f"step{number:02}" for number in range(STEPS)]
    # After each pause the deployment needs another wake-up; the commands alone would go on without the queue.
    running = scheduled_deployment([row for name in names for row in (command(name), step("wait", seconds=0.1))])
    running.scheduler()
    workers = [running.worker() for _ in range(2)]
    taken = 0
    for _ in range(FLUSHES):
        # An idle worker takes a wake-up within milliseconds; one that is not let run leaves it for the flush.
        for worker in workers:
            os.kill(worker.pid, signal.SIGSTOP)
        time.sleep(chance.uniform(0, 0.3))
        taken += running.redis.llen("rq:queue:production")
        running.redis.flushall()
        for worker in workers:
            os.kill(worker.pid, signal.SIGCONT)
        time.sleep(chance.uniform(0, 0.1))
    print(f"CHAOS_SEED={seed} CHAOS_FLUSHES={FLUSHES}: at least {taken} wake-ups were taken away")
    assert taken, f"seed {seed}: nothing was lost, so nothing was tried"
    running.comes_to("verifying", seconds=PATIENCE + STEPS * LEASE)
    assert running.tally() == [f"{name} {half}" for name in names for half in ("began", "ended")], f"seed {seed}"
    outcomes = [[attempt.outcome for attempt in running.attempts(1 + ordinal)] for ordinal in range(2 * STEPS)]
    assert outcomes[::2] == [["succeeded"]] * STEPS, f"seed {seed}"
    # A pause that is over before a slow worker looks is none.
    assert all(made in (["waiting", "succeeded"], ["succeeded"]) for made in outcomes[1::2]), f"seed {seed}: {outcomes}"
    effects = Counter((line["key"], line["effect"]) for line in running.journal())
    assert set(effects.values()) == {1} and len(effects) == 3 * STEPS, f"seed {seed}"
    assert [worker.poll() for worker in workers] == [None, None], f"seed {seed}"


@pytest.mark.timeout(180 * LEASE, func_only=True)
def test_two_deployments_that_race_for_one_place_go_one_after_the_other(
    world: World, database: str, tmp_path: Path, settings: Any
) -> None:
    from audit.clock import now
    from releases.models import Deployment, Release
    from releases.operations.deployment.request import request
    from releases.operations.deployment.schedule import schedule

    settings.RQ_QUEUES = {name: {**row, "URL": queues_url()} for name, row in settings.RQ_QUEUES.items()}
    deployments = []
    for version in ("1.3.0", "1.4.0"):
        release = world.planned(version)
        forward = [command(f"{version} one"), command(f"{version} two")]
        plan = {
            "deployment": forward,
            "verification": [command(f"{version} three")],
            "rollback": [],
            "rollback_verification": [],
        }
        with world.acting_as("manager"), operation("release:edit", (Release, release.pk)) as op:
            op.get(Release).step_plan = plan
        world.evidence(version)
        # A booked hour can't be booked again: the second comes right after the first, and both are due when they begin.
        hour = (
            now() + timedelta(seconds=sum(step["estimate_seconds"] for steps in plan.values() for step in steps))
            if deployments
            else None
        )
        with world.acting_as("developer"):
            deployments.append(request(release.pk, environment_id=world.environments["development"].pk))
            schedule(deployments[-1].pk, at=hour)
    until("both to be due", lambda: hour is not None and now() > hour)
    both = [
        Running(database, deployment, Path(world.targets["development"].root), tmp_path) for deployment in deployments
    ]
    one = both[0]
    one.redis.flushdb()
    try:
        for _ in range(2):
            one.scheduler()  # either may be the active one
            one.process("worker", "development")
        waiting = until(
            "one of them to wait", lambda: next((deployment for deployment in both if _blocked(deployment)), None)
        )
        goes = next(deployment for deployment in both if deployment is not waiting)
        occupied = "Another deployment is in progress in this environment."
        with translation.override("ja"):
            assert _blocked(waiting) in ([occupied], [gettext(occupied)])
        goes.comes_to("succeeded")
        with acting(Actor(account_id=None, name="tests", kind="worker", channel="worker")):
            with operation("deployment:delay", (Deployment, waiting.deployment_id)) as op:  # the minute passes
                op.get(Deployment).not_before = None
        waiting.comes_to("succeeded")
    finally:
        one.end()
    names = [
        f"{deployment.release.version} {name}"
        for deployment in deployments[:: 1 if goes is one else -1]
        for name in NAMES
    ]
    assert one.tally() == [f"{name} {half}" for name in names for half in ("began", "ended")], (
        "no step of one stands between those of the other"
    )
    assert [len(deployment.journal("command:done")) for deployment in both] == [3, 3]


@pytest.mark.timeout(180 * LEASE, func_only=True)
@pytest.mark.skipif(FAKETIME is None, reason="the program faketime is not installed")
@pytest.mark.parametrize("minutes", [-10, 10])
def test_a_worker_whose_clock_is_wrong_changes_nothing(scheduled_deployment: Begin, point: Point, minutes: int) -> None:
    """It does what is left to it, never what another holds, and no row is dated by it."""
    from releases.models import StepAttempt

    pause = step("wait", seconds=0.1)  # the step after it needs another wake-up, and any worker takes that
    running = scheduled_deployment([command("first", point=point.folder), pause, command("second"), command("third")])
    running.scheduler()
    holds = running.worker()
    point.announced()
    # Only the wall clock is wrong; durations are measured as on other machines.
    wrong = [str(FAKETIME), "--exclude-monotonic", "-f", f"{minutes:+}m"]
    running.process("worker", "production", wrapper=wrong)
    until("the wrong clock's worker to be there", lambda: running.redis.scard("rq:workers") == 2)
    first = running.step(1)

    def beaten_twice() -> bool:
        lease = running.step(1).lease_until
        return lease is not None and (lease - first.lease_until).total_seconds() > 2 * LEASE

    for _ in range(3):
        dispatch.wake("production", "run_step", step_id=first.pk)
    until("two leases to pass", beaten_twice)
    until("the wrong clock's worker to have dropped them", lambda: not running.redis.llen("rq:queue:production"))
    assert (running.step(1).fencing_token, running.step(1).owner) == (1, first.owner)
    os.kill(holds.pid, signal.SIGTERM)  # it ends when it has nothing to do, and leaves the rest to the other
    point.let_go()
    running.comes_to("verifying")
    assert running.tally() == [f"{n} {half}" for n in ("first", "second", "third") for half in ("began", "ended")]
    assert [attempt.outcome for n in (1, 3, 4) for attempt in running.attempts(n)] == ["succeeded"] * 3
    assert running.step(3).owner == running.step(4).owner != first.owner
    run_began = running.step(1).deployment.started_at
    for attempt in StepAttempt.objects.filter(step__deployment_id=running.deployment_id):
        for moment in (attempt.started_at, attempt.ended_at):
            assert abs((moment - run_began).total_seconds()) < 60 * abs(minutes) / 2


def _blocked(running: Running) -> list[str]:
    from releases.models import Deployment

    deployment = Deployment.objects.get(pk=running.deployment_id)
    return list(deployment.blockers) if deployment.state == "scheduled" else []
