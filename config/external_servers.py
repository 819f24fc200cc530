"""PostgreSQL and Redis that the environment names, instead of embedded ones."""

import os
from collections.abc import Callable
from pathlib import Path

import psycopg
import redis
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from audit.primary import hosts
from config.postgresql.address import of_primary
from config.queue_server import client
from config.secret_files import Unavailable
from config.servers import Servers

DEMO_MARK = "ringi demo: may be emptied"


def external_servers(fresh: bool, programs: Callable[[], Path]) -> Servers | None:
    """Return the servers that DATABASE_URL and REDIS_URL name, once both answer; None when neither is set.

    fresh: the database is to be emptied; programs: where PostgreSQL's own are when POSTGRES_BIN is not set. Raises
    Unavailable.
    """
    urls = {name: os.environ.get(name, "") for name in ("DATABASE_URL", "REDIS_URL")}
    if not any(urls.values()):
        return None
    if missing := [name for name, url in urls.items() if not url]:
        raise Unavailable(f"{missing[0]} is not set, the other is; set both, or neither for embedded servers")
    urls["DATABASE_OWNER_URL"] = os.environ.get("DATABASE_OWNER_URL") or urls["DATABASE_URL"]
    for name, url in urls.items():
        try:
            if name == "REDIS_URL":
                where = url.partition("://")[2].rpartition("@")[2].partition("/")[0]
                client(url, os.environ.get("RINGI_SENTINEL_PASSWORD", ""), socket_connect_timeout=5).ping()
                continue
            if not url.startswith(("postgres://", "postgresql://")):
                raise ValueError(url)
            place = conninfo_to_dict(url)
            where = ", ".join(f"{one['host']}:{one['port'] or 'default port'}" for one in hosts(place))
            with psycopg.connect(of_primary(url), connect_timeout=5) as connection:
                version = connection.info.server_version
        except (psycopg.OperationalError, redis.RedisError) as error:
            raise Unavailable(f"{name}: {where} does not answer: {str(error).splitlines()[0]}")
        except (psycopg.Error, ValueError):
            raise Unavailable(f"{name} is not an address such as postgres://user:password@host:port/name")
        if version < 150000:
            raise Unavailable(f"{name}: {where} is PostgreSQL {version // 10000}; at least 15 is needed")
        if fresh and name == "DATABASE_OWNER_URL":
            _empty(of_primary(url), str(conninfo_to_dict(urls["DATABASE_URL"]).get("user", "")))
    owner_url = urls["DATABASE_OWNER_URL"]
    server_url = os.environ.get("DATABASE_SERVER_URL") or owner_url
    roles = [
        os.environ.get(f"DATABASE_{role}_URL") or urls["DATABASE_URL"]
        for role in ("WORKER", "SCHEDULER", "LEDGER_SIGNER", "AUDITOR")
    ]
    return Servers(
        owner_url,
        urls["DATABASE_URL"],
        urls["REDIS_URL"],
        Path(os.environ.get("POSTGRES_BIN") or programs()),
        server_url,
        *roles,
    )


def _empty(url: str, app_role: str) -> None:
    """Empty an external database, which can't be dropped; one with tables that no demo made is refused."""
    with psycopg.connect(url) as owner:
        found = owner.execute(
            "SELECT shobj_description(oid, 'pg_database'), EXISTS (SELECT FROM pg_tables"
            " WHERE schemaname = 'public') FROM pg_database WHERE datname = current_database()"
        ).fetchone()
        if not found or (found[0] != DEMO_MARK and found[1]):
            raise Unavailable("DATABASE_URL: the demo empties its database, this one holds tables; name another")
        name, role = sql.Identifier(owner.info.dbname), sql.Identifier(app_role)
        owner.execute("DROP SCHEMA public CASCADE")
        owner.execute("CREATE SCHEMA public")
        owner.execute(sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(role))
        owner.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(name, sql.Literal(DEMO_MARK)))
