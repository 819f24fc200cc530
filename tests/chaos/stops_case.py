"""One case for a server of its own (see test_stops.py): PostgreSQL is stopped at random moments under many deployments.

CHAOS_DEPLOYMENTS is how many there are (200 in a long trial), CHAOS_SEED repeats the moments.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from audit.actor import Actor, acting
from audit.operation import operation
from audit.refusals import GateNotPassed
from config.development.processes import identity, spawn
from tests.chaos.running import LEASE, Running, command, step, until
from tests.conftest import seconded
from tests.releases.conftest import World

Begin = Callable[[list[dict[str, Any]]], Running]
DEPLOYMENTS = int(os.environ.get("CHAOS_DEPLOYMENTS", "20"))
APPLICATIONS, PLACES = max(1, min(3, DEPLOYMENTS // 4)), ("development", "staging")
SECONDS = 60 + 8 * DEPLOYMENTS * LEASE
UP, DOWN = (1.5 * LEASE, 4.0 * LEASE), (0.0, 1.0)
LEAST_STOPS = 3
LEFT = {"failed", "resolved", "awaiting_decision"}  # by a step whose outcome is unknown

FORWARD = [step("configuration_update"), command("again", repeatable=True), step("code_deploy"), command("once")]
VERIFY = [command("look", repeatable=True)]
ONCE = {
    "configuration_update": {"configuration_update:written": 1},
    "code_deploy": {"code_deploy:laid": 1, "code_deploy:switched": 1},
    "command": {"command:started": 1, "command:done": 1},
}


class Server:
    """The PostgreSQL of this test: stopped as a machine that fails stops it, and started again as it was."""

    def __init__(self, log: Path) -> None:
        self.log, self.stops = log, 0
        self.started: list[Any] = []
        with psycopg.connect(os.environ["DATABASE_SERVER_URL"]) as server:
            ((folder,),) = server.execute("SHOW data_directory").fetchall()
        self.folder = Path(folder)
        self.argv = Path(f"/proc/{self._pid()}/cmdline").read_bytes().decode().rstrip("\0").split("\0")

    def _pid(self) -> int:
        return int((self.folder / "postmaster.pid").read_text().split()[0])

    def stop(self) -> None:
        """Stop it with `immediate`: every connection is cut, nothing is written in order."""
        os.kill(pid := self._pid(), signal.SIGQUIT)
        until("PostgreSQL to stop", lambda: identity(pid) is None)
        self.stops += 1

    def start(self) -> None:
        """Start it with the same words, as the same user, until it answers."""
        owner = self.folder.stat()
        user = {} if os.geteuid() else {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
        environment = {"PATH": os.defpath, "LANG": "C.UTF-8"}
        options = {"environment": environment, "folder": self.folder.parent, "log": self.log, **user}
        # It goes with this process, after what is still to be removed from it.
        self.started.append(spawn(self.argv, death_signal=signal.SIGINT, **options))
        until("PostgreSQL to answer again", _answers)


def _answers() -> bool:
    try:
        psycopg.connect(os.environ["DATABASE_SERVER_URL"]).close()
    except psycopg.OperationalError:
        return False
    return True


@dataclass
class Lane:
    """The deployments of one application in one environment, one after the other; `seen`: no later one is another's."""

    world: World
    slug: str
    release_id: int
    wanted: int
    seen: int
    deployments: dict[int, str] = field(default_factory=dict)

    def done(self) -> bool:
        """Tell whether all deployments have ended; begin the next one when the last has."""
        from releases.models import Deployment
        from releases.operations.deployment.request import request
        from releases.operations.deployment.schedule import schedule

        place = self.world.environments[self.slug]
        rows = Deployment.objects.filter(application=self.world.application, environment=place, pk__gt=self.seen)
        self.deployments = dict(rows.order_by("pk").values_list("pk", "state"))
        last, state = list(self.deployments.items())[-1] if self.deployments else (0, "none")
        if state in {"none", "succeeded"} | LEFT:
            if len(self.deployments) == self.wanted:
                return True
            with self.world.acting_as("ci"):
                request(self.release_id, environment_id=place.pk)
        elif state == "requested":
            with self.world.acting_as("ci"):
                schedule(last)
        elif state == "scheduled" and rows.filter(pk=last).exclude(not_before=None).exists():
            with acting(Actor(account_id=None, name="tests", kind="worker", channel="worker")):
                with operation("deployment:delay", (Deployment, last)) as op:  # the minute passes
                    op.get(Deployment).not_before = None
        return False


def _applications(world: World, folder: Path) -> Iterator[World]:
    """Make applications beside the first, each with a tested release, so that their deployments do not wait for each
    other.
    """
    from environments.operations.configuration.create import create
    from releases.operations.application.create import create_application
    from releases.operations.target.set_settings import create_target

    for slug in (f"datasets-{number}" for number in range(1, APPLICATIONS + 1)):
        targets, configurations = {}, {}
        with world.acting_as("manager"):
            signers = world.built.allowed_signers.read_text()
            application = create_application(slug=slug, name=slug, repository=str(world.built.path), signers=signers)
            for name, environment in world.environments.items():
                ids = {"application_id": application.pk, "environment_id": environment.pk}
                (root := folder / slug / name).mkdir(parents=True)
                made = create_target(**ids, root=str(root), settings={})
                targets[name] = seconded(made, world.acting_as)
                configurations[name] = create(**ids, values={"PORT": "8080"}, secrets={}, reason="first")
        own = replace(world, application=application, targets=targets, configurations=configurations)
        own.open_window()
        yield own


