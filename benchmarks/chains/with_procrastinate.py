"""Procrastinate: jobs in PostgreSQL, each defers the next."""

from __future__ import annotations

import os

from procrastinate import App, PsycopgConnector, SyncPsycopgConnector

from benchmarks.chains.__main__ import stamp

app = App(connector=PsycopgConnector(conninfo=os.environ["DATABASE"]))


@app.task(queue="chain")
def job(left: int, file: str) -> None:
    """Say when, and defer what is left."""
    stamp(file)
    if left > 1:
        job.defer(left=left - 1, file=file)


def chain(steps: int, file: str) -> None:
    """Make the tables, defer the first job and work until none is left."""
    with App(connector=SyncPsycopgConnector(conninfo=os.environ["DATABASE"])).open() as making:
        making.schema_manager.apply_schema()
    with app.replace_connector(SyncPsycopgConnector(conninfo=os.environ["DATABASE"])) as sending, sending.open():
        job.defer(left=steps, file=file)
    app.run_worker(queues=["chain"], wait=False, install_signal_handlers=False)
