"""Two cases for several machines (see test_several.py): this process and the servers are on the hub."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
import redis

from config.development.processes import PROJECT
from releases import dispatch
from tests.chaos.network import ADDRESSES, Network
from tests.chaos.running import Point, Running, command, step, until
from tests.releases.conftest import World
from tests.releases.gates.asking import alter
from tests.releases.sources.repositories import key, over_ssh

Begin = Callable[[list[dict[str, Any]]], Running]
# The host of the target detects it after 10 s, PostgreSQL after 20; the rest is for a busy machine.
PATIENCE = 300.0
HOLDER = """
SELECT application_name FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.granted AND datname = %s AND application_name LIKE 'scheduler-%%'
"""
ASK = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=5).status)"


@pytest.fixture(scope="session")
def machines() -> Network:
    """The machines, once the servers let them in."""
    with psycopg.connect(os.environ["DATABASE_SERVER_URL"], autocommit=True) as server:
        ((rules,),) = server.execute("SHOW hba_file").fetchall()
        with Path(rules).open("a") as file:
            file.write("host all all 10.77.0.0/24 scram-sha-256\n")
        server.execute("SELECT pg_reload_conf()")
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as queue:
        queue.config_set("bind", f"127.0.0.1 {ADDRESSES['hub']}")
    return Network(os.environ["CHAOS_NETWORK"])


@pytest.fixture
def far_target(machines: Network, world: World, tmp_path: Path) -> Iterator[None]:
    """Production's target on a machine of its own, which only ssh reaches."""
    from environments.operations.configuration.create import create

    own = key(tmp_path / "own")
    place = {"address": ADDRESSES["target"], "within": machines.on("target")}
    with over_ssh(tmp_path / "server", own.with_suffix(".pub"), **place) as (site, known):
        parts = urlsplit(site)
        reached = {"host": parts.hostname, "port": parts.port, "user": parts.username, "known_hosts": known}
        alter(world.targets["production"], options={"ssh": reached | {"python": sys.executable}})
        with world.acting_as("manager"):
            world.configurations["production"] = create(
                application_id=world.application.pk,
                environment_id=world.environments["production"].pk,
                values={"PORT": "8080"},
                secrets={"TARGET_SSH_KEY": own.read_text()},
                reason="on a machine of its own",
            )
        yield


def _there(running: Running, machines: Network, machine: str, *words: str) -> Any:
    """Start a management command on a machine, which finds the servers by the hub's address."""
    urls = {"DATABASE_URL": running.address(words[0]), "REDIS_URL": running.redis_url}
    urls = {name: url.replace("@127.0.0.1:", f"@{ADDRESSES['hub']}:") for name, url in urls.items()}
    return running.process(*words, wrapper=machines.on(machine), RINGI_PROCESS=f"{words[0]}-{machine}", **urls)


def _facts(running: Running) -> list[tuple[Any, ...]]:
    from releases.models import Deployment, Step, StepAttempt, StepOutput

    rows = [Deployment.objects.filter(pk=running.deployment_id)]
    rows.append(Step.objects.filter(deployment=running.deployment_id).order_by("pk"))
    rows += [model.objects.filter(step__in=rows[1]).order_by("pk") for model in (StepAttempt, StepOutput)]
    journal = [tuple(sorted(line.items())) for line in running.journal()]
    return [*(row for found in rows for row in found.values_list()), *journal, *map(tuple, running.tally())]


