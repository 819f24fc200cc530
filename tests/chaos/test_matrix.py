"""The kill matrix: each step type at each moment of its life, with its worker killed; and where a program of its own
is at work then, that program alone, and both at once.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from environments.targets.service_proof import running_service
from releases.demo.targets import own_database
from tests.chaos.running import LEASE, SCRIPT, Point, Running, children, command, ended, step, until
from tests.releases.conftest import World
from tests.releases.step_types.receiver import Receiver, receiving

Begin = Callable[[list[dict[str, Any]]], Running]
# Where a worker is held, by the function that begins there.
BEFORE_INTENT, AFTER_INTENT, BEFORE_OUTCOME = (
    "call claim step/claim.py",
    "call _make executor.py",
    "call record_success step/outcome.py",
)
MOMENTS = ("before intent", "after intent", "during the effect", "before the outcome")


@dataclass(frozen=True)
class Victim:
    """A step type: its place in a plan, where it is held inside its effect ("": the effect itself announces it),
    and what the target's journal counts in the end.

    again: what is journaled once more when it dies during its effect. asks: it is not repeated, so that a person looks.
    """

    name: str
    row: Callable[[Path, Receiver], dict[str, Any]]
    during: str
    effects: dict[str, int]
    again: dict[str, int] = field(default_factory=dict)
    asks: bool = False

    @property
    def programs(self) -> bool:
        """Tell whether its effect is made by a program that the worker starts."""
        return not self.during


def _check(folder: Path, receiver: Receiver) -> dict[str, Any]:
    return step("check", check="command", parameters={"argv": ["/bin/true"]})


VICTIMS = (
    Victim("backup", lambda f, r: step("backup"), "call _prove backup.py", {"backup:dumped": 1, "backup:proved": 1}),
    Victim(
        "maintenance_mode",
        lambda f, r: step("maintenance_mode", on=True),
        "call journal_once target.py",
        {"maintenance_mode:on": 1},
    ),
    Victim(
        "code_deploy",
        lambda f, r: step("code_deploy"),
        "call switch trees.py",
        {"code_deploy:laid": 1, "code_deploy:switched": 1},
    ),
    Victim(
        "database_update",
        lambda f, r: step("database_update"),
        "",
        {"database_update:started": 1, "database_update:migrated": 1},
        {"database_update:resumed": 1},
    ),
    Victim(
        "configuration_update",
        lambda f, r: step("configuration_update"),
        "call journal_once target.py",
        {"configuration_update:written": 1},
    ),
    Victim(
        "service_control",
        lambda f, r: step("service_control", action="restart"),
        "call _wait_until_serving service_control.py",
        {"service_control:stopped": 1, "service_control:started": 1},
    ),
    Victim("check", _check, "call look check_types/command.py", {}),
    Victim(
        "command",
        lambda f, r: command("victim", repeatable=True, point=f),
        "",
        {"command:started": 1, "command:done": 1},
        {"command:started": 1},
    ),
    Victim(
        "command_once",
        lambda f, r: command("victim", point=f),
        "",
        {"command:started": 1, "command:done": 1},
        asks=True,
    ),
    Victim(
        "http_call",
        lambda f, r: step("http_call", url=r.url(), idempotency_header="Idempotency-Key"),
        "call getresponse http/client.py",
        {"http_call:sent": 1, "http_call:done": 1},
        {"http_call:sent": 1},
    ),
    Victim(
        "http_call_once",
        lambda f, r: step("http_call", url=r.url()),
        "call getresponse http/client.py",
        {"http_call:sent": 1, "http_call:done": 1},
        asks=True,
    ),
    Victim("wait", lambda f, r: step("wait", seconds=0.5), "call journal_once target.py", {"wait:over": 1}),
)


def cells() -> Iterator[Any]:
    """Yield (victim, moment, killed)."""
    for victim in VICTIMS:
        for moment in MOMENTS:
            for killed in ("worker", "both") if moment == "during the effect" and victim.programs else ("worker",):
                yield pytest.param(victim, moment, killed, id=f"{victim.name}-{moment}-{killed}".replace(" ", "_"))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """The service that is called over HTTP."""
    with receiving() as made:
        yield made


@pytest.fixture
def effects_folder(victim: Victim, moment: str, point: Point, tmp_path: Path) -> Path:
    """Where an effect announces itself: at the point if it is to be held there, else where nothing is armed.

    One point holds once: an effect that took it would leave none for the worker.
    """
    return point.folder if moment == "during the effect" and not victim.during else tmp_path


@pytest.fixture
def whole_target(world: World, effects_folder: Path, receiver: Receiver) -> Iterator[str]:
    """A target on which every type has something to do: a deployed version, a service, a log, a database with rows."""
    from audit.operation import operation
    from environments.models import DeploymentTarget
    from environments.operations.configuration.create import create

    address = own_database("matrix")
    with psycopg.connect(address) as connection:
        connection.execute("CREATE TABLE kept (id int PRIMARY KEY)")
        connection.execute("INSERT INTO kept SELECT generate_series(1, 10)")
    target = world.targets["production"]
    root = Path(target.root)
    (root / "releases" / "before").mkdir(parents=True)
    (root / "releases" / "before" / "file").write_text("before")
    (root / "current").symlink_to("releases/before")
    (root / "shared").mkdir()
    (root / "shared" / "app.log").write_text("quiet\n")
    script = SCRIPT
    settings = {
        "service": {"start": [*script, "serve", "{root}/tally"], "stop_seconds": 2, "without_port": True},
        "migrate": [*script, "migrate", address, str(effects_folder)],
        "migrate_check": [*script, "check", address],
        "postgres_bin": os.environ.get("POSTGRES_BIN", ""),
        "http_hosts": [receiver.host],
    }
    with world.acting_as("manager"):
        with operation("target:create", (DeploymentTarget, target.pk)) as op:
            op.get(DeploymentTarget).options = settings
        world.configurations["production"] = create(
            application_id=world.application.pk,
            environment_id=world.environments["production"].pk,
            values={"PORT": "8080"},
            secrets={"DATABASE_URL": address},
            reason="with a database",
        )
    yield address
    if service := running_service(root):
        os.kill(service["pid"], signal.SIGKILL)


@pytest.mark.timeout(180 * LEASE, func_only=True)
@pytest.mark.parametrize(("victim", "moment", "killed"), list(cells()))
def test_a_step_killed_at_any_moment_is_made_once_or_asks(
    victim: Victim,
    moment: str,
    killed: str,
    whole_target: str,
    scheduled_deployment: Begin,
    point: Point,
    effects_folder: Path,
    receiver: Receiver,
) -> None:
    place = {
        "before intent": BEFORE_INTENT,
        "after intent": "call _check executor.py" if victim.name == "check" else AFTER_INTENT,
        "during the effect": victim.during,
        "before the outcome": BEFORE_OUTCOME,
    }[moment]
    running = scheduled_deployment([victim.row(effects_folder, receiver), command("after")])
    running.scheduler()
    workers = [running.worker(place, point if place else None) for _ in range(2)]
    held = point.announced()
    worker = held if place else running.owner(1)
    assert worker in [process.pid for process in workers]
    _kill(worker, [] if place else [held], also=killed == "both")

    lost = moment != "before intent"
    asks = victim.asks and moment in ("after intent", "during the effect")
    assert running.comes_to("verifying", "awaiting_decision") == ("awaiting_decision" if asks else "verifying")
    outcomes = [attempt.outcome for attempt in running.attempts(1) if attempt.outcome != "waiting"]
    assert outcomes[-1] == ("unknown" if asks else "succeeded")
    assert set(outcomes[:-1]) <= {"worker_lost"} and len(outcomes) > lost
    assert running.step(1).state == ("outcome_unknown" if asks else "succeeded")
    assert running.tally().count("after began") == running.tally().count("after ended") == (0 if asks else 1)
    _counted(victim, moment, running, asks)
    _made(victim, moment, running, whole_target, receiver, asks)


@pytest.mark.timeout(180 * LEASE, func_only=True)
@pytest.mark.parametrize(("victim", "moment"), [pytest.param(v, MOMENTS[2], id=v.name) for v in VICTIMS if v.programs])
def test_a_program_killed_during_its_effect_fails_its_step_and_a_person_is_asked(
    victim: Victim,
    moment: str,
    whole_target: str,
    scheduled_deployment: Begin,
    point: Point,
    effects_folder: Path,
    receiver: Receiver,
) -> None:
    running = scheduled_deployment([victim.row(effects_folder, receiver), command("after")])
    running.scheduler()
    worker = running.worker()
    held = point.announced()
    os.kill(held, signal.SIGKILL)

    assert running.comes_to("verifying", "awaiting_decision") == "awaiting_decision"
    assert [attempt.outcome for attempt in running.attempts(1)] == ["failed"]
    assert (running.step(1).state, running.step(2).state) == ("failed", "pending")
    assert [line["effect"] for line in running.journal(ordinal=1)] == [next(iter(victim.effects))]
    assert "victim ended" not in running.tally() and "after began" not in running.tally()
    assert worker.poll() is None


def _kill(worker: int, programs: list[int], *, also: bool) -> None:
    """Kill a worker, and with `also` its programs at the same time; they end with it in any case."""
    programs = [*programs, *children(worker)]
    for pid in programs if also else []:
        with suppress(ProcessLookupError):  # the end of one of them may be that of the next
            os.kill(pid, signal.SIGKILL)
    os.kill(worker, signal.SIGKILL)
    until("the worker and its programs to end", lambda: all(ended(pid) for pid in (worker, *programs)))


def _counted(victim: Victim, moment: str, running: Running, asks: bool) -> None:
    """Each effect stands once in the target's own journal; a repeated effect says so."""
    wanted = Counter(victim.effects)
    if moment == "during the effect" and not asks:
        wanted += Counter(victim.again)
    if asks:
        begun = next(iter(victim.effects))
        wanted = Counter({begun: 1} if moment == "during the effect" else {})
    assert Counter(line["effect"] for line in running.journal(ordinal=1)) == wanted


