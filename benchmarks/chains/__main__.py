"""`DATABASE=conninfo REDIS_URL=… python -m benchmarks.chains PEER STEPS FILE`: one worker makes the steps one after the
other.

Each step adds the time of its start to FILE, a line each, in seconds.
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable

# Name in the table → module that must be installed, module here.
PEERS = {
    "DBOS": ("dbos", "with_dbos"),
    "Procrastinate": ("procrastinate", "with_procrastinate"),
    "Celery": ("celery", "with_celery"),
    "RQ": ("rq", "with_rq"),
    "RQ, a fork for each job": ("rq", "with_rq_forked"),
}


def stamp(file: str) -> None:
    """Write that a step begins now."""
    with open(file, "a") as lines:
        lines.write(f"{time.time()}\n")


def main(peer: str, steps: int, file: str) -> None:
    """Run the chain with a peer."""
    chain: Callable[[int, str], None] = importlib.import_module(f"benchmarks.chains.{PEERS[peer][1]}").chain
    chain(steps, file)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
