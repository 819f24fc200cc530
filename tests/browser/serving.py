"""The web server as people reach it: gunicorn in a process of its own, on the database of one test."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from psycopg.conninfo import conninfo_to_dict

from config.development import processes


def database_url(address: str) -> str:
    """Return a database's address as libpq writes it as a URL, which is what the settings read."""
    parts = {key: quote(str(value), safe="") for key, value in conninfo_to_dict(address).items()}
    return "postgres://{user}:{password}@{host}:{port}/{dbname}".format(**parts)


@contextmanager
def serving(database: str, log: Path, **settings: str) -> Iterator[str]:
    """Serve the product on a database and yield its address; static files must have been collected."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        address = f"http://127.0.0.1:{port}"
        environment = {**os.environ, "DATABASE_URL": database_url(database), "RINGI_BASE_URL": address}
        # Neither scheduler nor workers run beside it.
        environment |= {
            "RINGI_LOG_LEVEL": "WARNING",
            "RINGI_PROCESS": "browser",
            "RINGI_HEARTBEAT_TIMEOUT": "0",
            **settings,
        }
        argv = [sys.executable, "-m", "gunicorn", "config.wsgi", "--bind", f"fd://{listening.fileno()}"]
        argv += ["--workers", "1", "--threads", "4", "--graceful-timeout", "1", "--no-control-socket"]
        server = processes.spawn(argv, environment=environment, log=log, pass_fds=(listening.fileno(),))
    # The socket listens since before the server began, so that a first request waits instead of being refused.
    try:
        yield address
    finally:
        processes.stop(server, (signal.SIGTERM, signal.SIGKILL))