@pytest.mark.timeout(700)
def test_a_worker_that_is_cut_off_is_replaced_and_what_it_writes_later_lands_nowhere(
    far_target: None, machines: Network, scheduled_deployment: Begin, point: Point, tmp_path: Path
) -> None:
    steps = [step("code_deploy"), command("second", repeatable=True, point=point.folder), step("configuration_update")]
    running = scheduled_deployment(steps)
    running.scheduler()
    web = [sys.executable, "-m", "gunicorn", "config.wsgi", "--bind", f"{ADDRESSES['hub']}:8000", "--workers", "1"]
    allowed = {"ALLOWED_HOSTS": ADDRESSES["hub"], "DATABASE_URL": running.database, "REDIS_URL": running.redis_url}
    pages = subprocess.Popen([*web, "--no-control-socket"], cwd=PROJECT, env=os.environ | allowed)
    try:
        workers = {name: _there(running, machines, name, "worker", "production") for name in ("one", "two")}
        point.announced(PATIENCE)
        holder = running.owner(2)
        lost, kept = sorted(workers, key=lambda name: workers[name].pid != holder)
        assert workers[lost].pid == holder

        machines.cut(lost)
        running.comes_to("verifying", seconds=PATIENCE)
        assert Counter(line["effect"] for line in running.journal()) == {
            "code_deploy:laid": 1,
            "code_deploy:switched": 1,
            "configuration_update:written": 1,
            "command:started": 2,
            "command:done": 1,
        }
        assert running.tally() == ["second began", "second began", "second ended"]
        (made,) = running.journal("command:done")
        assert made["fencing_token"] == running.step(2).fencing_token > 1
        assert [attempt.outcome for attempt in running.attempts(2)][0] == "worker_lost"

        before = _facts(running)
        machines.join(lost)
        # It hears of it from the database or from the target's host, whichever reaches it first.
        fenced = "WARNING releases.worker.executor"
        until("the worker to notice", lambda: fenced in running.log(workers[lost]), PATIENCE)
        assert _facts(running) == before

        # It works again, alone. (RQ may have given up meanwhile; then its supervisor restarts it.)
        workers[kept].terminate()
        workers[kept].wait(PATIENCE)
        dispatch.wake("production", "run_step", step_id=running.step(3).pk)

        def taken() -> bool:
            return not running.redis.llen("rq:queue:production")

        until("the worker to go on or to give up", lambda: taken() or workers[lost].poll() is not None, PATIENCE)
        if workers[lost].poll() is not None:
            workers[lost] = _there(running, machines, lost, "worker", "production")
        until("the worker to take from the queue again", taken, PATIENCE)
        assert workers[lost].poll() is None
        asked = [sys.executable, "-c", ASK, f"http://{ADDRESSES['hub']}:8000/health/"]
        assert subprocess.run([*machines.on(kept), *asked], capture_output=True, text=True).stdout == "200\n"
    finally:
        pages.terminate()
        pages.wait()


@pytest.mark.timeout(700)
def test_a_scheduler_that_is_cut_off_does_not_keep_the_lock(machines: Network, scheduled_deployment: Begin) -> None:
    running = scheduled_deployment([command("first"), command("second")])

    def holder() -> str:
        with psycopg.connect(os.environ["DATABASE_SERVER_URL"]) as server:
            found = server.execute(HOLDER, [urlsplit(running.database).path.strip("/")]).fetchall()
        assert len(found) <= 1, found
        return found[0][0] if found else ""

    first = _there(running, machines, "one", "scheduler")
    until("the first scheduler to act", lambda: holder() == "scheduler-one", PATIENCE)
    running.comes_to("queued", seconds=PATIENCE)
    second = _there(running, machines, "two", "scheduler")
    machines.cut("one")
    try:
        until("the second scheduler to act", lambda: holder() == "scheduler-two", PATIENCE)
        running.redis.flushdb()  # the messages of the first one to the workers are gone with it
        until("the second scheduler to tell them", lambda: running.redis.llen("rq:queue:production"), PATIENCE)
        running.worker()
        running.comes_to("verifying", seconds=PATIENCE)
    finally:
        machines.join("one")
    until("the first scheduler to notice", lambda: "out of reach" in running.log(first), PATIENCE)
    assert holder() == "scheduler-two"
    assert running.tally() == ["first began", "first ended", "second began", "second ended"]
    assert [first.poll(), second.poll()] == [None, None]
