"""Remembers answers for a few seconds; called by the routes."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

KEEP = 64


class Cache:
    """At most KEEP answers, each for `seconds`; the one not asked for longest is dropped first."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._answers: OrderedDict[Hashable, tuple[float, Any]] = OrderedDict()
        self._lock = threading.Lock()

    def lookup(self, key: Hashable, load: Callable[[], Any]) -> Any:
        """Return the fresh answer kept for `key`, else the one that `load` gives."""
        with self._lock:
            until, answer = self._answers.get(key, (0.0, None))
            if until > self._clock():
                self._answers.move_to_end(key)
                return answer
        answer = load()
        with self._lock:
            self._answers[key] = (self._clock() + self._seconds, answer)
            self._answers.move_to_end(key)
            while len(self._answers) > KEEP:
                self._answers.popitem(last=False)
        return answer

    def forget(self, key: Hashable) -> None:
        """Drop the answer kept for `key`."""
        with self._lock:
            self._answers.pop(key, None)
