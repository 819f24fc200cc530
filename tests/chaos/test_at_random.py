"""A queue emptied at random moments, two runs that race for one place, a worker whose clock is wrong.

CHAOS_FLUSHES is how often the queue is emptied (200 in a long trial), CHAOS_SEED repeats a run of it.
"""

from __future__ import annotations

import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from audit.actor import Actor, acting
from audit.change import change
from tests.chaos.running import SWEEP, Running, command, queues_url, until
from tests.releases.conftest import World

Begin = Callable[[list[dict[str, Any]]], Running]
FLUSHES = int(os.environ.get("CHAOS_FLUSHES", "25"))
STEPS = 12
FAKETIME = shutil.which("faketime")


@pytest.mark.timeout(240)
def test_a_queue_emptied_at_random_moments_loses_nothing(scheduled_run: Begin) -> None:
    seed = int(os.environ.get("CHAOS_SEED", str(time.time_ns() % 10_000_000)))
    chance = random.Random(seed)
    print(f"CHAOS_SEED={seed}")
    names = [f"step{number:02}" for number in range(STEPS)]
    running = scheduled_run([command(name) for name in names])
    running.scheduler()
    for _ in range(2):
        running.worker()
    for _ in range(FLUSHES):
        running.redis.flushall()
        time.sleep(chance.uniform(0, 0.2))
    last = time.monotonic()
    running.comes_to("verifying")
    finished = time.monotonic() - last
    counted = Counter(running.tally())
    assert counted == Counter(f"{name} {half}" for name in names for half in ("began", "ended")), f"seed {seed}"
    assert [len(running.attempts(ordinal)) for ordinal in range(1, STEPS + 1)] == [1] * STEPS, f"seed {seed}"
    effects = Counter((line["key"], line["effect"]) for line in running.journal())
    assert set(effects.values()) == {1}, f"seed {seed}"
    assert finished < 20, f"seed {seed}: {finished:.1f} s after the last time; a sweep takes {SWEEP} s"


@pytest.mark.timeout(180)
def test_two_runs_that_race_for_one_place_go_one_after_the_other(
    world: World, database: str, tmp_path: Path, settings: Any
) -> None:
    from releases.actions.deployment.request import request
    from releases.actions.deployment.schedule import schedule
    from releases.models import Deployment, Release

    settings.RQ_QUEUES = {name: {**row, "URL": queues_url()} for name, row in settings.RQ_QUEUES.items()}
    release = world.planned()
    plan = {"forward": [command("one"), command("two")], "verify": [command("three")], "back": [], "back_verify": []}
    with world.acting_as("manager"), change("release:edit", (Release, release.pk)) as act:
        act.get(Release).plan = plan
    world.evidence("1.3.0")
    with world.acting_as("developer"):
        runs = [request(release.pk, environment_id=world.environments["development"].pk) for _ in range(2)]
        for run in runs:
            schedule(run.pk)
    both = [Running(database, run, Path(world.targets["development"].root), tmp_path) for run in runs]
    one = both[0]
    one.redis.flushdb()
    try:
        for _ in range(2):
            one.scheduler()  # either may be the one that acts
            one.process("worker", "development")
        waits = until("one of them to wait", lambda: next((r for r in both if _blocked(r)), None))
        assert _blocked(waits) == ["Another run occupies this environment."] or "環境" in _blocked(waits)[0]
        goes = next(r for r in both if r is not waits)
        goes.comes_to("succeeded")
        with acting(Actor(account_id=None, name="tests", kind="worker", channel="worker")):
            with change("deployment:put_off", (Deployment, waits.deployment_id)) as act:  # the minute passes
                act.get(Deployment).not_before = None
        waits.comes_to("succeeded")
    finally:
        one.end()
    whole = [f"{name} {half}" for name in ("one", "two", "three") for half in ("began", "ended")]
    assert one.tally() == whole * 2, "no step of one stands between those of the other"
    assert [len(r.journal("command:done")) for r in both] == [3, 3]


@pytest.mark.timeout(180)
@pytest.mark.skipif(FAKETIME is None, reason="the program faketime is not installed")
@pytest.mark.parametrize("minutes", [-10, 10])
def test_a_worker_whose_clock_is_wrong_changes_nothing(scheduled_run: Begin, minutes: int) -> None:
    from releases.models import StepAttempt

    running = scheduled_run([command("first"), command("second"), command("third")])
    running.scheduler()
    running.process("worker", "production", wrapper=[str(FAKETIME), "-f", f"{minutes:+}m"])
    running.comes_to("verifying")
    assert running.tally() == [f"{n} {half}" for n in ("first", "second", "third") for half in ("began", "ended")]
    run_began = running.step(1).deployment.started_at
    for attempt in StepAttempt.objects.filter(step__deployment_id=running.deployment_id):
        assert attempt.ended_at is not None and abs((attempt.ended_at - run_began).total_seconds()) < 120


def _blocked(running: Running) -> list[str]:
    from releases.models import Deployment

    run = Deployment.objects.get(pk=running.deployment_id)
    return list(run.blockers) if run.state == "scheduled" else []
