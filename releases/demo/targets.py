"""The demo's targets: real folders, databases and processes from before Ringi's first deployment."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import psycopg
from psycopg import sql

from config.development.ports import free_port
from environments.targets.base import StepContext, TargetSpec, Version
from environments.targets.measured import Measured, measure
from environments.targets.processes import start_time
from environments.targets.service_proof import running_service
from environments.targets.target import journal_lines
from releases.demo.repository import Built
from releases.step_types.code_deploy import CodeDeploy
from releases.step_types.configuration_update import ConfigurationUpdate
from releases.step_types.service_control import ServiceControl, stop_service

ENVIRONMENTS = ("development", "staging", "production")
ROWS = {"development": 200, "staging": 200, "production": 3000}


def server_url() -> str:
    """Return the address of a PostgreSQL server that accepts new databases."""
    return os.environ.get("DATABASE_SERVER_URL") or os.environ.get("DATABASE_OWNER_URL") or os.environ["DATABASE_URL"]


@dataclass
class Place:
    """One target: its environment, folder, port and database."""

    environment: str
    root: Path
    port: int
    database_url: str
    scratch_url: str

    @property
    def base_url(self) -> str:
        """Return the sample's base address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def settings(self) -> dict[str, Any]:
        """Return the target's options as Ringi stores them."""
        deployment = [sys.executable, "{tree}/run.py"]
        return {
            "service": {
                "start": [*deployment, "serve", "--config", "{config}"],
                "stop_seconds": 10,
                "ready": {"url": f"{self.base_url}/health", "seconds": 20},
                "version": {"url": f"{self.base_url}/health", "json_path": "version"},
            },
            "migrate": [*deployment, "migrate", "--config", "{config}"],
            "migrate_check": [*deployment, "migrate", "--check", "--config", "{config}"],
            "postgres_bin": os.environ.get("POSTGRES_BIN", ""),
            "urls": {"base": self.base_url},
            "metrics_url": f"{self.base_url}/metrics",
            "log": "shared/app.log",
        }

    def values(self, **more: str) -> dict[str, str]:
        """Return the plain configuration values of a version."""
        return {
            "PORT": str(self.port),
            "LOG": str(self.root / "shared" / "app.log"),
            "MAINTENANCE": str(self.root / "shared" / "maintenance"),
            "BATCH_PAUSE": "0.2" if self.environment == "production" else "0",
            "CACHE_SECONDS": "5",
            **more,
        }

    @property
    def spec(self) -> TargetSpec:
        """Return the target as the step types take it."""
        return TargetSpec("datasets", self.environment, self.root, self.settings)

    def measure(self) -> Measured:
        """Measure code, configuration and data on the target itself."""
        return measure(self.spec, {"DATABASE_URL": self.database_url})

    def journal(self, **which: str) -> list[dict[str, Any]]:
        """Return lines of the target's own journal."""
        return journal_lines(self.spec, **which)  # type: ignore[arg-type]

    def health(self) -> dict[str, Any]:
        """Return the running service's health answer; empty without an answer."""
        try:
            return dict(httpx.get(f"{self.base_url}/health", timeout=3).json())
        except (httpx.HTTPError, ValueError):
            return {}

    def query(self, text: str) -> list[tuple[Any, ...]]:
        """Ask the target's own database."""
        with psycopg.connect(self.database_url) as connection:
            return connection.execute(text.encode()).fetchall()

    def stop(self) -> None:
        """Stop the service, by the pid and start time in the target's records."""
        if found := running_service(self.root):
            stop_service(found, 5, lambda: None)


def own_database(name: str) -> str:
    """Create a role and an empty database that it owns; return its address."""
    role, password = f"sample_{name}", secrets.token_urlsafe(12)
    named = sql.Identifier(role)
    with psycopg.connect(server_url(), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(named))
        connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(named))
        create = sql.SQL("CREATE ROLE {} LOGIN CREATEDB PASSWORD {}")
        connection.execute(create.format(named, sql.Literal(password)))
        connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(named))
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0").format(named, named))
        place = f"{connection.info.host or '127.0.0.1'}:{connection.info.port}"
    return f"postgresql://{role}:{password}@{place}/{role}"


