"""PostgreSQL under an address with several hosts: libpq connects to the host that takes writes.

A former primary that was started on its own takes writes as well, but its timeline is older: each promotion begins the
next one. So a process remembers the newest timeline in its state folder, and uses no server with an older one.
"""

import fcntl
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from audit.private_files import as_its_folder, make_folder, write_private

MEMORY = "postgresql.json"
# Any role may ask. A restored or upgraded cluster that was made by initdb has another identifier.
ORIGIN = (
    "SELECT system_identifier::text, ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int"
    " FROM pg_control_system()"
)


def hosts(parameters: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return host and port of each server that the parameters of a connection name, in their order."""
    names, ports = (str(parameters.get(key) or "").split(",") for key in ("host", "port"))
    return [{"host": name, "port": port} for name, port in zip(names, ports * len(names), strict=False)]


def without(parameters: Mapping[str, Any], host: str, port: int) -> dict[str, Any]:
    """Return the parameters without one server; no host is left when it was the only one."""
    kept = [one for one in hosts(parameters) if (one["host"], int(one["port"] or 5432)) != (host, port)]
    return {**parameters, **{key: ",".join(one[key] for one in kept) for key in ("host", "port")}}


def outdated(connection: Any, folder: Path) -> str:
    """Return why the server of a new connection is a former primary; "" when it is the present one, which the folder
    remembers then.
    """
    system, timeline = connection.execute(ORIGIN).fetchone()
    connection.rollback()
    newest = _newest(folder, system)
    if timeline > newest:
        make_folder(folder)
        with (folder / f"{MEMORY}.lock").open("a") as lock:  # other processes and threads of this account
            as_its_folder(lock.fileno(), folder)
            fcntl.flock(lock, fcntl.LOCK_EX)
            newest = _newest(folder, system)
            if timeline > newest:
                write_private(folder / MEMORY, json.dumps({"system": system, "timeline": timeline}))
    if timeline < newest:
        return f"it is on timeline {timeline}, and timeline {newest} has begun ({folder / MEMORY})"
    return ""


def _newest(folder: Path, system: str) -> int:
    file = folder / MEMORY
    known = json.loads(file.read_text("utf-8")) if file.exists() else {}
    return int(known["timeline"]) if known.get("system") == system else 0
