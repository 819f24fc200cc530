"""A cache: Redis or Valkey, asked for a PING."""

from collections.abc import Iterable
from typing import ClassVar
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import redis
from django.utils.translation import gettext as _

from environments.connectivity.addresses import Network
from environments.connectivity.base import SECONDS, NotReached, Service, evaluated


class Cache(Service):
    """Sends PING and waits for PONG."""

    kind: ClassVar[str] = "cache"
    schemes: ClassVar[frozenset[str]] = frozenset({"redis", "rediss", "valkey", "valkeys"})

    def reach(self, address: str, listed: Iterable[Network] = ()) -> str:
        """Return that it answers. Raises NotReached."""
        known = "redis" + address[len("valkey") :] if address.startswith("valkey") else address
        try:
            # Values of the query would override the deadline, or name files of this machine.
            parts = urlsplit(known)
            kept = [pair for pair in parse_qsl(parts.query) if pair[0] in ("db", "protocol", "username", "password")]
            known = urlunsplit(parts._replace(query=urlencode(kept)))
            places = evaluated(parts.hostname, parts.port or 6379, listed)
        except ValueError as fault:
            raise NotReached(_("This is not a valid address of a cache.")) from fault
        if parts.scheme == "rediss":  # the name is proved by the certificate, and needed for it
            return self._ping(known)
        for place in places[:-1]:
            try:
                return self._ping(known, place)
            except NotReached:
                continue
        return self._ping(known, places[-1])

    def _ping(self, address: str, place: str = "") -> str:
        try:
            pool = redis.ConnectionPool.from_url(
                address, socket_connect_timeout=SECONDS, socket_timeout=SECONDS, retry=None
            )
            if place:
                pool.connection_kwargs["host"] = place
            with redis.Redis(connection_pool=pool) as client:
                answered = client.ping()
        except redis.InvalidResponse as fault:
            # It would quote what something that is no cache has answered.
            raise NotReached(_("The service at this address is not a cache.")) from fault
        except redis.RedisError as fault:
            raise NotReached(str(fault)) from fault
        except (ValueError, OSError) as fault:
            raise NotReached(_("This is not a valid address of a cache.")) from fault
        if not answered:
            raise NotReached(_("The cache did not answer PING with PONG."))
        return _("The cache answers PING")
