"""A real target for the step types: a git repository of two versions, a database, a service that answers."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from config.development.ports import free_port
from environments.targets.base import StepContext, TargetSpec, Version
from environments.targets.service_proof import running_service
from releases.step_types import by_name
from tests.releases.sources.repositories import SSHD, key, over_ssh
from tests.releases.step_types.receiver import Receiver, receiving

# Of this process alone: a test that looks for it elsewhere must not find it in what another one runs.
PASSWORD = f"a:b\\c-{uuid4().hex[:12]}"

READ_CONFIGURATION = """
import json
def read(path):
    pairs = (line.partition("=") for line in open(path, encoding="utf-8"))
    return {key: json.loads(value) for key, _, value in pairs}
"""

SERVICE = """
import http.server, os, sys
from configuration import read
values = read(sys.argv[1])
root = os.environ["RINGI_TARGET_ROOT"]
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        down = os.path.exists(root + "/shared/maintenance") and self.path != "/health"
        self.send_response(503 if down else 200)
        self.end_headers()
        self.wfile.write(b"VERSION")
    def log_message(self, *arguments):
        print("request", self.path, flush=True)
if values.get("BROKEN"):
    sys.exit("no such setting: " + values["BROKEN"])
print("serving", values["PORT"], values["SECRET"], flush=True)
http.server.HTTPServer(("127.0.0.1", int(values["PORT"])), Answer).serve_forever()
"""

MIGRATE = """
import sys, psycopg
from configuration import read
STEPS = [
    "CREATE TABLE dataset (id int PRIMARY KEY, title text NOT NULL, kind varchar(8) NOT NULL DEFAULT 'raw'"
    " CHECK (kind IN ('raw', 'clean')))",
    "CREATE TABLE label (dataset int REFERENCES dataset, word text, weight numeric(6, 3));"
    "CREATE VIEW usual AS SELECT id FROM dataset WHERE kind NOT IN ('odd', 'worse')",
]
NEXT = [
    "CREATE TABLE export (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, dataset int REFERENCES dataset)",
    "CREATE TYPE state AS ENUM ('open', 'closed');"
    "ALTER TABLE dataset ADD state state NOT NULL DEFAULT 'open';"
    "CREATE FUNCTION shout(text) RETURNS text LANGUAGE sql AS $$ SELECT upper($1) $$;"
    "CREATE VIEW loud AS SELECT shout(title) FROM dataset",
    "UPDATE dataset SET title = title || '!'",
]
wanted = STEPS + (NEXT if "VERSION" == "1.1.0" else [])
with psycopg.connect(read(sys.argv[1])["DATABASE_URL"], autocommit=True) as connection:
    connection.execute("CREATE TABLE IF NOT EXISTS migration (number int PRIMARY KEY)")
    done = connection.execute("SELECT count(*) FROM migration").fetchone()[0]
    if sys.argv[2:] == ["--check"]:
        sys.exit(0 if done >= len(wanted) else 3)
    for number, statement in enumerate(wanted):
        if number >= done:
            with connection.transaction():
                connection.execute(statement)
                connection.execute("INSERT INTO migration VALUES (%s)", [number])
            print("migrated", number, flush=True)
