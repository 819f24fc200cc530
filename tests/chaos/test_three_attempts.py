"""A fault in each phase of a deployment and its rollback, again and again: three attempts at most, then a person
decides.

Real workers and a real scheduler; the fault is an assertion, a SIGKILL, or a machine that is out of memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from releases.operations.deployment.request import request
from releases.operations.deployment.schedule import schedule
from releases.operations.release.plan import plan as plan_release
from releases.operations.rollback import decide as rollbacks
from releases.operations.rollback.start import retry
from releases.operations.step import resume
from releases.operations.step.claim import ATTEMPTS
from tests.chaos.running import EFFECT, LEASE, Running, queues_url, step, until
from tests.releases.conftest import World
from tests.releases.gates.asking import alter, make, shown

FAULTS = ("assert", "kill", "memory")
CHECK = step("check", check="log", parameters={"silent_passes": True})
PLAN = {
    "deployment": [step("command", argv=["/bin/true"], repeatable=True)],
    "verification": [CHECK],
    "rollback": [step("command", argv=["/bin/true"], repeatable=True)],
    "rollback_verification": [CHECK],
}


@dataclass(frozen=True)
class Phase:
    """Where a fault strikes: the function at whose beginning it does, and the ordinal of the step that meets it."""

    name: str
    function: str
    ordinal: int

    @property
    def back(self) -> bool:
        """Tell whether it belongs to the rollback."""
        return self.ordinal > 2


PHASES = (
    Phase("deployment step", "_make executor.py", 1),
    Phase("outcome of a step", "_following step/outcome.py", 1),
    Phase("verification", "_check executor.py", 2),
    Phase("verified", "_phase_ends step/outcome.py", 1),
    Phase("rollback step", "_make executor.py", 3),
    Phase("restored", "complete step/outcome.py", 3),
    Phase("rollback verification", "_check executor.py", 4),
    Phase("rollback verified", "complete_verification step/outcome.py", 4),
)


class Faulty:
    """A deployment whose workers meet a fault at a place while the file `armed` is there; a dead worker is replaced."""

    def __init__(self, running: Running, environment: str, folder: Path) -> None:
        self.running, self.environment, self.folder = running, environment, folder
        self.worker: Any = None
        self.place = ""
        running.scheduler()

    def meets(self, how: str, phase: Phase) -> None:
        """Let workers that start from now on meet a fault."""
        self.place = f"{how} {phase.function}"
        (self.folder / "armed").touch()
        if self.worker is not None:
            self.worker.kill()
            self.worker.wait()

    def mended(self) -> None:
        """Let the fault strike no more."""
        (self.folder / "armed").unlink()

    def comes_to(self, what: str, look: Callable[[], Any]) -> None:
        """Wait until something is so; whenever the worker has ended, another one starts, as under a supervisor."""

        def looked() -> Any:
            if self.worker is None or self.worker.poll() is not None:
                places = {"PYTHONPATH": str(EFFECT.parent), "CHAOS_FAULT": self.place, "CHAOS_FOLDER": str(self.folder)}
                self.worker = self.running.process("worker", self.environment, **places)
            return look()

        until(what, looked)


@pytest.fixture
def faulty(world: World, database: str, tmp_path: Path, settings: Any) -> Iterator[Callable[[str], Faulty]]:
    """Return a function: schedule a deployment in an environment for now: of a draft in development, with an approval
    in production.
    """
    settings.RQ_QUEUES = {name: {**row, "URL": queues_url()} for name, row in settings.RQ_QUEUES.items()}
    made: list[Running] = []

    def begin(environment: str) -> Faulty:
        from releases.models import DeployedVersion

        root = Path(world.targets[environment].root)
        (root / "shared").mkdir(parents=True)
        (root / "shared" / "app.log").write_text("quiet\n")
        if environment == "production":
            tested = world.tested
            world.tested = lambda *given, **options: alter(tested(*given, **options), step_plan=PLAN)
            deployment = world.scheduled()
        else:
            # Something to go back to, and to monitor afterwards.
            with world.acting_as("author_on_committee"):
                earlier = plan_release(application_id=world.application.pk, version="1.2.0", title="Earlier")
            where = {"application": world.application, "environment": world.environments[environment]}
            make(DeployedVersion, **where, release=earlier, since=earlier.created_at, basis="verified")
            release = alter(world.planned(), step_plan=PLAN)
            world.evidence("1.3.0")
            with world.acting_as("developer"):
                deployment = request(release.pk, environment_id=world.environments[environment].pk)
                schedule(deployment.pk)
        running = Running(database, deployment, root, tmp_path)
        running.redis.flushdb()
        made.append(running)
        return Faulty(running, environment, tmp_path)

    yield begin
    for running in made:
        running.end()


def raised(world: World, faulty: Faulty) -> Any:
    """Roll the deployment back, as a rehearsal, with everybody's approval."""
    from releases.models import Rollback

    with world.acting_as("operator"):
        alarm = rollbacks.raise_(faulty.running.deployment_id, cause=rollbacks.REHEARSAL, note="for practice")
    with world.acting_as("manager"):
        rollbacks.assess(alarm.pk, impact="none", method="the plan", timing="now")
    faulty.comes_to("the count of rows", lambda: "rows_total" in Rollback.objects.get(pk=alarm.pk).facts)
    with world.acting_as("second_operator"):
        rollbacks.authorise(alarm.pk, digest=shown(alarm))
    return alarm


