"""The address of PostgreSQL as libpq reads it. Imported by the settings, so it knows none."""

from typing import Any

from psycopg.conninfo import conninfo_to_dict, make_conninfo

# Of several hosts, the one that takes writes.
PRIMARY = {"target_session_attrs": "read-write"}


def several_hosts(url: str) -> dict[str, str]:
    """Return Django's HOST and PORT for an address with several hosts; empty for any other.

    Django's reader of addresses loses a port where not every host has one, and keeps the brackets of IPv6. Raises
    psycopg.ProgrammingError.
    """
    if "," not in url.partition("?")[0].rpartition("@")[2]:
        return {}
    parts = conninfo_to_dict(url.partition("?")[0])
    return {"HOST": str(parts["host"]), "PORT": str(parts.get("port") or "")}


def of_primary(url: str) -> str:
    """Return the parameters of a connection by an address, which finds the primary where it names several hosts."""
    parts: dict[str, Any] = conninfo_to_dict(url)
    found = PRIMARY if "," in str(parts.get("host") or "") else {}
    return make_conninfo("", **found | parts)
