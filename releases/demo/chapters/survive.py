"""Chapter 6: 1.4.0's worker is killed in the database step; a new one reclaims the step, and nothing is done twice."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from datetime import timedelta
from typing import Any

from releases.demo.site import StoryFailed, until
from releases.demo.stage import Stage, now
from releases.demo.targets import Place

TAKEOVER_SECONDS = 20.0


def play(stage: Stage) -> dict[str, Any]:
    """Prepare 1.4.0 like any release, kill the worker after the step's first effect, count the effects."""
    place = stage.places["production"]
    prepare(stage)
    stage.kept["before 1.4.0"] = place.measure()
    deployment = stage.go("1.4.0")
    token = f"deployment:{deployment}"
    until("the first committed batch of the migration", lambda: place.health() is not None and batches(place), 90, 0.02)
    started = place.journal(deployment=token, effect="database_update:started")
    migrated = place.journal(deployment=token, effect="database_update:migrated")
    if not started or migrated:
        raise StoryFailed("the kill would not fall into the half-done database step")
    at_kill = len(batches(place))
    worker = json.loads((stage.state / "run" / "worker-production.json").read_text())["pid"]
    os.kill(worker, signal.SIGKILL)
    killed = time.monotonic()
    key = started[0]["key"]
    until("another worker to take the step over", lambda: token_of(place, key) > started[0]["fencing_token"], 60, 0.05)
    seconds = time.monotonic() - killed
    stage.check(seconds <= TAKEOVER_SECONDS, f"the step was taken over only after {seconds:.1f} s")
    stage.checks_done(deployment)
    counted = Counter(line["effect"] for line in place.journal(deployment=token))
    double = {effect: n for effect, n in counted.items() if n != 1 and effect != "database_update:started"}
    numbers = Counter(batches(place))
    once = not double and all(n == 1 for n in numbers.values())
    stage.check(once, f"done more than once: {double} {dict(numbers)}")
    return {
        "killed worker": worker,
        "batches committed at the kill": at_kill,
        "batches in the end, each once": len(numbers),
        "taken over within": f"{seconds:.1f} s",
        "fencing tokens of the database step": [
            line["fencing_token"] for line in place.journal(deployment=token, effect="database_update:started")
        ],
        "effects in the target's journal": dict(counted),
        "version that answers": place.health().get("version"),
    }


def prepare(stage: Stage) -> None:
    """Bring 1.4.0 from plan to approval, with a pre-authorised rollback up to a limit of rows."""
    release = stage.write(
        "1.4.0",
        kind="regular",
        branch="release/1.4",
        changes=[("feature", "Titles are normalised"), ("fix", "Answers are kept longer")],
        EXPORT_LIMIT="500",
        CACHE_SECONDS="30",
    )
    stage.edit("1.4.0", rollback_pre_authorised="on", data_loss_limit=5000)
    stage.manager.do("release:set_scheduled_start", release, start=(now() + timedelta(seconds=0)).isoformat())
    stage.manager.do("release:lock_scope", release)
    stage.prove("1.4.0")
    for name in ("development", "staging"):
        stage.deploy_lower("1.4.0", name)
    stage.sign_checklist("1.4.0")
    stage.documents("1.4.0")
    stage.assign_team("1.4.0")
    stage.manager.do("release:refresh_from_git", release)
    stage.manager.do("release:complete_testing", release)
    stage.get_approval("1.4.0")


def batches(place: Place) -> list[int]:
    """Return the numbers of the migration's committed batches; empty before its table is there."""
    there = place.query("SELECT to_regclass('migration_batches')")[0][0]
    return [row[0] for row in place.query("SELECT batch FROM migration_batches ORDER BY batch")] if there else []


def token_of(place: Place, key: str) -> int:
    """Return the highest fencing token that the target's own lock has seen for a step."""
    record = json.loads((place.root / ".ringi" / "lock.json").read_text())
    return int(record["seen"].get(key, 0))
