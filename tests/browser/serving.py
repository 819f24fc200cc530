"""The web server as people reach it: gunicorn in a process of its own, on the database of one test."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import quote

from psycopg.conninfo import conninfo_to_dict

from config.development import processes
from config.development.rows import live


def database_url(address: str) -> str:
    """Return a database's address as libpq writes it as a URL, which is what the settings read."""
    parts = {key: quote(str(value), safe="") for key, value in conninfo_to_dict(address).items()}
    return "postgres://{user}:{password}@{host}:{port}/{dbname}".format(**parts)


@contextmanager
def serving(database: str, log: Path, *, workers: int = 1, **settings: str) -> Iterator[str]:
    """Serve the product on a database and yield its address; static files must have been collected.

    Pages have their stream of changes, unless settings give another address for it, or none.
    """
    with ExitStack() as ends:
        # The sockets listen since before the servers began, so that a first request waits instead of being refused.
        listening, streaming = (ends.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2))
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        stream = f"http://127.0.0.1:{streaming.getsockname()[1]}/live/"
        environment = {**os.environ, "DATABASE_URL": database_url(database), "RINGI_BASE_URL": address}
        # Neither scheduler nor workers run beside it.
        environment |= {
            "RINGI_LOG_LEVEL": "WARNING",
            "RINGI_PROCESS": "browser",
            "RINGI_HEARTBEAT_TIMEOUT": "0",
            "RINGI_LIVE_URL": stream,
            **settings,
        }
        argv = [sys.executable, "-m", "gunicorn", "config.wsgi", "--bind", f"fd://{listening.fileno()}"]
        argv += ["--workers", str(workers), "--threads", "4", "--graceful-timeout", "1", "--no-control-socket"]
        started = [(argv, listening)]
        if environment["RINGI_LIVE_URL"] == stream:
            started.append(([*live(streaming.fileno())], streaming))
        for command, listener in started:
            server = processes.spawn(command, environment=environment, log=log, pass_fds=(listener.fileno(),))
            ends.callback(processes.stop, server, (signal.SIGTERM, signal.SIGKILL))
            listener.close()
        yield address
