"""The measurements use the databases, people and releases of the tests, and one report for all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from benchmarks.report import Report
from tests import operation_roles
from tests.conftest import acting_as, browsers, database, people, state_folder, template_database  # noqa: F401
from tests.releases.conftest import sample_repository, world, world_template  # noqa: F401


def pytest_configure() -> None:
    """Let one process do the work of all, none of which misses a scheduler or a ledger signer."""
    from django.conf import settings

    settings.HEARTBEAT_TIMEOUT = 0
    operation_roles.in_one_process()


@pytest.fixture(scope="session")
def report(pytestconfig: pytest.Config) -> Iterator[Report]:
    """The rows of all measurements; printed and written when the last one has ended. Fails where a row has failed."""
    made = Report()
    yield made
    made.show()
    made.write(Path(os.environ.get("RINGI_STATE_DIR", "var/bench")) / "report.json")
    if failed := made.failed():
        pytest.fail("not done, or over the target: " + "; ".join(failed), pytrace=False)


@pytest.fixture
def quiet() -> Iterator[None]:
    """Keep the product's own log lines out of the table's way."""
    import logging

    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def children(state_folder: Path, database: str) -> Iterator[Any]:  # noqa: F811
    """Return a function that starts a process of the product on the test's database, as a role; all end with the
    test.
    """
    import subprocess
    import sys

    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str, role: str = "", name: str = "bench") -> subprocess.Popen[bytes]:
        address = database
        if role:
            own = str(conninfo_to_dict(database)["dbname"])
            address = make_conninfo(os.environ[f"DATABASE_{role.upper()}_URL"], dbname=own)
        environment = {
            **os.environ,
            "DATABASE_URL": as_url(address),
            "RINGI_PROCESS": name,
            "RINGI_LOG_LEVEL": "ERROR",
            "PYTHONWARNINGS": "ignore",
        }
        argv = [sys.executable, *arguments]
        log = state_folder / "bench.log"
        with log.open("ab") as out:
            started.append(subprocess.Popen(argv, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out))
        return started[-1]

    yield start
    for child in started:
        child.terminate()
    for child in started:
        try:
            child.wait(15)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def as_url(conninfo: str) -> str:
    from urllib.parse import quote

    parts = conninfo_to_dict(conninfo)
    return (
        f"postgres://{parts['user']}:{quote(str(parts['password']))}@{parts['host']}:{parts['port']}/{parts['dbname']}"
    )
