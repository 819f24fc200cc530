"""Makes the dump of this version that later versions are tested with (make dump): a database in use.

It holds a deployment that a worker was at, monitoring that goes on, events that nothing was done about and that the
ledger signer has not seen, and a release in review.
"""

from __future__ import annotations

import gzip
import os
import subprocess
import tomllib
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from audit.actor import Actor, acting
from audit.clock import now
from audit.ledger.checkpoint import LedgerSigner
from audit.models import LedgerHead, Outbox
from releases.demo.repository import build
from releases.models import Deployment, MonitoringPeriod
from releases.operations.deployment.enqueue import enqueue
from releases.operations.deployment.request import request
from releases.operations.deployment.schedule import schedule
from releases.operations.step.claim import claim
from tests.conftest import sign_ledger
from tests.releases.conftest import World
from tests.releases.gates.asking import alter, make
from tests.releases.worker.conftest import first, plan, row

from .place import DUMPS, EFFECT, emptied, program

WORKER = Actor(account_id=None, name="worker-1", kind="worker", channel="worker")
LONG = 30 * 365 * 86400.0
ERRORS = {
    "key": "error_rate",
    "critical": True,
    "metric": "error_rate",
    "comparison": "absolute",
    "limit": "0.10",
    "k": 3,
    "n": 5,
}


def version() -> str:
    """Return the version of this tree."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    return str(project["project"]["version"])


def in_use(people: dict[str, Any], acting_as: Callable[..., Any], settings: Any) -> World:
    """Fill the database that Django is connected to."""
    from environments.models import Environment
    from environments.operations.configuration.create import create
    from releases.operations.application.create import create_application
    from releases.operations.target.set_settings import create_target
    from tests.conftest import seconded

    folder = emptied()
    names = {
        "developer": ("Developer", "developer@datasets.example"),
        "release_manager": ("Manager", "manager@datasets.example"),
    }
    built = build(folder / "repository", people=names, day=date(2026, 11, 20))
    environments = {e.slug: e for e in Environment.objects.all()}
    targets, configurations = {}, {}
    with acting_as("manager"):
        application = create_application(
            slug="datasets", name="Datasets", repository=str(built.path), signers=built.allowed_signers.read_text()
        )
        for name, environment in environments.items():
            given = {"application_id": application.pk, "environment_id": environment.pk}
            targets[name] = seconded(
                create_target(**given, root=str(folder / "targets" / name), settings={}), acting_as
            )
            configurations[name] = create(**given, values={"PORT": "8080"}, secrets={}, reason="first")
    world = World(application, environments, targets, built, acting_as, people, configurations)
    world.open_window()
    world.submitted()
    running(world, settings)
    return world


def running(world: World, settings: Any) -> None:
    """Have a deployment that a worker is at, and one in another environment that is monitored."""
    settings.LEASE_DURATION = 1.0
    options = {"programs": {"write": [str(EFFECT.parent)]}, "metrics_url": "http://127.0.0.1:9/metrics"}
    for name in ("development", "staging"):
        alter(world.targets[name], options=options)
    shell = ["/bin/sh", "-c", f"echo once >> {EFFECT}"]
    release = alter(world.planned("1.4.0"), step_plan=plan(row(shell, repeatable=True), row(["/bin/true"])))
    world.evidence("1.4.0")
    with world.acting_as("developer"):
        deployment = request(release.pk, environment_id=world.environments["development"].pk)
        schedule(deployment.pk)
    with acting(WORKER):
        enqueue(deployment.pk)
        assert claim(first(deployment).pk, worker="host-1:41") is not None
    monitored = make(
        Deployment,
        release=release,
        application=release.application,
        environment=world.environments["staging"],
        requested_by=world.people["ci"],
        previous={"wanted_tree": world.built.trees["v1.4.0"]},
    )
    walk(monitored, "schedule", "enqueue", "start", "start_verification", "start_monitoring")
    make(
        MonitoringPeriod,
        deployment=monitored,
        interval_seconds=60,
        duration_seconds=LONG,
        triggers=[ERRORS],
        started_at=now(),
        next_at=now(),
    )


def walk(deployment: Any, *edges: str) -> None:
    """Take a deployment along its edges, one operation each."""
    from audit.operation import operation

    with acting(WORKER):
        for edge in edges:
            with operation("test:walk", (Deployment, deployment.pk)) as op:
                getattr(op.get(Deployment), edge)()


def test_make_the_dump(
    database: str, people: dict[str, Any], acting_as: Callable[..., Any], settings: Any, tmp_path: Path
) -> None:
    signer = LedgerSigner(tmp_path / "signer")
    sign_ledger(signer)
    in_use(people, acting_as, settings)
    sign_ledger(signer)
    with acting_as("manager"):
        world_release = alter(MonitoringPeriod.objects.get().deployment.release, title="changed after the checkpoint")
    assert Outbox.objects.filter(sent_at=None).exists() and world_release.title
    owner = make_conninfo(os.environ["DATABASE_OWNER_URL"], dbname=str(conninfo_to_dict(database)["dbname"]))
    dumped = subprocess.run(
        [program("pg_dump") or "pg_dump", "--no-owner", "--no-privileges", owner],
        check=True,
        capture_output=True,
        timeout=120,
    ).stdout
    for word in (str(Path(__file__).parents[2]), str(tmp_path.parent)):
        assert word.encode() not in dumped, f"the dump names this machine: {word}"
    folder = Path(os.environ.get("RINGI_DUMPS") or DUMPS)
    folder.mkdir(exist_ok=True)
    (folder / f"{version()}.sql.gz").write_bytes(gzip.compress(dumped, 9, mtime=0))
    (folder / f"{version()}.pub").write_text((tmp_path / "signer" / "key.pub").read_text())
    (folder / f"{version()}.events").write_text(f"{LedgerHead.objects.get().number}\n", encoding="utf-8")
