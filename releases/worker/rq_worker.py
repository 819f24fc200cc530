"""The RQ worker: one queue per process; a job's child dies with its parent and holds no connection of it."""

from __future__ import annotations

import ctypes
import os
import signal
from typing import Any

from django.db import connections
from rq import Worker

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent ends, and end at once if that has happened."""
    parent = os.getppid()
    if _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent:
        os._exit(1)


class RingiWorker(Worker):
    """RQ's worker with three rules: no orphan, no shared connection, no more than one queue."""

    def __init__(self, queues: Any, *args: Any, **options: Any) -> None:
        super().__init__(queues, *args, **options)
        if len(self.queues) != 1:
            raise ValueError("a worker takes one queue; with more, a killed one can lose a job for ever")

    def execute_job(self, *args: Any, **options: Any) -> Any:
        """Close this process's connections before the fork, so that the child opens its own."""
        connections.close_all()
        return super().execute_job(*args, **options)

    def main_work_horse(self, *args: Any, **options: Any) -> None:
        """Run one job in the child."""
        die_with_parent()
        connections.close_all()
        super().main_work_horse(*args, **options)
