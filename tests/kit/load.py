"""Asks pages from several threads until its input ends, and prints as JSON how they were answered."""

from __future__ import annotations

import collections
import json
import sys
import threading
import time

import httpx

THREADS = 4
PATHS = ("/health/", "/account/login/")


def ask(address: str, end: threading.Event) -> dict[str, int]:
    """Return how many requests had each answer, a status or the fault of the connection, and the slowest in ms."""
    seen: collections.Counter[str] = collections.Counter()
    took: list[float] = [0.0]
    held = threading.Lock()

    def one(number: int) -> None:
        with httpx.Client(base_url=address, timeout=120) as client:
            while not end.is_set():
                began = time.monotonic()
                try:
                    answer = str(client.get(PATHS[number % len(PATHS)]).status_code)
                except httpx.HTTPError as fault:
                    answer = type(fault).__name__
                with held:
                    seen[answer] += 1
                    took.append(time.monotonic() - began)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    end.wait()
    for thread in threads:
        thread.join()
    return {**seen, "slowest": round(1000 * max(took))}


if __name__ == "__main__":
    over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    print(json.dumps(ask(sys.argv[1], over)))
