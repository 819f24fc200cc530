"""Celery: tasks over Redis in one worker process, each sends the next."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from celery import Celery

from benchmarks.chains.__main__ import stamp

app = Celery("chain", broker=os.environ["REDIS_URL"], backend=os.environ["REDIS_URL"])
app.conf.broker_connection_retry_on_startup = True


@app.task
def job(left: int, file: str) -> None:
    """Say when, and send what is left."""
    stamp(file)
    if left > 1:
        job.delay(left - 1, file)


def chain(steps: int, file: str) -> None:
    """Start a worker, send the first task, and end the worker when the last has begun."""
    words = ["-m", "celery", "-A", "benchmarks.chains.with_celery", "worker", "--pool", "solo", "--loglevel", "ERROR"]
    worker = subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        job.delay(steps, file)
        until, stamps = time.monotonic() + 60, Path(file)
        while time.monotonic() < until and (not stamps.exists() or len(stamps.read_text().splitlines()) < steps):
            time.sleep(0.2)
    finally:
        worker.terminate()
        worker.wait()