"""


def git(repository: Path, *arguments: str) -> str:
    who = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    command = ["git", "-C", str(repository), *who, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@dataclass
class Versions:
    """The repository and its two tagged versions."""

    path: Path
    old: Version
    new: Version


def _version(repository: Path, tag: str) -> Version:
    commit, tree = (git(repository, "rev-parse", f"{tag}^{{commit}}"), git(repository, "rev-parse", f"{tag}^{{tree}}"))
    return Version(tag.removeprefix("v"), tag, commit, tree)


@pytest.fixture(scope="session")
def versions(tmp_path_factory: pytest.TempPathFactory) -> Versions:
    """A repository whose trees are hard to digest: links, executables, names that sort oddly."""
    path = tmp_path_factory.mktemp("repository")
    git(path, "init", "-q", "-b", "main")
    (path / "a-b").mkdir()
    (path / "a").mkdir()
    (path / "a" / "リリース.txt").write_text("安全\n")
    (path / "a-b" / "empty").touch()
    (path / "a.txt").write_bytes(b"\r\n\x00\xff")
    (path / "run").write_text("#!/bin/sh\n")
    (path / "run").chmod(0o755)
    (path / "link").symlink_to("a/リリース.txt")
    (path / "configuration.py").write_text(READ_CONFIGURATION)
    (path / "site.yml").write_text("- hosts: all\n  gather_facts: false\n  tasks: [{debug: {msg: on}}]\n")
    for version in ("1.0.0", "1.1.0"):
        (path / "service.py").write_text(SERVICE.replace("VERSION", version))
        (path / "migrate.py").write_text(MIGRATE.replace("VERSION", version))
        git(path, "add", "-A")
        git(path, "commit", "-qm", version)
        git(path, "tag", "-a", f"v{version}", "-m", version)
    return Versions(path, _version(path, "v1.0.0"), _version(path, "v1.1.0"))


@pytest.fixture
def new_database() -> Iterator[Callable[[], str]]:
    """Make databases on the test server, each owned by a role without further rights; dropped after the test."""
    server = os.environ["DATABASE_SERVER_URL"]
    names: list[sql.Identifier] = []

    def make() -> str:
        name = f"steps_{uuid4().hex[:12]}"
        names.append(sql.Identifier(name))
        with psycopg.connect(server, autocommit=True) as connection:
            role = sql.SQL("CREATE ROLE {} LOGIN CREATEDB PASSWORD {}")
            connection.execute(role.format(names[-1], sql.Literal(PASSWORD)))
            connection.execute(sql.SQL("CREATE DATABASE {0} OWNER {0} TEMPLATE template0").format(names[-1]))
        return make_conninfo(server, dbname=name, user=name, password=PASSWORD)

    yield make
    with psycopg.connect(server, autocommit=True) as connection:
        for name in names:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
            connection.execute(sql.SQL("DROP ROLE {}").format(name))


@dataclass(frozen=True)
class Host:
    """A real sshd on the loopback: the option `ssh` that reaches it, the private key that it accepts, its log."""

    settings: dict[str, Any]
    key: str
    log: Path


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """Run sshd as the user of the tests, with keys of its own."""
    if SSHD is None:
        pytest.skip("sshd is not installed: nothing can be reached over ssh")
    folder = tmp_path_factory.mktemp("sshd")
    own = key(folder / "own")
    with over_ssh(folder / "server", own.with_suffix(".pub")) as (site, known):
        parts = urlsplit(site)
        settings = {
            "host": parts.hostname,
            "port": parts.port,
            "user": parts.username,
            "known_hosts": known,
            "python": sys.executable,
        }
        yield Host(settings, own.read_text(), folder / "server" / "log")


@dataclass
class Target:
    """One target and the deployments of a test: `context()` makes attempts of its steps."""

    spec: TargetSpec
    versions: Versions
    configuration: dict[str, str]
    database: str
    receiver: Receiver
    shown: bytearray = field(default_factory=bytearray)

    @property
    def here(self) -> TargetSpec:
        """The same folder as a target of this machine, which is the host of these tests too."""
        settings = {name: value for name, value in self.spec.settings.items() if name != "ssh"}
        return TargetSpec(self.spec.application, self.spec.environment, self.spec.root, settings)

    def move_to(self, host: Host, **changes: Any) -> None:
        """Reach the target over ssh from now on; `changes` override the option `ssh`."""
        settings = {**self.spec.settings, "ssh": host.settings | changes}
        self.spec = replace(self.spec, settings=settings, ssh_key=host.key)

    def context(self, key: str = "1/1/x", fencing_token: int = 1, **changes: Any) -> StepContext:
        """Return a first attempt of a step towards the new version from the old one; `changes` override."""
        context = StepContext(
            key=key,
            fencing_token=fencing_token,
            deployment_key="deployment:1",
            target=self.spec,
            repository=str(self.versions.path),
            wanted=self.versions.new,
            previous=self.versions.old,
            configuration=self.configuration | {"LIMIT": "5"},
            previous_configuration=self.configuration,
            earlier={},
            deadline_seconds=30,
            output=self.shown.extend,
            heartbeat=lambda: None,
            secrets=(self.configuration["SECRET"],),
        )
        return replace(context, **changes)

    def back(self, key: str, earlier: Mapping[str, Any], **changes: Any) -> StepContext:
        """Return an attempt of a step of the rollback."""
        usual: dict[str, Any] = {
            "wanted": self.versions.old,
            "previous": self.versions.new,
            "configuration": self.configuration,
            "previous_configuration": self.configuration | {"LIMIT": "5"},
            "earlier": earlier,
        }
        return self.context(key, **(usual | changes))

    def step(self, name: str, context: StepContext, **parameters: Any) -> dict[str, Any]:
        """Run one step."""
        known = by_name(name)
        return known.run(context, known.parameters(**parameters))

    def install_old(self) -> None:
        """Deploy the old version by the product's own steps."""
        begin = self.context("0/1/x", previous=None, wanted=self.versions.old, configuration=self.configuration)
        begin = replace(begin, deployment_key="deployment:0", previous_configuration={})
        self.step("code_deploy", begin)
        self.step("configuration_update", replace(begin, key="0/2/x"))
        self.step("database_update", replace(begin, key="0/3/x"), direction="deployment")
        self.sql("INSERT INTO dataset SELECT n, 'title ' || n FROM generate_series(1, 20) n")
        self.sql("INSERT INTO label VALUES (1, 'a', 1.5), (1, 'a', 1.5), (2, E'tab\\t\\\\', NULL)")

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """Run one statement in the target's database."""
        with psycopg.connect(self.database) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []


