"""The scratch database into which a dump is restored is dropped, whatever sessions use it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from environments.targets.database import Database, scratch

SLOW = "autovacuum_vacuum_threshold = 1, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_cost_delay = 100"


@pytest.fixture
def eager_autovacuum() -> Iterator[psycopg.Connection]:
    """A superuser's connection to a server that looks for rows to vacuum every second."""
    with psycopg.connect(os.environ["DATABASE_SERVER_URL"], autocommit=True) as server:
        server.execute("ALTER SYSTEM SET autovacuum_naptime = '1s'")
        server.execute("SELECT pg_reload_conf()")
        yield server
        server.execute("ALTER SYSTEM RESET autovacuum_naptime")
        server.execute("SELECT pg_reload_conf()")


def test_the_scratch_database_is_dropped_despite_autovacuum_and_an_own_session(
    new_database: Callable[[], str], eager_autovacuum: psycopg.Connection
) -> None:
    """A role without superuser rights may not end autovacuum, so DROP … WITH (FORCE) is refused to it."""
    address, name = new_database(), f"scratch_{uuid4().hex[:12]}"
    url = "postgresql://{user}:{password}@{host}:{port}/{dbname}".format(**conninfo_to_dict(address))
    working = "SELECT count(*) FROM pg_stat_progress_vacuum WHERE datname = %s AND relid = %s"
    with scratch(Database(url), name), psycopg.connect(make_conninfo(address, dbname=name), autocommit=True) as own:
        own.execute(f"CREATE TABLE t (i int) WITH ({SLOW}, autovacuum_vacuum_cost_limit = 1)")
        own.execute("INSERT INTO t SELECT generate_series(1, 100000)")
        own.execute("DELETE FROM t")
        table = own.execute("SELECT 't'::regclass::oid").fetchone()
        assert table is not None
        until = time.monotonic() + 120
        while eager_autovacuum.execute(working, [name, *table]).fetchone() == (0,):
            assert time.monotonic() < until, "autovacuum does not come"
            time.sleep(0.1)
        refused = psycopg.connect(address, autocommit=True)
        with refused, pytest.raises(psycopg.errors.InsufficientPrivilege):
            refused.execute(f"DROP DATABASE {name} WITH (FORCE)")
        held = psycopg.connect(make_conninfo(address, dbname=name), autocommit=True)
    with held, pytest.raises(psycopg.OperationalError):
        held.execute("SELECT 1")
    left = eager_autovacuum.execute("SELECT count(*) FROM pg_database WHERE datname = %s", [name]).fetchone()
    assert left == (0,)
