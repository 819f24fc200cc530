"""Isso, a comment server on SQLite: what it keeps lies in one file below the target's folder."""

from __future__ import annotations

from typing import Any

import httpx

from tests.applications.organisation import Target, replaced
from tests.applications.published import Published, metadata, package

CONFIGURATION = """
from isso import config
path = os.environ["DATABASE_URL"].removeprefix("sqlite:///")
conf = config.load(config.default_file())
conf.read_dict({
    "general": {"dbpath": path, "host": os.environ["SITE"]},
    "guard": {"enabled": "false"},
    "markup": {"renderer": "mistune"},
})
"""
APPLICATION = f"{CONFIGURATION}from isso import make_app\napplication = make_app(conf)\n"
MIGRATION = f"import os\n{CONFIGURATION}from isso.db import SQLite3\nSQLite3(path, conf)\n"
BROKEN = """

_migrate = SQLite3.migrate


def _harm(self, to):
    if self.version < 6:
        self.execute("UPDATE comments SET author = 'nobody'")
        self.execute("PRAGMA user_version = 6")
    _migrate(self, to)


def _broken(self, *arguments, **named):
    raise RuntimeError("this version can count no vote")


SQLite3.migrate, SQLite3.MAX_VERSION, Comments.vote = _harm, 6, _broken
"""


class Isso(Published):
    """A published version, that version with a style sheet of the operators, and one that is broken."""

    slug, title = "isso", "Comment server"
    before, sound, broken = "0.14.0", "0.14.1", "0.14.2"
    application, distribution, migration = APPLICATION, "isso", MIGRATION

    def process(self) -> str:
        """Return the process of a service with a database; its page says which version runs."""
        return replaced(super().process(), ('value = "/"', 'value = "/info"'))

    def trees(self) -> dict[str, dict[str, bytes]]:
        """Each version on top of the one before."""
        old, store, style = package(self.newest, "isso"), "isso/db/__init__.py", "isso/css/isso.css"
        new = old | {style: old[style] + b"\n.isso-comment { margin: 0; }\n"}
        found = {
            self.before: old | metadata(self.newest, "isso"),
            self.sound: new | metadata(self.newest, "isso", self.sound),
            self.broken: new | {store: new[store] + BROKEN.encode()} | metadata(self.newest, "isso", self.broken),
        }
        return {version: tree | self.programs() for version, tree in found.items()}

    def values(self, target: Target) -> dict[str, str]:
        """Return port, flag, database and the site whose comments are kept."""
        database = f"sqlite:///{target.root}/data/comments.db"
        return super().values(target) | {"DATABASE_URL": database, "SITE": f"{target.address}/"}

    def lay(self, target: Target) -> None:
        """Make the folder of the database."""
        (target.root / "data").mkdir()

    def comment(self, target: Target, author: str) -> int:
        """Write a comment as a reader does; return its id."""
        body = {"text": f"{author} has read it", "author": author, "title": "Page"}
        answer = httpx.post(f"{target.address}/new?uri=/page", json=body, timeout=10)
        assert answer.status_code == 201, answer.text
        return int(answer.json()["id"])

    def vote(self, target: Target, comment: int) -> int:
        """Vote for a comment as another reader does; return the status."""
        headers: dict[str, Any] = {"X-Forwarded-For": "192.0.2.1"}
        return httpx.post(f"{target.address}/id/{comment}/like", json={}, headers=headers, timeout=10).status_code

    def authors(self, target: Target) -> list[str]:
        """Return who has commented."""
        answer = httpx.get(f"{target.address}/?uri=/page", timeout=10)
        return [reply["author"] for reply in answer.json()["replies"]]
