"""A program of a release, started by a real worker, finds no key, environment, process or socket of Ringi."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from psycopg.conninfo import conninfo_to_dict

from config.development.processes import PROJECT, spawn, stop
from releases.models import Deployment, StepOutput
from tests.environments.targets.test_sandbox import DENIED, asked, needs_landlock
from tests.releases.gates.asking import alter
from tests.releases.step_types.conftest import wait_for

from .conftest import row


@pytest.fixture(params=["the account of the tests", "an account without rights"])
def place(request: pytest.FixtureRequest, state_folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """A folder with the target and all of Ringi's files, which belong to the worker's account; that account."""
    account: dict[str, Any] = {}
    folder = Path(tempfile.mkdtemp(prefix="ringi-sandbox-"))
    shutil.copytree(state_folder, folder / "state")
    (folder / "state" / "ledger_signer").mkdir()
    for path in ("state/ledger_signer/key", "state/secrets/other.keys"):
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text("secret")
    (folder / "target").mkdir()
    if request.param.startswith("an"):
        nobody = pwd.getpwnam("nobody")
        if os.geteuid() != 0 or any(not one.stat().st_mode & 0o005 for one in (PROJECT, *PROJECT.parents)):
            shutil.rmtree(folder)
            pytest.skip("only root may start a worker as nobody, and nobody must be able to read the project")
        account = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        for path in (folder, *folder.rglob("*")):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
    yield folder, account
    shutil.rmtree(folder)


@needs_landlock
def test_a_release_finds_nothing_of_ringi(
    world: Any,
    queued: Callable[..., Deployment],
    database: str,
    settings: Any,
    place: tuple[Path, dict[str, Any]],
    tmp_path: Path,
) -> None:
    folder, account = place
    state, key = folder / "state", folder / "state" / "secrets" / "configuration.keys"
    alter(world.targets["development"], root=str(folder / "target"))
    secret = {"RINGI_METRICS_TOKEN": "of-ringi", "RINGI_STATE_DIR": str(state), "SECRET_KEY": "of-ringi"}
    address = urlsplit(os.environ["DATABASE_WORKER_URL"])._replace(path=f"/{conninfo_to_dict(database)['dbname']}")
    own = {"DATABASE_URL": address.geturl(), "REDIS_URL": settings.RQ_QUEUES["development"]["URL"], **secret}
    argv = [sys.executable, "manage.py", "worker", "development"]
    log = tmp_path / "worker.log"
    worker = spawn(argv, environment=os.environ | own, folder=PROJECT, log=log, death_signal=signal.SIGKILL, **account)
    try:
        files = [state / "ledger_signer" / "key", key, state / "secrets" / "other.keys", folder]
        deployment = queued(row(asked(files=files, pids=[worker.pid, os.getpid()])))
        wait_for(lambda: world.fresh(deployment).state in ("succeeded", "failed", "awaiting_decision"), seconds=90)
    finally:
        stop(worker, (signal.SIGTERM, signal.SIGKILL))
    assert world.fresh(deployment).state == "succeeded", log.read_text()
    said = "".join(
        StepOutput.objects.filter(step__deployment=deployment, step__ordinal=1).values_list("text", flat=True)
    )
    seen = json.loads(said)
    assert key.exists() and seen["files"] == {str(path): DENIED for path in files}
    assert (seen["processes"], seen["listed"], seen["attached"]) == ([DENIED], DENIED, [-1, -1])
    assert not set(own) & set(seen["environment"]) and "of-ringi" not in said
    # It inherits only the lock of its own target.
    assert len(seen["descriptors"]) == 1 and seen["account"][0] == (account or {"user": os.geteuid()})["user"]
