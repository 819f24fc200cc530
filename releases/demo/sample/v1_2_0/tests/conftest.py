"""Gives the tests a schema of their own (DATASET_TEST_DATABASE_URL) and a running server."""

import http.client
import json
import os
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from dataset_service import keys, migrate, settings  # noqa: E402
from dataset_service.answers import Parts  # noqa: E402
from dataset_service.app import Application  # noqa: E402
from dataset_service.cache import Cache  # noqa: E402
from dataset_service.counters import Counters  # noqa: E402
from dataset_service.journal import Journal  # noqa: E402
from dataset_service.server import Server  # noqa: E402
from dataset_service.store import Store  # noqa: E402


@pytest.fixture
def url() -> Iterator[str]:
    """The address of an empty schema."""
    base = os.environ["DATASET_TEST_DATABASE_URL"]
    schema = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(base, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}")
        yield f"{base}{'&' if '?' in base else '?'}options=-csearch_path%3D{schema}"
        connection.execute(f"DROP SCHEMA {schema} CASCADE")


@pytest.fixture
def migrated(url: str) -> str:
    """The address of a schema that had every migration."""
    migrate.migrate(url, pause=0, report=lambda line: None)
    return url


@pytest.fixture
def config(url: str, tmp_path: Path) -> Path:
    """A configuration file with every required key; the port is one that the system chooses."""
    values = {"DATABASE_URL": url, "PORT": "0", "LOG": tmp_path / "app.log", "MAINTENANCE": tmp_path / "flag"}
    values = {**dict.fromkeys(keys.REQUIRED, "10"), **values, "BATCH_PAUSE": "0"}
    path = tmp_path / "config.env"
    path.write_text("".join(f'{key}="{value}"\n' for key, value in values.items()))
    return path


class Client:
    """Talks to a running server over one connection; `log` and `flag` are its files."""

    def __init__(self, port: int, folder: Path) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        self.log, self.flag = folder / "app.log", folder / "flag"

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Return status and content of one request."""
        sent = json.dumps(body).encode() if isinstance(body, dict) else body
        self.connection.request(method, path, sent)
        answer = self.connection.getresponse()
        content = answer.read().decode()
        kind = answer.getheader("Content-Type", "")
        return answer.status, json.loads(content) if kind == "application/json" else content


@pytest.fixture
def serving(config: Path, tmp_path: Path) -> Iterator[Callable[[str], Client]]:
    """Starts servers in threads for the database at an address."""
    started: list[tuple[Server, Store, Journal, threading.Thread]] = []

    def start(address: str) -> Client:
        store, journal = Store(address), Journal(tmp_path / "app.log")
        parts = Parts(store, Cache(60), settings.read(config))
        server = Server(("127.0.0.1", 0), Application(parts, Counters(4), journal, tmp_path / "flag"))
        store.open()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        started.append((server, store, journal, thread))
        return Client(server.server_port, tmp_path)

    yield start
    for server, store, journal, thread in started:
        server.shutdown()
        thread.join()
        server.server_close()
        store.close()
        journal.close()


@pytest.fixture
def client(serving: Callable[[str], Client], migrated: str) -> Client:
    """A client of a server with a migrated database."""
    return serving(migrated)
