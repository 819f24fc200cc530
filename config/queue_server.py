"""The address of Redis: REDIS_URL itself, or the present master from the sentinels that it names.

Behind sentinels it is `redis+sentinel://user:password@host:26379,other:26379/MASTER/0`, or `rediss+sentinel://` where
all of them speak TLS. Imported by the settings, so it knows none.
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

from environments.queues import OWN_QUEUES

SCHEMES = ("redis+sentinel://", "rediss+sentinel://")
SENTINEL_PORT = 26379
# Of the questions to the sentinels: one that is down costs no more than this.
ASK_SECONDS = 1.0
# As the client's own defaults for a plain address.
ANSWER_SECONDS = 5.0


class Queues(dict[str, dict[str, Any]]):
    """RQ_QUEUES: all queues lie on one server, also those of environments that a procedure adds later."""

    def __missing__(self, name: str) -> dict[str, Any]:
        """Return the settings that each queue has."""
        return self[OWN_QUEUES[0]]


class NoAddress(ValueError):
    """The text is not an address of sentinels; the message shows the form."""


@dataclass(frozen=True)
class Behind:
    """The parts of an address of sentinels: hosts, the master's name, its database and account, and whether by TLS."""

    sentinels: tuple[tuple[str, int], ...]
    master: str
    db: int
    username: str | None
    password: str | None
    tls: bool
    own_password: str | None

    @property
    def sentinel_options(self) -> dict[str, Any]:
        """Return how the sentinels themselves are spoken to."""
        own = {"password": self.own_password} if self.own_password else {}
        spans = {"socket_timeout": ASK_SECONDS, "socket_connect_timeout": ASK_SECONDS}
        # Its own ten tries would cost four seconds for each question to a sentinel that is down.
        return own | spans | {"ssl": self.tls, "retry": Retry(NoBackoff(), 0)}

    @property
    def master_options(self) -> dict[str, Any]:
        """Return how the master is spoken to, beside its account and database."""
        return {"ssl": self.tls, "socket_connect_timeout": ANSWER_SECONDS, "socket_keepalive": True}


def behind(url: str, own_password: str = "") -> Behind | None:
    """Read an address of sentinels; None for any other. own_password: that of the sentinels. Raises NoAddress."""
    if not url.startswith(SCHEMES):
        return None
    account, _at, rest = url.partition("://")[2].rpartition("@")
    hosts, *path = rest.split("/")
    user, _colon, password = account.partition(":")
    try:
        sentinels = tuple(_host(one) for one in hosts.split(","))
        master, db = unquote(path[0]), int(path[1]) if len(path) > 1 else 0
        if len(path) > 2 or not master:
            raise ValueError(rest)
    except (ValueError, IndexError):
        raise NoAddress("sentinels are named as redis+sentinel://user:password@host:26379,other:26379/MASTER/0")
    tls = url.startswith("rediss")
    return Behind(sentinels, master, db, unquote(user) or None, unquote(password) or None, tls, own_password or None)


def _host(text: str) -> tuple[str, int]:
    name, colon, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    name, port = (name, port) if colon else (text, str(SENTINEL_PORT))
    if not name.strip("[]"):
        raise ValueError(text)
    return name.strip("[]"), int(port)


def queue_settings(url: str, own_password: str = "") -> dict[str, Any]:
    """Return the part of RQ_QUEUES that names the server, in django-rq's own keys."""
    found = behind(url, own_password)
    if found is None:
        return {"URL": url}
    return {
        "SENTINELS": list(found.sentinels),
        "MASTER_NAME": found.master,
        "DB": found.db,
        "USERNAME": found.username,
        "PASSWORD": found.password,
        # Left out it would be none: a server that vanished would be waited for as long as TCP does.
        "SOCKET_TIMEOUT": ANSWER_SECONDS,
        "CONNECTION_KWARGS": found.master_options,
        "SENTINEL_KWARGS": found.sentinel_options,
    }


def pool(url: str, own_password: str = "", **options: Any) -> redis.ConnectionPool:
    """Return connections to the server, or to whichever is the master when they are made; options are a
    connection's.
    """
    found = behind(url, own_password)
    if found is None:
        return redis.ConnectionPool.from_url(url, **options)
    who = {"db": found.db, "username": found.username, "password": found.password}
    asked = Sentinel(list(found.sentinels), sentinel_kwargs=found.sentinel_options)  # type: ignore[no-untyped-call]
    named: Any = SentinelConnectionPool
    made: redis.ConnectionPool = named(found.master, asked, **who, **found.master_options | options)
    return made


def client(url: str, own_password: str = "", **options: Any) -> redis.Redis:
    """Return a client of the server, or of whichever is the master when it connects."""
    return redis.Redis(connection_pool=pool(url, own_password, **options))


class CachePool:
    """The pool of Django's cache, which knows one by its `from_url` alone."""

    from_url = staticmethod(pool)