def _made(victim: Victim, moment: str, running: Running, address: str, receiver: Receiver, asks: bool) -> None:
    """The effect itself is there, and there once."""
    root, twice = running.root, moment == "during the effect" and not asks
    match victim.name:
        case "backup":
            assert running.step(1).result["proved"] == "full"
            assert len(list((root / "backups").glob("*/database.dump"))) == 1
        case "maintenance_mode":
            assert (root / "shared" / "maintenance").exists()
        case "code_deploy":
            assert (root / "current" / "dataset_service").is_dir()
            assert not [entry for entry in (root / "releases").iterdir() if entry.name.startswith(".")]
        case "database_update":
            with psycopg.connect(address) as connection:
                assert connection.execute("SELECT batch FROM batches ORDER BY 1").fetchall() == [(1,), (2,)]
        case "configuration_update":
            assert 'PORT="8080"' in (root / "shared" / "config.env").read_text()
        case "service_control":
            service = running_service(root)
            assert service is not None and service["pid"] == running.step(1).result["pid"]
            until("the service to begin", lambda: running.tally().count("served"))
            assert running.tally().count("served") == 1
        case "check":
            assert running.step(1).result["result"] == "passed"
        case "command" | "command_once":
            began = 0 if asks and moment == "after intent" else 1 + twice
            assert running.tally().count("victim began") == began
            assert running.tally().count("victim ended") == (0 if asks else 1)
        case "http_call" | "http_call_once":
            taken = [request.headers.get("idempotency-key") for request in receiver.taken]
            assert len(taken) == (0 if asks and moment == "after intent" else 1 + twice)
            assert len(set(taken)) <= 1


def test_the_default_matrix_meets_each_type_at_each_moment() -> None:
    met = {(cell.values[0].name, cell.values[1]) for cell in cells()}
    assert met == {(victim.name, moment) for victim in VICTIMS for moment in MOMENTS}
    procedure = {
        "backup",
        "maintenance_mode",
        "code_deploy",
        "database_update",
        "configuration_update",
        "service_control",
        "check",
    }
    assert procedure <= {victim.name for victim in VICTIMS}