def _target(tmp_path: Path, versions: Versions, database: str) -> Iterator[Target]:
    with receiving() as receiver:
        yield from _with_receiver(tmp_path, versions, database, receiver)


def _with_receiver(tmp_path: Path, versions: Versions, database: str, receiver: Receiver) -> Iterator[Target]:
    port = free_port()
    python = sys.executable
    settings = {
        "service": {
            "start": [python, "{tree}/service.py", "{config}"],
            "stop_seconds": 3,
            "stable_seconds": 0.1,
            "ready": {"url": f"http://127.0.0.1:{port}/health", "seconds": 10},
        },
        "migrate": [python, "{tree}/migrate.py", "{config}"],
        "migrate_check": [python, "{tree}/migrate.py", "{config}", "--check"],
        "postgres_bin": os.environ["POSTGRES_BIN"],
        # Scripts of the tests start programs that are installed beside the interpreter.
        "programs": {"read": [sys.prefix]},
        "ansible": {
            "inventory": "localhost ansible_connection=local\n",
            "program": shutil.which("ansible-playbook") or "ansible-playbook",
        },
        "urls": {"base": f"http://127.0.0.1:{port}"},
        "http_hosts": [receiver.host],
    }
    root = tmp_path / "target"
    root.mkdir()
    configuration = {"DATABASE_URL": database, "PORT": str(port), "SECRET": f'pass "word"/+ é{uuid4().hex[:12]}'}
    made = Target(TargetSpec("sample", "production", root, settings), versions, configuration, database, receiver)
    yield made
    running = running_service(root)
    if running:
        os.kill(running["pid"], signal.SIGKILL)


@pytest.fixture
def target(tmp_path: Path, versions: Versions, new_database: Callable[[], str]) -> Iterator[Target]:
    """An empty target with a database; a service that runs on it is ended after the test."""
    yield from _target(tmp_path, versions, new_database())


@pytest.fixture
def bare_target(tmp_path: Path, versions: Versions) -> Iterator[Target]:
    """An empty target without a database, for steps that need none."""
    yield from _target(tmp_path, versions, "")


def wait_for(condition: Callable[[], Any], seconds: float = 10) -> Any:
    """Wait until the condition holds and return its value."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if value := condition():
            return value
        time.sleep(0.01)
    raise AssertionError("waited in vain")
