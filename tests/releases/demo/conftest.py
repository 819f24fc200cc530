"""Real copies of the sample application: each has its own database, an installed tree, a process on a free port."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from environments.targets.base import TargetSpec
from releases.demo.repository import files, lay


@pytest.fixture
def database() -> Iterator[str]:
    """The address of an empty database on the server of DATABASE_SERVER_URL."""
    server = os.environ["DATABASE_SERVER_URL"]
    name = f"sample_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield re.sub(r"(://[^/]+/)[^?]*", rf"\g<1>{name}", server)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@dataclass
class Copy:
    """One copy of the sample; `start` waits until it reports its port."""

    root: Path
    database: str
    settings: dict[str, str]
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.root / "shared" / "app.log"

    @property
    def flag(self) -> Path:
        return self.root / "shared" / "maintenance"

    @property
    def target(self) -> TargetSpec:
        base = f"http://127.0.0.1:{self.port}"
        settings = {"urls": {"base": base}, "metrics_url": f"{base}/metrics"}
        return TargetSpec("dataset-service", "test", self.root, settings)

    def lay(self, layer: str) -> None:
        """Install the tree of a layer and let `current` point to it."""
        lay(files(layer), self.root / "releases" / layer)
        link = self.root / "current"
        link.unlink(missing_ok=True)
        link.symlink_to(self.root / "releases" / layer)

    def configure(self, **values: str) -> Path:
        """Write the configuration with these values changed."""
        self.settings |= values
        path = self.root / "shared" / "config.env"
        path.write_text("".join(f'{key}="{value}"\n' for key, value in sorted(self.settings.items())))
        return path

    def words(self, *command: str) -> list[str]:
        """Return the argument list of one command of the sample."""
        config = self.root / "shared" / "config.env"
        return [sys.executable, str(self.root / "current" / "run.py"), *command, "--config", str(config)]

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        return subprocess.run(self.words(*command), capture_output=True, text=True, check=False, timeout=60)

    def start(self) -> None:
        """Start the service."""
        before = self.log.read_text() if self.log.exists() else ""
        bare = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
        self.process = subprocess.Popen(self.words("serve"), env=bare)
        until = time.monotonic() + 10
        while time.monotonic() < until and self.process.poll() is None:
            new = self.log.read_text()[len(before) :] if self.log.exists() else ""
            if found := re.search(r"serves on port (\d+)", new):
                self.port = int(found[1])
                return
            time.sleep(0.01)
        raise AssertionError("the sample did not start")

    def stop(self) -> int:
        """End the service in order and return its exit status."""
        assert self.process is not None
        self.process.terminate()
        try:
            return self.process.wait(10)
        finally:
            self.process.kill()


@pytest.fixture
def copy(database: str, tmp_path: Path) -> Iterator[Copy]:
    """A copy with its configuration and no installed tree."""
    root = tmp_path / "target"
    (root / "shared").mkdir(parents=True)
    made = Copy(root, database, {"DATABASE_URL": database, "PORT": "0", "EXPORT_LIMIT": "1000"})
    made.configure(LOG=str(made.log), MAINTENANCE=str(made.flag), BATCH_PAUSE="0")
    yield made
    if made.process is not None and made.process.poll() is None:
        made.stop()


@pytest.fixture
def serving(copy: Copy) -> Callable[[str], Copy]:
    """Return a function that installs a layer, migrates, seeds and starts it."""

    def serve(layer: str) -> Copy:
        copy.lay(layer)
        for command in (["migrate"], ["seed", "--rows", "100"]):
            done = copy.run(*command)
            assert done.returncode == 0, done.stderr
        copy.start()
        return copy

    return serve
