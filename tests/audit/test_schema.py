"""Nothing starts on a schema with which the code cannot work: one sentence says so, and what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from django.db import connection
from psycopg.conninfo import conninfo_to_dict

from audit.schema import WrongSchema, differences, require_own_schema
from config.development.processes import PROJECT
from tests.conftest import _named

COMMANDS = {
    "scheduler": ["manage.py", "scheduler"],
    "worker": ["manage.py", "worker", "production"],
    "signer": ["manage.py", "ledger_signer"],
    "web": ["-c", "import config.wsgi"],
    "live": ["-c", "import config.asgi"],
}
CHANGES = {
    (
        "ALTER TABLE releases_monitoringperiod DROP COLUMN interval_seconds"
    ): "column releases_monitoringperiod.interval_seconds",
    "ALTER TABLE releases_monitoringperiod ADD COLUMN newer int NOT NULL": "column releases_monitoringperiod.newer",
    "DELETE FROM django_migrations WHERE app = 'releases'": "migration releases.0001_initial",
    (
        "INSERT INTO django_migrations (app, name, applied) VALUES ('audit', '0099_outage_newer', now())"
    ): "migration audit.0099_outage_newer",
}
# What the next version adds while this one runs.
EXPANDED = (
    "ALTER TABLE releases_monitoringperiod ADD COLUMN newer int",
    "ALTER TABLE releases_monitoringperiod ADD COLUMN newer int NOT NULL DEFAULT 0",
    "INSERT INTO django_migrations (app, name, applied) VALUES ('audit', '0099_newer', now())",
)


def as_owner(database: str, statement: str) -> None:
    with psycopg.connect(_named(os.environ["DATABASE_OWNER_URL"], str(conninfo_to_dict(database)["dbname"]))) as owner:
        owner.execute(statement)


def test_a_migrated_database_has_no_differences(database: str) -> None:
    assert differences() == []


@pytest.mark.parametrize("statement", CHANGES)
def test_it_names_what_differs(statement: str, database: str) -> None:
    as_owner(database, statement)
    with pytest.raises(WrongSchema, match="manage.py migrate"):
        require_own_schema()
    assert CHANGES[statement] in differences()


@pytest.mark.parametrize("statement", EXPANDED)
def test_it_works_on_a_schema_that_a_later_version_has_expanded(statement: str, database: str) -> None:
    as_owner(database, statement)
    require_own_schema()


def test_no_process_starts_on_another_schema(database: str, tmp_path: Any) -> None:
    connection.close()
    as_owner(database, "ALTER TABLE releases_monitoringperiod DROP COLUMN interval_seconds")
    address = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{conninfo_to_dict(database)['dbname']}").geturl()
    environment = os.environ | {"DATABASE_URL": address, "RINGI_STATE_DIR": str(tmp_path)}
    started = {
        name: subprocess.Popen(
            [sys.executable, *words], cwd=PROJECT, env=environment, stderr=subprocess.PIPE, text=True
        )
        for name, words in COMMANDS.items()
    }
    try:
        for name, process in started.items():
            _out, said = process.communicate(timeout=60)
            assert process.returncode == 1 and "another schema than this version" in said.splitlines()[-1], (name, said)
            assert name in ("web", "live") or "Traceback" not in said, (name, said)
    finally:
        for process in started.values():
            process.kill()
            process.wait()