def _lanes(world: World, folder: Path) -> Iterator[Lane]:
    from releases.models import Deployment, Release

    share, rest = divmod(DEPLOYMENTS - 1, APPLICATIONS * len(PLACES))
    for number, own in enumerate(_applications(world, folder)):
        release = own.tested()
        with own.acting_as("manager"), operation("release:edit", (Release, release.pk)) as op:
            op.get(Release).step_plan = {
                "deployment": FORWARD,
                "verification": VERIFY,
                "rollback": [],
                "rollback_verification": [],
            }
        seen = Deployment.objects.order_by("pk").values_list("pk", flat=True).last() or 0
        for place, slug in enumerate(PLACES):
            yield Lane(own, slug, release.pk, share + (number * len(PLACES) + place < rest), seen)


@pytest.mark.timeout(SECONDS + 120 * LEASE, func_only=True)
def test_every_step_is_made_once_or_asked_about(world: World, scheduled_deployment: Begin, tmp_path: Path) -> None:
    from django.db import Error, connection

    seed = int(os.environ.get("CHAOS_SEED", str(time.time_ns() % 10_000_000)))
    chance = random.Random(seed)
    print(f"CHAOS_SEED={seed} CHAOS_DEPLOYMENTS={DEPLOYMENTS}")
    running = scheduled_deployment(FORWARD)
    lanes = [lane for lane in _lanes(world, tmp_path / "targets") if lane.wanted]
    server = Server(tmp_path / "postgres.log")
    scheduler = running.scheduler()
    workers = [running.process("worker", slug) for slug in (*PLACES, "production")]
    # One that starts while PostgreSQL is stopped ends, and its supervisor would start it again; there is none here.
    until("the workers to be there", lambda: running.redis.scard("rq:workers") == len(workers), 120)
    waiting, said = lanes, ""
    deadline, stop_at = time.monotonic() + SECONDS, time.monotonic() + chance.uniform(*UP)
    while waiting or running.state() not in ("verifying", "awaiting_decision") or server.stops < LEAST_STOPS:
        assert time.monotonic() < deadline, f"seed {seed}: {[(lane.slug, lane.deployments) for lane in waiting]} {said}"
        try:
            waiting = [lane for lane in waiting if not lane.done()]
        except (Error, psycopg.Error):  # only what was in flight when it was stopped; the next round looks again
            connection.close()
        except GateNotPassed as closed:  # what a gate knows has grown old meanwhile
            said = str(closed)
        if time.monotonic() > stop_at:
            server.stop()
            time.sleep(chance.uniform(*DOWN))
            server.start()
            connection.close()
            stop_at = time.monotonic() + chance.uniform(*UP)
        time.sleep(0.1)
    assert [process.poll() for process in (scheduler, *workers)] == [None] * 4
    asked = [
        _right(pk, Path(lane.world.targets[lane.slug].root), f"seed {seed}")
        for lane in lanes
        for pk in lane.deployments
    ]
    asked.append(_right(running.deployment_id, running.root, f"seed {seed}"))
    assert len(asked) == DEPLOYMENTS
    print(f"{server.stops} stops under {DEPLOYMENTS} runs; {sum(asked)} of them ask a person")
    _ledger_holds(running.database)


def _right(deployment_id: int, root: Path, seed: str) -> bool:
    """Compare a deployment's rows with what the target itself counted; return whether a person is asked about it."""
    from environments.targets.base import TargetSpec
    from environments.targets.target import journal_lines
    from releases.models import Deployment

    deployment = Deployment.objects.get(pk=deployment_id)
    lines = journal_lines(TargetSpec("datasets", "any", root, {}), deployment=f"deployment:{deployment_id}")
    counted = Counter((line["key"], line["effect"]) for line in lines)
    steps = list(deployment.steps.order_by("ordinal"))
    about = [(s.ordinal, s.step_type, s.state, list(s.attempts.values_list("outcome", flat=True))) for s in steps]
    facts = f"{seed}, run {deployment_id} {deployment.state}: {about} {counted}"
    assert {key for key, _effect in counted} <= {one.key for one in steps}, facts
    for one in steps:
        made = {effect: number for (key, effect), number in counted.items() if key == one.key}
        outcomes = list(one.attempts.order_by("fencing_token").values_list("outcome", flat=True))
        if one.state == "succeeded":
            again = made.get("command:started", 1) - 1 if one.parameters.get("repeatable") else 0
            assert again <= outcomes.count("worker_lost"), facts  # only after the attempt before it was lost
            assert Counter(made) - Counter({"command:started": again}) == Counter(ONCE[one.step_type]), facts
            assert outcomes[-1] == "succeeded" and set(outcomes[:-1]) <= {"worker_lost"}, facts
        elif one.state == "cancelled":
            assert made == {} and outcomes == [], facts
        else:
            assert deployment.state in LEFT and one.state in ("failed", "outcome_unknown"), facts
            assert outcomes[-1] == "unknown" and set(outcomes[:-1]) <= {"worker_lost"}, facts
            assert one.parameters.get("repeatable") or max(made.values(), default=0) <= 1, facts
    left = [one for one in steps if one.state not in ("succeeded", "cancelled", "pending")]
    assert len(left) == (deployment.state in LEFT), facts
    return bool(left)


def _ledger_holds(database: str) -> None:
    """Every operation that was committed is in the ledger, linked without a gap."""
    from audit.ledger.chain import verify

    with psycopg.connect(database, autocommit=True) as connection:
        report = verify(connection)
    assert report.finding is None, report
    assert report.events > 10 * DEPLOYMENTS
