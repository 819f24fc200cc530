"""An upgrade without an outage, on real parts: the old version works on while the next one migrates and takes over, and
works again on the new schema. `make upgrade` prints the rows.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from audit.schema import WrongSchema, require_own_schema
from releases.models import Evidence, Release, StepAttempt
from tests.chaos.running import Point, Running, command, ended, until
from tests.chaos.tree import copied
from tests.kit.table import Table
from tests.releases.api.conftest import token_for
from tests.releases.conftest import World

from .versions import NEXT, Load, Site, compiled, next_version, version_of, with_column

pytestmark = [pytest.mark.xdist_group("upgrade"), pytest.mark.timeout(900)]
Begin = Callable[[list[dict[str, Any]]], Running]


@pytest.fixture
def running(database: str, scheduled_deployment: Begin, point: Point) -> Running:
    """A production deployment whose second step is long: it ends when the test lets it go. Its database may be
    migrated.
    """
    name, owner = conninfo_to_dict(database)["dbname"], conninfo_to_dict(os.environ["DATABASE_OWNER_URL"])["user"]
    with psycopg.connect(os.environ["DATABASE_SERVER_URL"], autocommit=True) as server:
        words = sql.SQL("ALTER DATABASE {} OWNER TO {}")
        server.execute(words.format(sql.Identifier(str(name)), sql.Identifier(str(owner))))
    long = command("long", point=point.folder) | {"deadline_seconds": 900}
    return scheduled_deployment([command("first"), long, command("last")])


@pytest.fixture
def site(running: Running, tmp_path: Path) -> Site:
    """The web process of this version, behind a link."""
    return Site(running, tmp_path, compiled(copied(tmp_path / "this")))


@pytest.fixture
def load(site: Site, world: World, browsers: Callable[[str], Any]) -> Iterator[Load]:
    """People and a pipeline at work."""
    cookie = f"sessionid={browsers('manager').cookies['sessionid'].value}"
    token, release = token_for(world, world.people["ci"]), Release.objects.get(version="1.3.0").pk
    asking = Load(site.address, cookie, token, world.built.commits["v1.4.0"], release)
    yield asking
    asking.end()


def test_an_upgrade_is_no_outage(running: Running, site: Site, load: Load, point: Point, tmp_path: Path) -> None:
    table, this, following = Table(), site.first, next_version(tmp_path / "next")
    began = time.monotonic()
    old = {name: site.start(name) for name in ("ledger_signer", "scheduler")}
    old["worker"] = site.start("worker", "production")
    new: dict[str, Any] = {}
    versions = f"{version_of(this)} → {version_of(following)}"

    def at_its_long_step() -> str:
        point.announced(120)
        assert running.owner(2) == old["worker"].pid
        return f"step 2 of deployment {running.deployment_id} runs; {load.after(began)}"

    def migrated() -> str:
        before = time.monotonic()
        applied = site.manage(following, "owner", "migrate", "--noinput").count(" OK")
        took = time.monotonic() - before
        assert applied or version_of(following) != NEXT
        return f"{applied} migrations in {took:.1f} s; {load.after(before, 1)}"

    def goes_on() -> str:
        assert site.version() == version_of(this) and all(process.poll() is None for process in old.values())
        return load.after(time.monotonic(), 15)

    def taken_over() -> str:
        before = time.monotonic()
        site.manage(following, "web", "doctor", "--before-start")
        site.reload(following)
        return f"{versions}; {load.after(before, 15)}"

    def others() -> str:
        new["scheduler"] = site.start("scheduler")
        for name in ("scheduler", "ledger_signer"):
            old[name].send_signal(signal.SIGTERM)
            assert old[name].wait(60) == 0, name
        new["ledger_signer"] = site.start("ledger_signer")
        return "ended with status 0; those of the next version run"

    def at_the_next_worker() -> str:
        new["worker"] = site.start("worker", "production")
        until("the new worker", lambda: running.redis.scard("rq:workers:production") == 2, 120)
        old["worker"].send_signal(signal.SIGTERM)
        assert not ended(old["worker"].pid) and running.owner(2) == old["worker"].pid
        point.let_go()
        old["worker"].wait(60)
        assert running.comes_to("verifying", "awaiting_decision", seconds=120) == "verifying"
        owners = [attempt.worker.rpartition(":")[2] for n in (1, 2, 3) for attempt in running.attempts(n)]
        assert owners == [str(old["worker"].pid)] * 2 + [str(new["worker"].pid)], owners
        return "steps 1 and 2 by the worker of this version, step 3 by that of the next (asked: the same)"

    def once() -> str:
        assert running.tally() == [
            f"{name} {half}" for name in ("first", "long", "last") for half in ("began", "ended")
        ]
        assert Counter(line["effect"] for line in running.journal()) == {"command:started": 3, "command:done": 3}
        outcomes = StepAttempt.objects.filter(step__deployment=running.deployment_id).values_list("outcome", flat=True)
        assert list(outcomes)[:3] == ["succeeded"] * 3
        return f"{running.state()}; 3 steps, 3 attempts, 3 effects in the journal of the target (asked: 3)"

    def back() -> str:
        before = time.monotonic()
        site.manage(this, "owner", "migrate", "--noinput")
        site.manage(this, "web", "doctor", "--before-start")
        site.reload(this)
        return f"{' → '.join(reversed(versions.split(' → ')))}; {load.after(before, 15)}"

    def nothing_lost() -> str:
        load.end()
        assert not (failed := load.failed()), failed
        rows = Evidence.objects.filter(suite__startswith="suite ").count()
        assert rows == load.written() > 0
        return f"{len(load.answers)} requests, 0 failed (asked: 0); {rows} rows for {load.written()} writes"

    def verified() -> str:
        new["ledger_signer"].send_signal(signal.SIGTERM)
        new["ledger_signer"].wait(60)
        site.manage(this, "ledger_signer", "ledger_signer", "--once")
        return site.manage(this, "web", "audit_verify").splitlines()[-1]

    table.row("a deployment is under way", at_its_long_step, needed=True)
    table.row("the next version migrates", migrated, needed=True)
    table.row("this version on the schema of the next", goes_on, needed=True)
    table.row("web: link and SIGHUP", taken_over, needed=True)
    table.row("scheduler and ledger signer", others, needed=True)
    table.row("worker: it ends its step", at_the_next_worker, needed=True)
    table.row("the deployment", once)
    table.row("ledger, verified by the next version", lambda: site.manage(following, "web", "audit_verify").strip())
    table.row("return: this version again", back)
    table.row("all requests", nothing_lost)
    table.row("ledger, verified by this version", verified)
    assert table.end() == 0, table.failed


def test_a_column_that_nobody_fills_stops_the_old_version(
    database: str, running: Running, site: Site, load: Load, tmp_path: Path
) -> None:
    """The contrary: so the rows above can fail, and the linter finds this migration before (tests/upgrade/lint.py)."""
    following = with_column(tmp_path / "next", 'default=""')
    load.after(time.monotonic())
    site.manage(following, "owner", "migrate", "--noinput")
    since = time.monotonic()
    until("writes that fail", lambda: load.failed(since).count("write: 500") >= 3, 120)
    load.end()
    assert load.written(since) == 0
    with pytest.raises(WrongSchema, match="releases_evidence.branch"):
        require_own_schema()
    table = Table()
    table.row("contrary: NOT NULL without a default", lambda: f"{len(load.failed(since))} requests failed (asked: > 2)")
    assert table.end() == 0, table.failed
