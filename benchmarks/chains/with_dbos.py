"""DBOS: a workflow whose steps are kept in PostgreSQL."""

from __future__ import annotations

import os

from dbos import DBOS, DBOSConfig
from psycopg.conninfo import conninfo_to_dict

from benchmarks.chains.__main__ import stamp


@DBOS.step()
def step(file: str) -> None:
    """Do nothing but say when."""
    stamp(file)


@DBOS.workflow()
def workflow(steps: int, file: str) -> None:
    """Make the steps one after the other."""
    for _ in range(steps):
        step(file)


def chain(steps: int, file: str) -> None:
    """Run the workflow in this process."""
    parts = conninfo_to_dict(os.environ["DATABASE"])
    place = f"{parts['user']}:{parts['password']}@{parts['host']}:{parts['port']}/{parts['dbname']}"
    config: DBOSConfig = {
        "name": "chain",
        "system_database_url": f"postgresql+psycopg://{place}",
        "run_admin_server": False,
        "log_level": "ERROR",
    }
    DBOS(config=config)
    DBOS.launch()
    workflow(steps, file)
    DBOS.destroy()
