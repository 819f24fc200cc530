"""The rate limit of a token: a counter per token and span in Redis. A Redis fault never makes the API fail."""

import logging
import time

from django.conf import settings
from django.core.cache import caches
from django.http import HttpRequest
from ninja.throttling import BaseThrottle
from redis.exceptions import RedisError

log = logging.getLogger(__name__)
SPANS = {"s": 1, "m": 60, "h": 3600}
_PAUSE = 5.0


class TokenRate(BaseThrottle):
    """Counts the calls of each token in spans of API_RATE_LIMIT (`120/m`). Without Redis, logs and counts nothing."""

    def __init__(self) -> None:
        self._unresponsive_until = 0.0

    def allow_request(self, request: HttpRequest) -> bool:
        """Count this call and tell whether it is still within the rate."""
        limit, span = parsed(settings.API_RATE_LIMIT)
        if time.monotonic() < self._unresponsive_until:
            return True
        key = f"api:{request.auth.pk}:{span}:{int(time.time() // span)}"  # type: ignore[attr-defined]
        try:
            rates = caches["rates"]
            rates.add(key, 0, timeout=2 * span)
            count = rates.incr(key)
        except (RedisError, OSError, ValueError) as fault:
            # Asked again after a pause only: a dead Redis must not cost each call its timeout.
            self._unresponsive_until = time.monotonic() + _PAUSE
            log.warning("calls are not counted for %.0f s: %s", _PAUSE, fault)
            return True
        return int(count) <= limit

    def wait(self) -> float:
        """Return the seconds until the next span."""
        _limit, span = parsed(settings.API_RATE_LIMIT)
        return max(1.0, span - time.time() % span)


def parsed(rate: str) -> tuple[int, int]:
    """Return (calls, seconds) of a rate such as `120/m`. Raises ValueError."""
    count, _slash, unit = rate.partition("/")
    return int(count), SPANS[unit]