def ends(faulty: Faulty, phase: Phase) -> None:
    """Wait until the step asks a person, after no more attempts than are allowed, and see that none follows by
    itself.
    """
    from releases.models import Step

    running = faulty.running
    asks = {"deployment": running.deployment_id, "ordinal": phase.ordinal, "state__in": ["outcome_unknown", "failed"]}
    faulty.comes_to("the step to ask", lambda: Step.objects.filter(**asks).exists())
    attempts = len(running.attempts(phase.ordinal))
    assert attempts <= ATTEMPTS, [attempt.outcome for attempt in running.attempts(phase.ordinal)]
    time.sleep(3 * LEASE)
    assert len(running.attempts(phase.ordinal)) == attempts


@pytest.mark.timeout(240 * LEASE, func_only=True)
@pytest.mark.parametrize("how", FAULTS)
@pytest.mark.parametrize("phase", PHASES, ids=lambda phase: phase.name.replace(" ", "_"))
def test_a_draft_asks_after_three_attempts_and_goes_on(
    world: World, faulty: Callable[[str], Faulty], phase: Phase, how: str
) -> None:
    from releases.models import Rollback

    draft = faulty("development")
    state = draft.running.state
    if not phase.back:
        draft.meets(how, phase)
        ends(draft, phase)
        assert state() == "failed"
        draft.mended()
        raised(world, draft)
        draft.comes_to("the rollback", lambda: state() == "rolled_back")
        return
    draft.comes_to("the deployment", lambda: state() == "succeeded")
    draft.meets(how, phase)
    alarm = raised(world, draft)
    ends(draft, phase)
    assert Rollback.objects.get(pk=alarm.pk).state == "failed"
    draft.mended()
    with world.acting_as("operator"):
        retry(alarm.pk, reason="the fault is mended")
    draft.comes_to("the rollback", lambda: Rollback.objects.get(pk=alarm.pk).state == "monitoring")
    assert state() == "rolled_back"


@pytest.mark.timeout(240 * LEASE, func_only=True)
@pytest.mark.parametrize("how", FAULTS)
@pytest.mark.parametrize("phase", PHASES[:4], ids=lambda phase: phase.name.replace(" ", "_"))
def test_production_waits_for_a_decision_and_goes_on(
    world: World, faulty: Callable[[str], Faulty], phase: Phase, how: str
) -> None:
    production = faulty("production")
    production.meets(how, phase)
    ends(production, phase)
    assert production.running.state() == "awaiting_decision"
    production.mended()
    with world.acting_as("second_operator"):
        resume.retry(production.running.step(phase.ordinal).pk, reason="the fault is mended")
    production.comes_to("the end", lambda: production.running.step(2).state == "succeeded")
    assert production.running.state() == "verifying"
