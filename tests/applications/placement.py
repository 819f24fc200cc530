"""OpenStack Placement on MariaDB, whose data Ringi knows only by commands of the target."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import httpx

from tests.applications.mariadb import DATA, Server
from tests.applications.organisation import Target, replaced
from tests.applications.published import Published, metadata, package

DISTRIBUTION = "openstack_placement"
APPLICATION = """
os.environ["OS_PLACEMENT_DATABASE__CONNECTION"] = os.environ["DATABASE_URL"]
from placement.wsgi import init_application
application = init_application()
"""
MIGRATION = """import os, sys
os.environ["OS_PLACEMENT_DATABASE__CONNECTION"] = os.environ["DATABASE_URL"]
from placement.cmd.manage import main
sys.argv[1:] = ["db", "sync"]
sys.exit(main())
"""
BROKEN = """
_dispatch = dispatch


def dispatch(environ, start_response, mapper):
    if environ["REQUEST_METHOD"] == "PUT":
        raise RuntimeError("this version can change nothing")
    return _dispatch(environ, start_response, mapper)
"""
HARM_PATH = "placement/db/sqlalchemy/alembic/versions/0123456789ab_harm.py"
# The migration of the broken version makes the names of all providers the same but for their number.
HARM = """from alembic import op

revision, down_revision = "0123456789ab", "a082b8bb98d0"


def upgrade():
    op.execute("ALTER TABLE resource_providers ADD COLUMN note VARCHAR(20)")
    op.execute("UPDATE resource_providers SET name = CONCAT('provider ', id)")
"""


class Placement(Published):
    """Two published versions; the earlier one brings an earlier library with it, as its own tree."""

    slug, title = "placement", "Placement"
    before, sound, broken = "15.0.0", "16.0.0", "16.0.1"
    application, distribution, migration = APPLICATION, DISTRIBUTION, MIGRATION

    def __init__(self, installed: Path, server: Server) -> None:
        super().__init__(installed)
        self.server, self.passwords = server, dict[str, str]()

    def process(self) -> str:
        """Return the process of a service with a database; without a token no page is missing, but closed."""
        return replaced(super().process(), ("parameters.status = 404", "parameters.status = 401"))

    def trees(self) -> dict[str, dict[str, bytes]]:
        """Two published versions and a broken one on top of the second."""
        new, handler = package(self.newest, "placement"), "placement/handler.py"
        fault = {handler: new[handler] + BROKEN.encode(), HARM_PATH: HARM.encode()}
        found = {
            self.before: package(self.earlier, "placement", "oslo_policy") | metadata(self.earlier, DISTRIBUTION),
            self.sound: new | metadata(self.newest, DISTRIBUTION),
            self.broken: new | fault | metadata(self.newest, DISTRIBUTION, self.broken),
        }
        return {version: tree | self.programs() for version, tree in found.items()}

    def settings(self, target: Target) -> dict[str, Any]:
        """Return the settings of a service, and the commands for its data."""
        script = ["/bin/sh", "{root}/data.sh"]
        name = self._database(target)
        commands = {verb: [*script, verb, name, "{dump}"] for verb in ("dump", "restore", "verify")}
        return super().settings(target) | {"data_commands": {"digest": [*script, "digest", name], **commands}}

    def values(self, target: Target) -> dict[str, str]:
        """Return port, flag and the way of signing in."""
        return super().values(target) | {"OS_API__AUTH_STRATEGY": "noauth2"}

    def secrets(self, target: Target) -> dict[str, str]:
        """Return the address of the database, as SQLAlchemy reads it."""
        name = self._database(target)
        return {"DATABASE_URL": f"mysql+pymysql://{name}:{self.passwords[name]}@127.0.0.1:{self.server.port}/{name}"}

    def lay(self, target: Target) -> None:
        """Make the database of a target, and lay its operators' files."""
        name = self._database(target)
        self.passwords[name] = secrets.token_hex(12)
        self.server.database(name, self.passwords[name])
        (target.root / "data.sh").write_text(DATA)
        client = f"[client]\nsocket={self.server.socket}\nuser={name}\npassword={self.passwords[name]}\n"
        (target.root / "client.cnf").write_text(client)

    def call(self, target: Target, method: str, path: str, body: Any = None) -> httpx.Response:
        """Ask as an administrator does."""
        headers = {"X-Auth-Token": "admin", "OpenStack-API-Version": "placement 1.39"}
        return httpx.request(method, target.address + path, json=body, headers=headers, timeout=10)

    def create(self, target: Target, *names: str) -> None:
        """Create resource providers."""
        for name in names:
            assert self.call(target, "POST", "/resource_providers", {"name": name}).status_code == 200

    def providers(self, target: Target) -> dict[str, str]:
        """Return name → id of the resource providers."""
        listed = self.call(target, "GET", "/resource_providers").json()["resource_providers"]
        return {row["name"]: row["uuid"] for row in listed}

    @staticmethod
    def _database(target: Target) -> str:
        return f"placement_{target.environment}"
