"""Kinto, a JSON storage server, on PostgreSQL with a database for each environment."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

import httpx

from releases.demo.targets import own_database
from tests.applications.organisation import Target, replaced
from tests.applications.published import Published, metadata, package

APPLICATION = """
import logging
from pyramid.paster import get_app
logging.basicConfig(level=logging.INFO)
application = get_app("kinto.ini")
"""
MIGRATION = """import sys
from kinto.__main__ import main
sys.exit(main(["migrate", "--ini", "kinto.ini"]))
"""
# Addresses and secrets come from the configuration, as variables.
INI = """[app:main]
use = call:kinto:main
kinto.storage_backend = kinto.core.storage.postgresql
kinto.permission_backend = kinto.core.permission.postgresql
multiauth.policies = basicauth
"""
STORE = "kinto/core/storage/postgresql"
HARM = """ALTER TABLE objects ADD COLUMN note TEXT;
INSERT INTO metadata (name, value) VALUES ('storage_schema_version', '27');
"""
BROKEN = """

def _broken(self, *arguments, **named):
    raise RuntimeError("this version can change no record")


Storage.update = _broken
"""
USER = ("user", "password")
RECORDS = "/v1/buckets/library/collections/books/records"


class Kinto(Published):
    """Two published versions, and a broken one with a migration on top of the second."""

    slug, title = "kinto", "Record server"
    before, sound, broken = "26.4.0", "26.5.0", "26.5.1"
    application, distribution, migration = APPLICATION, "kinto", MIGRATION

    def __init__(self, installed: Path) -> None:
        super().__init__(installed)
        self.given: dict[str, dict[str, str]] = {}

    def process(self) -> str:
        """Return the process of a service with a database; pages are below the version of the interface."""
        pages = (('value = "/"', 'value = "/v1/__heartbeat__"'), ('"/no-such-page"', '"/v1/no-such-page"'))
        return replaced(super().process(), *pages)

    def trees(self) -> dict[str, dict[str, bytes]]:
        """Two published versions, and a broken one on top of the second."""
        new, store = package(self.newest, "kinto"), f"{STORE}/__init__.py"
        later = replaced(new[store].decode(), ("schema_version = 26\n", "schema_version = 27\n")) + BROKEN
        fault = {store: later.encode(), f"{STORE}/migrations/migration_026_027.sql": HARM.encode()}
        found = {
            self.before: package(self.earlier, "kinto") | metadata(self.earlier, "kinto"),
            self.sound: new | metadata(self.newest, "kinto"),
            self.broken: new | fault | metadata(self.newest, "kinto", self.broken),
        }
        return {version: tree | self.programs() | {"kinto.ini": INI.encode()} for version, tree in found.items()}

    def settings(self, target: Target) -> dict[str, Any]:
        """Return the settings of a service, and where its configuration names the database."""
        more = {"database_key": "KINTO_STORAGE_URL", "postgres_bin": os.environ.get("POSTGRES_BIN", "")}
        return super().settings(target) | more

    def secrets(self, target: Target) -> dict[str, str]:
        """Return the address of the database, for its two parts, and a key."""
        return self.given[target.environment]

    def lay(self, target: Target) -> None:
        """Make the database of a target."""
        address = own_database(f"kinto_{target.environment}")
        self.given[target.environment] = {
            "KINTO_STORAGE_URL": address,
            "KINTO_PERMISSION_URL": address,
            "KINTO_USERID_HMAC_SECRET": secrets.token_hex(12),
        }

    def call(self, target: Target, method: str, path: str, data: Any = None) -> httpx.Response:
        """Ask as a user does."""
        body = None if data is None else {"data": data}
        return httpx.request(method, target.address + path, json=body, auth=USER, timeout=10)

    def create(self, target: Target, *titles: str) -> None:
        """Create records; their bucket and collection, where they are missing."""
        for path in ("/v1/buckets/library", "/v1/buckets/library/collections/books"):
            if self.call(target, "GET", path).status_code != 200:
                assert self.call(target, "PUT", path).status_code == 201
        for title in titles:
            assert self.call(target, "POST", RECORDS, {"title": title}).status_code == 201

    def records(self, target: Target) -> dict[str, str]:
        """Return title → id of the records."""
        return {row["title"]: row["id"] for row in self.call(target, "GET", RECORDS).json()["data"]}
