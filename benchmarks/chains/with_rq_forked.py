"""RQ as it works by default: a fork for each job."""

from __future__ import annotations

from rq import Worker

from benchmarks.chains import with_rq


def chain(steps: int, file: str) -> None:
    """Work as with_rq does, in forks."""
    with_rq.chain(steps, file, Worker)
