"""A cache: Redis or Valkey, asked for a PING."""

from __future__ import annotations

from typing import ClassVar
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import redis
from django.utils.translation import gettext as _

from environments.reach.base import SECONDS, Service, Unreached


class Cache(Service):
    """Sends PING and waits for PONG."""

    kind: ClassVar[str] = "cache"
    schemes: ClassVar[frozenset[str]] = frozenset({"redis", "rediss", "valkey", "valkeys"})

    def reach(self, address: str) -> str:
        """Return that it answers. Raises Unreached."""
        known = "redis" + address[len("valkey") :] if address.startswith("valkey") else address
        try:
            # What the query says would win over the deadline.
            parts = urlsplit(known)
            kept = [pair for pair in parse_qsl(parts.query) if not pair[0].startswith(("socket_", "retry", "health_"))]
            known = urlunsplit(parts._replace(query=urlencode(kept)))
            with redis.Redis.from_url(
                known, socket_connect_timeout=SECONDS, socket_timeout=SECONDS, retry=None
            ) as client:
                answered = client.ping()
        except redis.RedisError as fault:
            raise Unreached(str(fault)) from fault
        except (ValueError, OSError) as fault:
            raise Unreached(_("This is no address of a cache.")) from fault
        if not answered:
            raise Unreached(_("There was no PONG."))
        return _("PING is answered")
