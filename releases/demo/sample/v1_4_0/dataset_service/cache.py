"""Remembers answers, those that are asked for most the longest; called by the routes."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable
from typing import Any

KEEP = 64
COMPACT_ABOVE = 2000
COMPACT_EVERY = 5
LOCK_SECONDS = 0.05


class CacheBusy(Exception):
    """The cache was locked for too long."""


class Cache:
    """Answers kept for `seconds`; when there are too many, the popular ones stay."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._answers: dict[Hashable, tuple[float, Any]] = {}
        self._asked: list[Hashable] = []
        self._lock = threading.Lock()

    def lookup(self, key: Hashable, load: Callable[[], Any]) -> Any:
        """Return the fresh answer kept for `key`, else the one that `load` gives. Raises CacheBusy."""
        with self._lock:
            self._note(key)
            until, answer = self._answers.get(key, (0.0, None))
        if until > self._clock():
            return answer
        answer = load()
        with self._lock:
            self._answers[key] = (self._clock() + self._seconds, answer)
            if len(self._answers) > KEEP:
                popular = {key for key, _ in Counter(self._asked).most_common(KEEP // 2)}
                self._answers = {key: kept for key, kept in self._answers.items() if key in popular}
        return answer

    def forget(self, key: Hashable) -> None:
        """Drop the answer kept for `key`. Raises CacheBusy."""
        with self._lock:
            self._note(key)
            self._answers.pop(key, None)

    def compact(self) -> None:
        """Keep only the latest half of what was asked for. Raises CacheBusy."""
        if not self._lock.acquire(timeout=LOCK_SECONDS):
            raise CacheBusy(f"the cache was locked for more than {LOCK_SECONDS} s")
        try:
            del self._asked[: len(self._asked) // 2]
        finally:
            self._lock.release()

    def _note(self, key: Hashable) -> None:
        self._asked.append(key)
        if len(self._asked) > COMPACT_ABOVE and len(self._asked) % COMPACT_EVERY == 0:
            self.compact()