def make(state: Path) -> dict[str, Place]:
    """Create folder, role and database of each target."""
    places: dict[str, Place] = {}
    for name in ENVIRONMENTS:
        url = own_database(name)
        root = state / "targets" / name
        root.mkdir(parents=True)
        places[name] = Place(name, root, free_port(), url, url)
    return places


def lay_first(place: Place, built: Built, version: str = "1.2.0") -> None:
    """Deploy a version to a target without Ringi: tree, configuration, schema, rows, running service."""
    tag = f"v{version}"
    wanted = Version(version, tag, built.commits[tag], built.trees[tag])
    values = place.values() | {"DATABASE_URL": place.database_url, "SCRATCH_DATABASE_URL": place.scratch_url}

    def context(key: str) -> StepContext:
        return StepContext(
            key=f"before-ringi/{key}",
            fencing_token=1,
            deployment_key="before-ringi",
            target=place.spec,
            repository=str(built.path),
            wanted=wanted,
            previous=None,
            configuration=values,
            previous_configuration={},
            earlier={},
            deadline_seconds=60,
            output=lambda chunk: None,
            heartbeat=lambda: None,
        )

    for kind, given in (
        (CodeDeploy(), {"direction": "deployment"}),
        (ConfigurationUpdate(), {"direction": "deployment"}),
    ):
        kind.run(context(kind.name), kind.parameters.model_validate(given))
    config = str(place.root / "shared" / "config.env")
    for words in (["migrate"], ["seed", "--rows", str(ROWS[place.environment]), "--seed", "7"]):
        subprocess.run(
            [sys.executable, str(place.root / "current" / "run.py"), *words, "--config", config],
            check=True,
            capture_output=True,
            stdin=subprocess.DEVNULL,
        )
    service = ServiceControl()
    service.run(context("service"), service.parameters.model_validate({"action": "start"}))


def clean(state: Path) -> None:
    """End the sample's processes and load generators of this or an earlier demo, by pid and start time."""
    for root in sorted((state / "targets").glob("*")):
        if found := running_service(root):
            stop_service(found, 5, lambda: None)
    for note in sorted((state / "targets").glob("*.load.json")):
        recorded = json.loads(note.read_text())
        if start_time(recorded["pid"]) == recorded["started"]:
            os.kill(recorded["pid"], signal.SIGTERM)
        note.unlink()


class Load:
    """The load generator for production, as a process of its own."""

    def __init__(
        self, state: Path, place: Place, name: str, *, rate: int, seconds: int, write_share: float = 0.02
    ) -> None:
        self.note = state / "targets" / f"{name}.load.json"
        self.report = state / f"{name}.json"
        words = ["--base-url", place.base_url, "--rate", str(rate), "--seconds", str(seconds)]
        words += ["--write-share", str(write_share), "--report", str(self.report)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "releases.demo.load", *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        self.note.write_text(json.dumps({"pid": self.process.pid, "started": start_time(self.process.pid)}))

    def end(self) -> dict[str, Any]:
        """Stop the traffic; return the counts of its report."""
        self.process.terminate()
        self.process.wait(timeout=20)
        self.note.unlink(missing_ok=True)
        return dict(json.loads(self.report.read_text())) if self.report.exists() else {}


def third_wednesday(after: datetime) -> datetime:
    """Return the next 3rd Wednesday 01:00 Asia/Tokyo after a time, by counting days."""
    zone = ZoneInfo("Asia/Tokyo")
    day = after.astimezone(zone).replace(hour=1, minute=0, second=0, microsecond=0)
    while True:
        if day > after and day.weekday() == 2 and 15 <= day.day <= 21:
            return day
        day += timedelta(days=1)


def emptied(path: Path) -> Path:
    """Empty the folder, or create it; return its path."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path
